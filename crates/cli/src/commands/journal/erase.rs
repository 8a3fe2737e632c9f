//! `stockade journal erase`.

use std::fs::File;

use stockade_journal::JournalError;

use crate::args::journal::Erase;
use crate::failure::Failure;
use crate::runs::{BROKEN, find, journal};
use crate::screen::plain;

/// Removes private values of a run that has no writer.
pub(super) fn erase(args: &Erase) -> Result<u8, Failure> {
    let run = find(&args.state.state, &args.run)?;
    let path = journal(&args.state.state, &run);
    let dir = File::open(&path).map_err(|error| Failure::file("open", &path, &error))?;
    let erased = stockade_journal::erase(dir.into(), args.seq).map_err(|error| match error {
        JournalError::Locked => Failure::usage(format!("run {} still lives: erase it when it has ended", plain(&run))),
        JournalError::NoRecord { seq } => Failure::usage(format!("run {} has no record {seq}", plain(&run))),
        other => Failure { code: BROKEN, message: plain(&other.to_string()) },
    })?;
    crate::output::text(&format!("run {}: {erased} private value(s) erased\n", plain(&run)))?;
    Ok(0)
}
