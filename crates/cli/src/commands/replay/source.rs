//! Where a recorded run is: in the state folder, or in a bundle.

use std::path::{Path, PathBuf};

use stockade_journal::Start;
use stockade_supervisor::objects;
use stockade_supervisor::recorded::{self, Recorded};

use crate::bundle::{self, Unpacked};
use crate::failure::Failure;
use crate::runs::{find, is_written, journal};
use crate::screen::plain;

/// A recorded run.
pub(super) struct Source {
    /// As it was named.
    pub named: String,
    pub journal: PathBuf,
    objects: PathBuf,
    pub start: Start,
    /// Its files go with it.
    _bundle: Option<Unpacked>,
}

impl Source {
    /// A run's id and its state folder, or a bundle.
    pub(super) fn open(named: &str, state: &Path) -> Result<Self, Failure> {
        let (journal, objects, bundle) = if let Some(bundle) = bundle::named(named, bundle::Signals::AreTaken)? {
            (bundle.path().join("journal"), bundle.path().join("objects"), Some(bundle))
        } else {
            let run = find(state, named)?;
            let journal = journal(state, &run);
            if is_written(&journal) {
                return Err(Failure::usage(format!("run {} still lives: replay it when it has ended", plain(&run))));
            }
            (journal, objects::folder(state), None)
        };
        let start = recorded::first(&journal)?;
        Ok(Self { named: named.to_owned(), journal, objects, start, _bundle: bundle })
    }

    /// All that a wasm run needs to be run again.
    pub(super) fn recorded(&self) -> Result<Recorded, Failure> {
        Ok(Recorded::open(&self.journal, &self.objects)?)
    }

    /// The policy bundle that decided, for a run of any kind.
    pub(super) fn bundle(&self) -> Result<Vec<u8>, Failure> {
        Ok(recorded::bundle(&self.start, &self.journal, &self.objects)?)
    }
}
