//! One life of a journal, in which every operation is met: begun, written, rolled, left in the middle, taken up, torn,
//! taken up again.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use stockade_journal::disk::Disk;
use stockade_journal::{JournalError, Options, Outcome, Payload, Record, Writer, recover_on};

use crate::common::{call, log, open_dir, segment, start};

/// What the writer acknowledged as durable, and what went wrong.
#[derive(Debug, Default)]
pub struct Story {
    /// Sequence numbers and leaf hashes.
    pub kept: Vec<(u64, [u8; 32])>,
    appended: Vec<(u64, [u8; 32])>,
    pub errors: Vec<JournalError>,
}

impl Story {
    fn note<T>(&mut self, done: Result<T, JournalError>) -> Option<T> {
        done.map_err(|error| self.errors.push(error)).ok()
    }

    /// Appends; an error that is not one of room must end the writer.
    fn append(&mut self, writer: &mut Writer, record: Record) {
        match writer.append(record) {
            Ok(receipt) => self.appended.push((receipt.seq, receipt.hash)),
            Err(error) => {
                if !matches!(error, JournalError::NoSpace { .. } | JournalError::Full { .. }) {
                    let again = writer.append(log("refused"));
                    assert!(matches!(again, Err(JournalError::Poisoned { .. })), "{error} did not end the writer");
                    assert!(matches!(writer.commit(), Err(JournalError::Poisoned { .. })));
                }
                self.errors.push(error);
            }
        }
    }

    fn commit(&mut self, writer: &mut Writer) {
        match writer.commit() {
            Ok(()) => self.kept.append(&mut self.appended),
            Err(error) => {
                assert!(matches!(writer.append(log("refused")), Err(JournalError::Poisoned { .. })), "{error}");
                self.errors.push(error);
            }
        }
    }

    /// Whatever was not committed when a writer was left may be there or not.
    fn leave(&mut self, writer: Writer) {
        drop(writer);
        self.appended.clear();
    }
}

fn outcome(id: u64, body: Payload) -> Record {
    Record::Result(Outcome { id, status: "ok".into(), body, micros: 1 })
}

/// The whole life, on `disk`, in the directory `dir`. Goes on after each error as far as it can.
pub fn live(disk: &Arc<dyn Disk>, dir: &Path) -> Story {
    let mut story = Story::default();
    let options = Options { segment_bytes: 2500 };
    if let Some(mut writer) = story.note(Writer::create_on(Arc::clone(disk), open_dir(dir), options)) {
        writer.keep_free(4096);
        story.append(&mut writer, start());
        story.commit(&mut writer);
        story.append(&mut writer, call(1, json!({"path": "a"})));
        story.append(&mut writer, log("a line that nobody waits for"));
        story.append(&mut writer, log("another"));
        let blob = writer.payload(json!("b".repeat(17_000)));
        if let Some(body) = story.note(blob) {
            story.append(&mut writer, outcome(1, body));
        }
        story.commit(&mut writer);
        let private = writer.private(json!({"password": "swordfish"}), [7; 32]);
        if let Some(body) = story.note(private) {
            story.append(&mut writer, outcome(2, body));
        }
        for id in 3..6 {
            story.append(&mut writer, call(id, json!({"path": "c"})));
            story.append(&mut writer, outcome(id, Payload::Inline(json!("x".repeat(300)))));
            story.commit(&mut writer);
        }
        story.append(&mut writer, log("not committed"));
        story.append(&mut writer, log("nor this"));
        story.leave(writer);
    }
    go_on(disk, dir, &mut story, "first");
    // A line that was cut short, as a writer that was killed in the middle leaves it.
    let mut last = (1..9).map(|n| segment(dir, n)).rfind(|path| path.exists());
    if let Some(path) = last.take() {
        let tear = br#"{"seq":99,"time":"2026-"#;
        let file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
        let before = file.metadata().unwrap().len();
        // Through the disk, so that the model knows of it.
        let wrote = disk.write(std::os::fd::AsFd::as_fd(&file), tear);
        if wrote.is_err() {
            // Refused or the machine stopped; done but failed is as good as done.
            let after = file.metadata().unwrap().len();
            assert!(after == before || after == before + tear.len() as u64);
        }
    }
    go_on(disk, dir, &mut story, "second");
    story
}

fn go_on(disk: &Arc<dyn Disk>, dir: &Path, story: &mut Story, which: &str) {
    let Some(recovered) = story.note(recover_on(Arc::clone(disk), open_dir(dir))) else { return };
    let mut writer = recovered.writer;
    writer.keep_free(4096);
    story.append(&mut writer, log(&format!("{which} time taken up")));
    let blob = writer.payload(json!(which.repeat(4_000)));
    if let Some(body) = story.note(blob) {
        story.append(&mut writer, outcome(7, body));
    }
    story.commit(&mut writer);
    writer.keep_free(0);
    story.append(&mut writer, log(&format!("{which} end")));
    story.commit(&mut writer);
    writer.trim();
    story.leave(writer);
}
