//! `stockade journal list`.

use std::io::{self, Read, Write};
use std::path::Path;

use stockade_journal::note::{Checkpoint, MAX_NOTE, Note};
use stockade_journal::{Reader, Record};

use crate::failure::Failure;
use crate::runs::{is_written, journal, runs};
use crate::screen::plain;

/// One line of the list.
#[derive(serde::Serialize)]
struct Listed {
    run: String,
    time: String,
    agent: String,
    kind: String,
    policy: String,
    end: String,
    /// Records of its signed head, as its file says: `verify` says whether that is so.
    signed: Option<u64>,
}

pub(super) fn list(state: &Path, json: bool) -> Result<u8, Failure> {
    let listed: Vec<_> = runs(state)?.iter().rev().map(|run| describe(state, run)).collect();
    let mut out = io::stdout().lock();
    if json {
        let text = serde_json::to_string_pretty(&listed).map_err(|e| Failure::internal(&e))?;
        writeln!(out, "{text}")?;
        return Ok(0);
    }
    writeln!(out, "{:<30} {:<20} {:<6} {:<16} {:<16} END", "RUN", "TIME", "KIND", "AGENT", "POLICY")?;
    for l in listed {
        let time = l.time.get(..19).unwrap_or(&l.time).to_owned();
        writeln!(
            out,
            "{:<30} {time:<20} {:<6} {:<16} {:<16} {}",
            plain(&l.run),
            plain(&l.kind),
            plain(&l.agent),
            plain(&l.policy),
            plain(&l.end)
        )?;
    }
    Ok(0)
}

fn signed(file: &Path) -> Option<u64> {
    let mut bytes = Vec::new();
    crate::regular::open(file).ok()?.take(MAX_NOTE as u64 + 1).read_to_end(&mut bytes).ok()?;
    Some(Checkpoint::parse(Note::parse(&bytes).ok()?.text()).ok()?.size)
}

fn describe(state: &Path, run: &str) -> Listed {
    let mut listed = Listed {
        run: run.into(),
        time: String::new(),
        agent: String::new(),
        kind: String::new(),
        policy: String::new(),
        end: "no end recorded".into(),
        signed: signed(&state.join("runs").join(run).join("checkpoint")),
    };
    let dir = journal(state, run);
    if is_written(&dir) {
        "still runs".clone_into(&mut listed.end);
    }
    let Ok(reader) = Reader::open(&dir) else {
        listed.end = "no journal: agent code never ran".into();
        return listed;
    };
    for entry in reader {
        match entry {
            Ok(entry) => match entry.record {
                Record::Start(start) => {
                    (listed.time, listed.agent, listed.kind, listed.policy) =
                        (entry.time, start.agent, start.kind, start.policy);
                }
                Record::Lifecycle { event, detail } if event == "exit" => {
                    listed.end = detail.get("reason").and_then(|r| r.as_str()).unwrap_or("?").to_owned();
                }
                Record::Lifecycle { event, .. } if event == "reclaimed" => "reclaimed".clone_into(&mut listed.end),
                Record::Tombstone { .. } => "pruned".clone_into(&mut listed.end),
                _ => {}
            },
            Err(error) => {
                listed.end = format!("broken: {error}");
                break;
            }
        }
    }
    listed
}
