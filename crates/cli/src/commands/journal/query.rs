//! `stockade journal query`.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;

use stockade_journal::ReadError;

use super::spool::Spool;
use crate::args::journal::Query;
use crate::failure::Failure;
use crate::runs::{is_older, journal, select, told_broken};
use crate::trail::{Filter, Printer, scan};

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
    let mut runs = select(&args.state.state, &args.runs)?;
    if args.newest_first {
        runs.reverse();
    }
    let mut printer = Printer::stdout(args.form.format(), true);
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut code = 0;
    for run in runs {
        if left == 0 {
            break;
        }
        let dir = journal(&args.state.state, &run);
        // A run that ended before has nothing to say.
        if is_older(&dir, filter.since) {
            continue;
        }
        let read = match args.newest_first {
            true => backwards(&dir, &run, &filter, &mut printer, &mut left)?,
            false => forwards(&dir, &run, &filter, &mut printer, &mut left)?,
        };
        if let Err(error) = read {
            printer.flush()?;
            code = told_broken(&run, &error);
        }
    }
    printer.flush()?;
    Ok(code)
}

/// Prints as it reads; `left` is how many records may still be printed.
fn forwards<W: Write>(
    dir: &Path,
    run: &str,
    filter: &Filter,
    printer: &mut Printer<W>,
    left: &mut u64,
) -> io::Result<Result<(), ReadError>> {
    scan(dir, run, filter, |scene, line, under| {
        printer.print(scene, line, under)?;
        *left -= 1;
        Ok(if *left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })
}

/// Reads to the end, since a journal can be checked in its order alone, and prints from there.
fn backwards<W: Write>(
    dir: &Path,
    run: &str,
    filter: &Filter,
    printer: &mut Printer<W>,
    left: &mut u64,
) -> io::Result<Result<(), ReadError>> {
    let mut spool = Spool::new()?;
    let read = scan(dir, run, filter, |scene, line, under| {
        printer.to(spool.piece()).print(scene, line, under)?;
        spool.keep().map(ControlFlow::Continue)
    })?;
    *left -= spool.backwards(printer.get_mut(), *left)?;
    Ok(read)
}
