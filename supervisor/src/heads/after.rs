//! Signing what a run left on disk when its supervisor died.

use std::os::fd::OwnedFd;
use std::path::Path;

use stockade_journal::tree::{Frontier, Hash};
use stockade_journal::{ReadError, Reader};
use stockade_notary::client::{Begun, ClientError, Notary, Place};
use stockade_wire::notary::{FromNotary, Refusal};

use super::{ATTEMPTS, GoOn, died_too_often, put_checkpoint};
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
/// and that is said. A notary that dies is started again.
pub(crate) fn sign_after(
    home: &Home,
    run: &str,
    journal: &Path,
    mend: impl FnOnce() -> Result<(), RunError>,
) -> Result<Frontier, RunError> {
    let after = After { program: home.program("stockade-notary")?, place: Place::of(&home.state), run, journal };
    let (mut mend, mut told) = (Some(mend), None);
    for _ in 0..ATTEMPTS {
        match after.sign(&mut mend, &mut told) {
            Err(GoOn::Gone) => {}
            Err(GoOn::Ends(error)) => return Err(error),
            Ok(tree) => return Ok(tree),
        }
    }
    Err(died_too_often())
}

/// A journal without a supervisor, and who signs it.
struct After<'a> {
    program: OwnedFd,
    place: Place,
    run: &'a str,
    journal: &'a Path,
}

impl After<'_> {
    /// Signs it by one notary. `mend` is called once, by the first that knows what was signed; `told` is how much that
    /// was, which journald was told of before.
    fn sign(
        &self,
        mend: &mut Option<impl FnOnce() -> Result<(), RunError>>,
        told: &mut Option<u64>,
    ) -> Result<Frontier, GoOn> {
        let (mut notary, begun) = self.begin()?;
        let told = *told.get_or_insert(begun.size);
        if read(self.journal, begun.size)?.signed.root() != begun.root {
            let why = format!("its first {} records are not those that were signed; it is left as it is", begun.size);
            return Err(RunError::Journal(why).into());
        }
        if let Some(mend) = mend.take() {
            mend()?;
        }
        let Lines { signed: mut tree, rest } = read(self.journal, begun.size)?;
        notary.append(begun.size + 1, &rest)?;
        for leaf in rest {
            tree.push(leaf).map_err(|e| RunError::Internal(e.to_string()))?;
        }
        match (notary.head()?, self.journal.parent()) {
            (FromNotary::Signed { checkpoint, .. }, Some(folder)) => {
                put_checkpoint(folder, &checkpoint)?;
                if let Some(mut journald) = Journald::find(self.run, told) {
                    journald.tell(self.journal, tree.size(), &checkpoint);
                }
            }
            (FromNotary::Signed { .. }, None) => {}
            (other, _) => return Err(RunError::Journal(format!("the notary said {other:?} out of turn")).into()),
        }
        Ok(tree)
    }

    fn begin(&self) -> Result<(Notary, Begun), GoOn> {
        let start = || Notary::start_open(&self.program, &self.place);
        let mut notary = start()?;
        let begun = match notary.resume(self.run, count(self.journal)?) {
            // It ended before its log was begun.
            Err(ClientError::Refused { code: Refusal::Run, .. }) => {
                notary = start()?;
                notary.begin(self.run)?
            }
            other => other?,
        };
        Ok((notary, begun))
    }
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
