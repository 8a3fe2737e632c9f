//! Signing what a run left on disk when its supervisor died.

use std::path::Path;

use stockade_journal::tree::{Frontier, Hash};
use stockade_journal::{ReadError, Reader};
use stockade_notary::client::{ClientError, Notary, Place};
use stockade_wire::notary::{FromNotary, Refusal};

use super::{put_checkpoint, refused};
use crate::error::RunError;
use crate::home::Home;
use crate::journald::Journald;

/// A journal as it lies there: what its whole lines come to.
struct Lines {
    /// Tree over the first lines, as many as have been signed.
    signed: Frontier,
    /// Leaves after those.
    rest: Vec<Hash>,
}

/// Makes sure that the journal in `journal` goes on from what was signed of it, has `mend` close it, and signs what
/// it has then, whose tree it gives. A journal that is shorter than its last signed head, or another, is left as it is,
/// and that is said.
pub(crate) fn sign_after(
    home: &Home,
    run: &str,
    journal: &Path,
    mend: impl FnOnce() -> Result<(), RunError>,
) -> Result<Frontier, RunError> {
    let program = home.program("stockade-notary")?;
    let place = Place::of(&home.state);
    let start = || Notary::start_open(&program, &place).map_err(refused);
    let whole = count(journal)?;
    let mut notary = start()?;
    let begun = match notary.resume(run, whole) {
        // It ended before its log was begun.
        Err(ClientError::Refused { code: Refusal::Run, .. }) => {
            notary = start()?;
            notary.begin(run)
        }
        other => other,
    };
    let begun = begun.map_err(refused)?;
    if read(journal, begun.size)?.signed.root() != begun.root {
        return Err(RunError::Journal(format!(
            "its first {} records are not those that were signed; it is left as it is",
            begun.size
        )));
    }
    mend()?;
    let Lines { signed: mut tree, rest } = read(journal, begun.size)?;
    notary.append(begun.size + 1, &rest).map_err(refused)?;
    for leaf in rest {
        tree.push(leaf).map_err(|e| RunError::Internal(e.to_string()))?;
    }
    match (notary.head().map_err(refused)?, journal.parent()) {
        (FromNotary::Signed { checkpoint, .. }, Some(folder)) => {
            put_checkpoint(folder, &checkpoint)?;
            // What was signed before was told before.
            if let Some(mut journald) = Journald::find(run, begun.size) {
                journald.tell(journal, tree.size(), &checkpoint);
            }
        }
        (FromNotary::Signed { .. }, None) => {}
        (other, _) => return Err(RunError::Journal(format!("the notary said {other:?} out of turn"))),
    }
    Ok(tree)
}

/// Whole lines of a journal.
fn count(journal: &Path) -> Result<u64, RunError> {
    each(journal, |_| Ok(()))
}

fn read(journal: &Path, signed: u64) -> Result<Lines, RunError> {
    let mut lines = Lines { signed: Frontier::new(), rest: Vec::new() };
    each(journal, |leaf| {
        if lines.signed.size() < signed {
            return lines.signed.push(leaf).map_err(|e| RunError::Internal(e.to_string()));
        }
        lines.rest.push(leaf);
        Ok(())
    })?;
    Ok(lines)
}

/// Gives each whole line's leaf hash; a torn last line is none.
fn each(journal: &Path, mut take: impl FnMut(Hash) -> Result<(), RunError>) -> Result<u64, RunError> {
    let mut count = 0;
    let mut reader = Reader::open(journal).map_err(broken)?;
    loop {
        match reader.read() {
            Ok(Some(line)) => take(line.hash)?,
            Ok(None) | Err(ReadError::Torn { .. }) => return Ok(count),
            Err(error) => return Err(broken(error)),
        }
        count += 1;
    }
}

fn broken(error: ReadError) -> RunError {
    RunError::Journal(error.to_string())
}
