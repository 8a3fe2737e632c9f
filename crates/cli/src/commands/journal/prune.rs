//! `stockade journal prune`.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use stockade_journal::{Extent, JournalError, Pruned, Reader, Record, newest_time, prune as carry_out};
use stockade_supervisor::launched;

use crate::args::journal::Prune;
use crate::failure::Failure;
use crate::runs::{BROKEN, journal, select};
use crate::screen::plain;

/// Prunes each run as its own policy said.
pub(super) fn prune(args: &Prune) -> Result<u8, Failure> {
    let state = &args.state.state;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|error| Failure::internal(&error))?;
    let now = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    let mut code = 0;
    for run in select(state, &args.runs)? {
        let said = match of_run(&journal(state, &run), now, args.dry_run) {
            Ok(None) => continue,
            Ok(Some((extent, pruned))) => told(&run, extent, pruned, args),
            Err(problem) => {
                code = BROKEN;
                crate::say::say(&format!("stockade: run {}: {}", plain(&run), plain(&problem)));
                continue;
            }
        };
        crate::output::text(&said)?;
    }
    Ok(code)
}

/// What is taken of one run; `None` if nothing.
fn of_run(path: &Path, now: u64, dry: bool) -> Result<Option<(Extent, Pruned)>, String> {
    let mut reader = match Reader::open(path) {
        // No agent code ran.
        Err(stockade_journal::ReadError::NoSegment { .. }) => return Ok(None),
        other => other.map_err(|error| error.to_string())?,
    };
    let settings = match reader.read().map_err(|error| error.to_string())?.map(|line| line.entry.record) {
        Some(Record::Start(start)) => start.settings,
        // Only who takes all takes the start, and first: a crash may have left the rest.
        Some(Record::Tombstone { .. }) => return taken(path, Extent::All, dry),
        // It never ran.
        _ => return Ok(None),
    };
    let settings = reader.whole(settings).map_err(|error| format!("its settings: {error}"))?;
    let Some(ended) = newest_time(path).and_then(|micros| u64::try_from(micros / 1000).ok()) else { return Ok(None) };
    let Some(extent) = due(&settings, now.saturating_sub(ended)) else { return Ok(None) };
    taken(path, extent, dry)
}

/// Takes it.
fn taken(path: &Path, extent: Extent, dry: bool) -> Result<Option<(Extent, Pruned)>, String> {
    let dir = File::open(path).map_err(|error| error.to_string())?;
    match carry_out(dir.into(), extent, dry) {
        Ok(pruned) => {
            if extent == Extent::All && !dry {
                forget_launch(path)?;
            }
            Ok(Some((extent, pruned)).filter(|_| pruned != Pruned::default()))
        }
        // It lives, or will be taken up.
        Err(JournalError::Locked | JournalError::NotEnded) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// Removes `launch.json`, beside the journal: it has the task and the paths that the start had.
fn forget_launch(journal: &Path) -> Result<(), String> {
    let file = journal.with_file_name(launched::FILE);
    let failed = |error: std::io::Error| format!("{}: {error}", file.display());
    match fs::remove_file(&file) {
        Ok(()) => file.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all()).map_err(failed),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// What goes of a run that ended `age` milliseconds ago.
fn due(settings: &Value, age: u64) -> Option<Extent> {
    let over = |key: &str| settings.get("retention")?.get(key)?.as_u64().map(|after| age >= after);
    match (over("keep_ms"), over("compact_ms")) {
        (Some(true), _) => Some(Extent::All),
        (_, Some(true)) => Some(Extent::Payloads),
        _ => None,
    }
}

fn told(run: &str, extent: Extent, pruned: Pruned, args: &Prune) -> String {
    let Pruned { records, blobs, private } = pruned;
    let extent = match extent {
        Extent::All => "all",
        Extent::Payloads => "payloads",
    };
    if args.json {
        let dry = args.dry_run;
        let line = json!({"run": run, "extent": extent, "records": records, "blobs": blobs, "private": private, "dry_run": dry});
        return format!("{line}\n");
    }
    let would = if args.dry_run { "would go" } else { "pruned" };
    format!("run {}: {extent}: {would}: {records} record(s), {blobs} blob(s), {private} private value(s)\n", plain(run))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due() {
        let both = json!({"retention": {"keep_ms": 100, "compact_ms": 10}});
        for (age, expected) in
            [(9, None), (10, Some(Extent::Payloads)), (99, Some(Extent::Payloads)), (100, Some(Extent::All))]
        {
            assert_eq!(due(&both, age), expected, "{age}");
        }
        assert_eq!(due(&json!({}), u64::MAX), None);
        assert_eq!(due(&json!({"retention": {"keep_ms": "1"}}), u64::MAX), None);
    }
}
