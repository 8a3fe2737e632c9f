//! `stockade journal …`.

mod list;
mod query;
mod spool;
mod tail;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use stockade_journal::{Reader, verify};

use crate::args::Colour;
use crate::args::journal::Journal;
use crate::failure::Failure;
use crate::runs::{self, broken};
use crate::show::{ShowError, Style, json_to_stdout, render};

/// Reads what agents did.
///
/// # Errors
/// If there is no such run or its journal is broken.
pub fn journal(args: &Journal) -> Result<u8, Failure> {
    match args {
        Journal::List { json, state } => list::list(state, *json),
        Journal::Show { run, json, all, color, state } => show(&find(state, run)?, *json, *all, *color),
        Journal::Verify { run, json, state } => check(&find(state, run)?, *json),
        Journal::Query(args) => query::query(args),
        Journal::Tail(args) => tail::tail(args),
    }
}

fn show(dir: &Path, json: bool, all: bool, colour: Colour) -> Result<u8, Failure> {
    let mut reader = Reader::open(dir).map_err(|error| broken(&error))?;
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
        Err(ShowError::Journal(error)) => Err(broken(&error)),
    }
}

fn check(dir: &Path, json: bool) -> Result<u8, Failure> {
    let verified = verify(dir).map_err(|error| broken(&error))?;
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

fn find(state: &Path, run: &str) -> Result<PathBuf, Failure> {
    Ok(runs::journal(state, &runs::find(state, run)?))
}
