//! `stockade notary show`.

use serde::Serialize;
use stockade_journal::note::{Checkpoint, MAX_NOTE, Note};
use stockade_journal::tiles::{Folder, HostLog, KeyChain};
use stockade_notary::client::Place;

use super::{broken, open, say};
use crate::failure::Failure;

#[derive(Serialize)]
struct Report {
    origin: String,
    size: u64,
    root: String,
    key: String,
    first_key: String,
    epochs: Vec<Ended>,
    cosigned: Vec<Seen>,
}

#[derive(Serialize)]
struct Ended {
    number: u32,
    key: String,
    size: u64,
}

#[derive(Serialize)]
struct Seen {
    witness: String,
    size: u64,
}

pub(super) fn show(place: &Place, json: bool) -> Result<u8, Failure> {
    let log = open(place)?;
    let first = log.first_key().map_err(broken)?;
    let keys = log.keys(first.clone()).map_err(broken)?;
    let (head, _) = log.checkpoint(&keys).map_err(broken)?;
    // Every entry is read: a log that was tampered with is not told of as if it were whole.
    log.heads(&head, |_, _| {}).map_err(broken)?;
    let text = head.to_string();
    let root = text.lines().nth(2).unwrap_or_default().to_owned();
    let ended = keys.ended().iter();
    let report = Report {
        origin: log.origin().to_owned(),
        size: head.size,
        root,
        key: keys.current().to_string(),
        first_key: first.to_string(),
        epochs: ended.map(|e| Ended { number: e.number, key: e.key.to_string(), size: e.last.size }).collect(),
        cosigned: cosigned(place, &log, &keys, &head)?,
    };
    if json {
        return say(&(serde_json::to_string_pretty(&report).map_err(|e| Failure::internal(&e))? + "\n"));
    }
    let mut text =
        format!("log     {}\nheads   {}\nroot    {}\nkey     {}\n", report.origin, head.size, report.root, report.key);
    text += &format!("epochs  {} ended\n", report.epochs.len());
    for seen in &report.cosigned {
        text += &format!("witness {} has seen {}\n", seen.witness, seen.size);
    }
    if report.cosigned.is_empty() {
        text += "witness none has cosigned: only who remembers a head can tell a rollback\n";
    }
    say(&text)
}

/// What each witness has seen, held against the log.
fn cosigned(place: &Place, log: &HostLog, keys: &KeyChain, head: &Checkpoint) -> Result<Vec<Seen>, Failure> {
    let Ok(entries) = std::fs::read_dir(&place.cosigned) else { return Ok(Vec::new()) };
    let folder = Folder::open(&place.cosigned).map_err(broken)?;
    let mut seen = Vec::new();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let Some(bytes) = folder.read(&name, MAX_NOTE).map_err(broken)?.filter(|_| !name.starts_with('.')) else {
            continue;
        };
        let (checkpoint, note, _) = keys.open(&bytes, log.origin()).map_err(broken)?;
        log.extends(&name, checkpoint.size, &checkpoint.root, head).map_err(broken)?;
        seen.push(Seen { witness: witness_name(&note, log.origin()), size: checkpoint.size });
    }
    seen.sort_by(|a, b| a.witness.cmp(&b.witness));
    Ok(seen)
}

/// The signer that is not the log.
fn witness_name(note: &Note, origin: &str) -> String {
    let other = note.signatures().iter().find(|signature| signature.name != origin);
    other.map_or_else(|| "?".to_owned(), |signature| signature.name.clone())
}
