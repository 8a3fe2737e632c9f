//! `stockade journal verify --all`: every run of a state folder, and every run that the host's log knows of.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use stockade_journal::note::VerifierKey;
use stockade_journal::tiles::{Folder, KeyChain};
use stockade_journal::{ReadError, hex};

use super::{of_run, vouched};
use crate::evidence::{Evidence, EvidenceError, Heads, Signed, chain, log_folder};
use crate::failure::Failure;
use crate::output;
use crate::runs::{BROKEN, runs};
use crate::screen::plain;

/// What was found of one run.
#[derive(Debug, Serialize)]
struct Row {
    run: String,
    ok: bool,
    /// Records of its journal.
    records: Option<u64>,
    /// Records of its newest signed head.
    signed: Option<u64>,
    /// Why it is not what was signed.
    error: Option<String>,
    #[serde(skip)]
    result: String,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    ok: bool,
    authenticated: bool,
    /// Leaves of the host's log; absent if there is no log.
    host_log: Option<u64>,
    runs: &'a [Row],
}

pub(super) fn verify(state: &Path, key: Option<&VerifierKey>, json: bool) -> Result<u8, Failure> {
    let broken = |error: EvidenceError| Failure { code: BROKEN, message: plain(&error.to_string()) };
    let host = log_folder(state);
    let folder = host.is_dir().then(|| Folder::open(&host)).transpose();
    let folder = folder.map_err(|error| broken(EvidenceError::Host(error)))?;
    let keys = key.map(|key| chain(key, folder.as_ref())).transpose().map_err(broken)?;
    // First each run's own head, then the log, which has all of them unless somebody took them away; then what is
    // there, which has all that the log has.
    let signed: BTreeMap<String, Result<Option<Signed>, EvidenceError>> =
        there(state)?.into_iter().map(|run| (run.clone(), of_run(state, &run).signed(keys.as_ref()))).collect();
    let log = match folder {
        Some(folder) => Heads::of_all(folder, keys.as_ref()).map_err(broken)?,
        None => None,
    };
    if key.is_some() && log.is_none() {
        let message = format!("there is no host's log in {}: it was removed, or never begun", host.display());
        return Err(Failure { code: BROKEN, message: plain(&message) });
    }
    let leaves = log.as_ref().map(|runs| runs.values().next().map_or(0, |heads| heads.leaves));
    let rows = check(state, keys.as_ref(), signed, log.unwrap_or_default(), leaves)?;
    let ok = rows.iter().all(|row| row.ok);
    if json {
        output::json(&Report { ok, authenticated: key.is_some(), host_log: leaves, runs: &rows })?;
    } else {
        tell(&rows, leaves, key)?;
    }
    Ok(if ok { 0 } else { BROKEN })
}

/// The runs that are there. That all of them are gone, with their folder, is for the host's log to say.
fn there(state: &Path) -> Result<Vec<String>, Failure> {
    if log_folder(state).is_dir() && !state.join("runs").exists() { Ok(Vec::new()) } else { runs(state) }
}

fn check(
    state: &Path,
    keys: Option<&KeyChain>,
    mut signed: BTreeMap<String, Result<Option<Signed>, EvidenceError>>,
    mut log: BTreeMap<String, Heads>,
    leaves: Option<u64>,
) -> Result<Vec<Row>, Failure> {
    let there: BTreeSet<String> = there(state)?.into_iter().collect();
    let known: BTreeSet<String> = there.iter().chain(log.keys()).cloned().collect();
    let rows = known.into_iter().map(|run| {
        let none = Heads { logged: leaves.is_some(), leaves: leaves.unwrap_or_default(), ..Heads::default() };
        let heads = log.remove(&run).unwrap_or(none);
        // One that began since has no head of its own that could be asked for, yet.
        let signed = signed.remove(&run).unwrap_or(Ok(None));
        of(&of_run(state, &run), keys.is_some(), there.contains(&run), signed, heads)
    });
    Ok(rows.collect())
}

/// One run.
fn of(
    evidence: &Evidence,
    keyed: bool,
    there: bool,
    signed: Result<Option<Signed>, EvidenceError>,
    heads: Heads,
) -> Row {
    let newest = heads.newest();
    let mut row =
        Row { run: evidence.run.clone(), ok: false, records: None, signed: newest, error: None, result: String::new() };
    let had_none = newest.is_none() && matches!(signed, Ok(None));
    let error = match signed.and_then(|signed| evidence.hold(keyed, signed, heads)) {
        Ok(found) => {
            (row.ok, row.records, row.signed) = (true, Some(found.verified.records), vouched(&found));
            row.result = match found.verified.records - row.signed.unwrap_or_default() {
                0 => format!("whole, root {}", hex(&found.root).get(..16).unwrap_or_default()),
                more => format!("whole; nobody vouches for the last {more}"),
            };
            return row;
        }
        Err(error) => error,
    };
    if had_none && never_ran(evidence, &error) {
        row.ok = true;
        "no journal: agent code never ran".clone_into(&mut row.result);
        return row;
    }
    let error = match newest {
        Some(size) if !there => format!("deleted: {size} records of it were signed, and its folder is gone"),
        _ => plain(&error.to_string()),
    };
    row.result.clone_from(&error);
    row.error = Some(error);
    row
}

/// A run that was refused has a folder and no journal, and nothing was signed of it.
fn never_ran(evidence: &Evidence, error: &EvidenceError) -> bool {
    match error {
        EvidenceError::Unsigned => !evidence.journal.exists(),
        EvidenceError::Journal(ReadError::NoSegment { .. }) => true,
        EvidenceError::Journal(ReadError::Io { .. }) => !evidence.journal.exists(),
        _ => false,
    }
}

fn tell(rows: &[Row], leaves: Option<u64>, key: Option<&VerifierKey>) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let number = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
    writeln!(out, "{:<30} {:>8} {:>8}  RESULT", "RUN", "RECORDS", "SIGNED")?;
    for row in rows {
        let (records, signed) = (number(row.records), number(row.signed));
        writeln!(out, "{:<30} {records:>8} {signed:>8}  {}", plain(&row.run), row.result)?;
    }
    let wrong = rows.iter().filter(|row| !row.ok).count();
    let log = leaves.map_or_else(|| "no host's log".to_owned(), |leaves| format!("{leaves} heads in the host's log"));
    writeln!(out, "{} run(s), {wrong} of them not as signed; {log}", rows.len())?;
    if key.is_none() {
        writeln!(out, "nothing was authenticated: that takes the host's key (--key)")?;
    }
    Ok(())
}
