//! `stockade freeze-tool` and `thaw-tool`.

use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use stockade_supervisor::frozen::{self, Frozen};
use stockade_supervisor::operator::live;
use stockade_wire::operator::{MAX_NOTE, Order, check_frozen};

use super::{NOT_DONE, as_root, living, order};
use crate::args::operator::{FreezeTool, ThawTool};
use crate::failure::Failure;
use crate::say::say;
use crate::screen::plain;

/// Freezes a tool, or lists what is frozen.
///
/// # Errors
/// If some run that lives did not do it.
pub fn freeze(args: &FreezeTool) -> Result<u8, Failure> {
    as_root()?;
    let Some(tool) = &args.tool else { return list(args.json) };
    check(tool, &args.note.note)?;
    let order = Order::Freeze { tool: tool.clone() };
    if let Some(run) = &args.run {
        return one(&living(run)?, order, &args.note.note);
    }
    // Runs to come first: one that begins meanwhile either reads it, or is told.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
    let since = i64::try_from(now).ok().and_then(stockade_journal::format_time).unwrap_or_default();
    frozen::add(Frozen { tool: tool.clone(), since, note: args.note.note.clone() })?;
    writeln!(io::stdout(), "frozen {} for runs to come", plain(tool))?;
    all(&order, &args.note.note, false)
}

/// Takes a freeze back.
///
/// # Errors
/// If it was not frozen, or some run that lives did not do it.
pub fn thaw(args: &ThawTool) -> Result<u8, Failure> {
    as_root()?;
    check(&args.tool, &args.note.note)?;
    let order = Order::Thaw { tool: args.tool.clone() };
    if let Some(run) = &args.run {
        return one(&living(run)?, order, &args.note.note);
    }
    if !frozen::remove(&args.tool)? {
        let message = plain(&format!("{:?} is not frozen on this host; see stockade freeze-tool --list", args.tool));
        return Err(Failure { code: NOT_DONE, message });
    }
    writeln!(io::stdout(), "thawed {} for runs to come", plain(&args.tool))?;
    all(&order, &args.note.note, true)
}

fn check(tool: &str, note: &str) -> Result<(), Failure> {
    check_frozen(tool).map_err(|problem| Failure::usage(plain(&problem)))?;
    if note.len() > MAX_NOTE {
        return Err(Failure::usage(format!("a note of {} bytes; at most {MAX_NOTE}", note.len())));
    }
    Ok(())
}

fn one(run: &str, what: Order, note: &str) -> Result<u8, Failure> {
    let told = order(run, what, note)?;
    writeln!(io::stdout(), "{run}: {}", plain(&told))?;
    Ok(0)
}

/// Tells every run that lives. All are told, whatever one of them says; to a run that ended meanwhile nothing can
/// happen any more. `may_differ` says that it is no failure if a run does not know of it.
fn all(what: &Order, note: &str, may_differ: bool) -> Result<u8, Failure> {
    let mut code = 0;
    for run in live()? {
        match order(&run, what.clone(), note) {
            Ok(told) => writeln!(io::stdout(), "{run}: {}", plain(&told))?,
            Err(failure) => {
                say(&format!("stockade: run {run}: {}", failure.message));
                if !may_differ && live()?.contains(&run) {
                    code = NOT_DONE;
                }
            }
        }
    }
    Ok(code)
}

fn list(json: bool) -> Result<u8, Failure> {
    let all = frozen::list()?;
    let mut out = io::stdout().lock();
    if json {
        let text = serde_json::to_string_pretty(&all).map_err(|e| Failure::internal(&e))?;
        writeln!(out, "{text}")?;
        return Ok(0);
    }
    writeln!(out, "{:<28} {:<28} NOTE", "TOOL", "SINCE")?;
    for one in all {
        writeln!(out, "{:<28} {:<28} {}", plain(&one.tool), plain(&one.since), plain(&one.note))?;
    }
    Ok(0)
}
