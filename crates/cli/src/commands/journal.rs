//! `stockade journal …`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use stockade_journal::{ReadError, Reader, Record, verify};

use crate::args::{Colour, Journal};
use crate::failure::Failure;
use crate::screen::plain;
use crate::show::{ShowError, Style, json_to_stdout, render};

/// Exit code of a journal that is not what was written.
const BROKEN: u8 = 15;

/// Reads what agents did.
///
/// # Errors
/// If there is no such run or its journal is broken.
pub fn journal(args: &Journal) -> Result<u8, Failure> {
    match args {
        Journal::List { json, state } => list(state, *json),
        Journal::Show { run, json, all, color, state } => show(&find(state, run)?, *json, *all, *color),
        Journal::Verify { run, json, state } => check(&find(state, run)?, *json),
    }
}

fn show(dir: &Path, json: bool, all: bool, colour: Colour) -> Result<u8, Failure> {
    let mut reader = Reader::open(dir).map_err(broken)?;
    let shown = if json {
        json_to_stdout(&mut reader)
    } else {
        let mut style = Style::of_stdout();
        style.fold = !all;
        match colour {
            Colour::Auto => {}
            Colour::Always => style.colour = true,
            Colour::Never => style.colour = false,
        }
        render(reader, &mut io::BufWriter::new(io::stdout().lock()), style)
    };
    match shown {
        Ok(()) => Ok(0),
        Err(ShowError::Output(error)) => Err(error.into()),
        Err(ShowError::Journal(error)) => Err(broken(error)),
    }
}

fn check(dir: &Path, json: bool) -> Result<u8, Failure> {
    let verified = verify(dir).map_err(broken)?;
    let mut out = io::stdout().lock();
    if json {
        let report = serde_json::json!({"ok": true, "records": verified.records, "head": verified.head, "segments": verified.segments});
        writeln!(out, "{report}")?;
    } else {
        writeln!(
            out,
            "whole: {} records in {} segment(s), head {}",
            verified.records, verified.segments, verified.head
        )?;
    }
    Ok(0)
}

/// One line of the list.
#[derive(serde::Serialize)]
struct Listed {
    run: String,
    time: String,
    agent: String,
    kind: String,
    policy: String,
    end: String,
}

fn list(state: &Path, json: bool) -> Result<u8, Failure> {
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
            l.run,
            l.kind,
            plain(&l.agent),
            plain(&l.policy),
            plain(&l.end)
        )?;
    }
    Ok(0)
}

fn describe(state: &Path, run: &str) -> Listed {
    let mut listed = Listed {
        run: run.into(),
        time: String::new(),
        agent: String::new(),
        kind: String::new(),
        policy: String::new(),
        end: "no end recorded".into(),
    };
    let Ok(reader) = Reader::open(&state.join("runs").join(run).join("journal")) else {
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

/// Runs by name, oldest first: ids begin with the time.
fn runs(state: &Path) -> Result<Vec<String>, Failure> {
    let dir = state.join("runs");
    let entries = match std::fs::read_dir(&dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|e| Failure::file("list", &dir, &e))?,
    };
    let mut names: Vec<_> = entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

fn find(state: &Path, run: &str) -> Result<PathBuf, Failure> {
    let known = runs(state)?;
    let none = || Failure {
        code: 2,
        message: format!("no run {:?} in {}; see stockade journal list", plain(run), state.display()),
    };
    let name = if run == "last" { known.last() } else { known.iter().find(|name| *name == run) };
    Ok(state.join("runs").join(name.ok_or_else(none)?).join("journal"))
}

fn broken(error: ReadError) -> Failure {
    Failure { code: BROKEN, message: format!("journal: {}", plain(&error.to_string())) }
}
