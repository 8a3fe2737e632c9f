//! `stockade journal query`.

use std::io::{self, Write};
use std::path::Path;

use stockade_journal::{ReadError, Reader, hex, newest_time};

use super::spool::Spool;
use crate::args::journal::Query;
use crate::failure::Failure;
use crate::runs::{BROKEN, broken, is_written, journal, select};
use crate::say::say;
use crate::screen::plain;
use crate::trail::{Filter, Format, Printer, Scene};

/// Prints the records that are asked for.
pub(super) fn query(args: &Query) -> Result<u8, Failure> {
    let filter = Filter {
        tool: args.tool.clone(),
        decision: args.decision.clone(),
        rule: args.rule.clone(),
        since: args.since,
        until: args.until,
        digest: args.digest.clone(),
        status: args.status.clone(),
        kinds: args.kinds.clone(),
    };
    let format = if args.json { Format::Json } else { args.format };
    let mut runs = select(&args.state.state, &args.runs)?;
    if args.newest_first {
        runs.reverse();
    }
    let mut printer = Printer::stdout(format, true);
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut code = 0;
    for run in runs {
        if left == 0 {
            break;
        }
        let dir = journal(&args.state.state, &run);
        // A run that ended before has nothing to say.
        if filter.since.is_some_and(|since| newest_time(&dir).is_some_and(|newest| newest < since.0)) {
            continue;
        }
        let read = match args.newest_first {
            true => backwards(&dir, &run, &filter, &mut printer, left),
            false => forwards(&dir, &run, &filter, &mut printer, left),
        };
        match read {
            Ok(printed) => left = left.saturating_sub(printed),
            Err(Stop::Output(error)) => return Err(error.into()),
            Err(Stop::Journal(error)) => {
                printer.flush()?;
                say(&format!("stockade: run {}: {}", plain(&run), broken(&error).message));
                code = BROKEN;
            }
        }
    }
    printer.flush()?;
    Ok(code)
}

/// Why a journal was not read to its end.
enum Stop {
    Output(io::Error),
    Journal(ReadError),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        Self::Journal(error)
    }
}

/// Prints as it reads, and gives the number of records printed.
fn forwards<W: Write>(
    dir: &Path,
    run: &str,
    filter: &Filter,
    printer: &mut Printer<W>,
    most: u64,
) -> Result<u64, Stop> {
    let Some(mut reader) = open(dir)? else { return Ok(0) };
    let mut scene = Scene::new(run);
    let mut printed = 0;
    while printed < most {
        let line = match reader.read() {
            Ok(Some(line)) => line,
            Ok(None) => break,
            Err(error) => return unfinished(dir, error).map(|()| printed),
        };
        let under = scene.read(&line.entry);
        if filter.matches(&line.entry, line.bytes, || hex(&line.hash), under.as_ref()) {
            printer.print(&scene, &line, under.as_ref())?;
            printed += 1;
        }
    }
    Ok(printed)
}

/// Reads to the end, since a journal can be checked in its order alone, and prints from there.
fn backwards<W: Write>(
    dir: &Path,
    run: &str,
    filter: &Filter,
    printer: &mut Printer<W>,
    most: u64,
) -> Result<u64, Stop> {
    let Some(mut reader) = open(dir)? else { return Ok(0) };
    let mut spool = Spool::new()?;
    let mut scene = Scene::new(run);
    let read = loop {
        let line = match reader.read() {
            Ok(Some(line)) => line,
            Ok(None) => break Ok(()),
            Err(error) => break unfinished(dir, error),
        };
        let under = scene.read(&line.entry);
        if filter.matches(&line.entry, line.bytes, || hex(&line.hash), under.as_ref()) {
            printer.to(spool.piece()).print(&scene, &line, under.as_ref())?;
            spool.keep()?;
        }
    };
    let printed = spool.backwards(printer.get_mut(), most)?;
    read.map(|()| printed)
}

/// A run of which no agent code ran has no journal, and one that begins just now has no record.
fn open(dir: &Path) -> Result<Option<Reader>, Stop> {
    match Reader::open(dir) {
        Ok(reader) => Ok(Some(reader)),
        Err(ReadError::NoSegment { .. }) => Ok(None),
        Err(ReadError::Io { errno: nix::errno::Errno::ENOENT, .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A last line without its end is no damage while its writer lives.
fn unfinished(dir: &Path, error: ReadError) -> Result<(), Stop> {
    match error {
        ReadError::Torn { .. } if is_written(dir) => Ok(()),
        error => Err(error.into()),
    }
}
