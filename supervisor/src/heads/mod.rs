//! Signed heads of a run's journal: what the shim says is on disk goes to the notary, what the notary signs goes
//! to `runs/RUN/checkpoint`.
//!
//! A notary that dies is started again and goes on from what it signed last; one that refuses ends the run, since
//! what can't be signed could be denied later.

mod after;

use std::io::Write;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use stockade_journal::tree::{Frontier, Hash};
use stockade_journal::unhex;
use stockade_notary::client::{Begun, ClientError, Notary, Place};
use stockade_wire::notary::{FromNotary, MAX_LEAVES, Refusal};

pub(crate) use after::sign_after;

use crate::error::{Doing, RunError};
use crate::home::Home;
use crate::journald::Journald;

/// Notaries that may die on one run, one after the other without a signature between them.
const ATTEMPTS: u32 = 5;
/// How long the last head of a run may take.
const LAST_HEAD: Duration = Duration::from_secs(20);
/// The run's newest signed head, beside its journal.
const CHECKPOINT: &str = "checkpoint";

/// The signed heads of one run.
#[derive(Debug)]
pub(crate) struct Heads {
    program: std::os::fd::OwnedFd,
    place: Place,
    run: String,
    /// The run's folder.
    folder: PathBuf,
    notary: Option<Notary>,
    begun: bool,
    /// The tree over all leaves that were told.
    tree: Frontier,
    /// Size and root as signed last, and as asked for.
    signed: (u64, Hash),
    asked: Option<(u64, Hash)>,
    /// Leaves that were told and not signed.
    unsigned: Vec<Hash>,
    /// Deaths since the last signature.
    deaths: u32,
    journald: Option<Journald>,
}

impl Heads {
    /// Starts a notary, which makes itself ready while the cell is launched.
    pub(crate) fn start(home: &Home, run: &str) -> Result<Self, RunError> {
        Self::go_on_after(home, run, Frontier::new())
    }

    /// As [`Self::start`], for a run whose records so far are those of `tree`, and signed.
    pub(crate) fn go_on_after(home: &Home, run: &str, tree: Frontier) -> Result<Self, RunError> {
        let program = home.program("stockade-notary")?;
        let mut heads = Self {
            program,
            place: Place::of(&home.state),
            run: run.to_owned(),
            folder: home.runs().join(run),
            notary: None,
            begun: false,
            signed: (tree.size(), tree.root()),
            journald: Journald::find(run, tree.size()),
            tree,
            asked: None,
            unsigned: Vec::new(),
            deaths: 0,
        };
        heads.notary = Some(heads.launch()?);
        Ok(heads)
    }

    fn launch(&self) -> Result<Notary, RunError> {
        Notary::start_open(&self.program, &self.place).map_err(refused)
    }

    /// Begins the run's log, or goes on with it. Nothing of the agent runs before.
    pub(crate) fn begin(&mut self) -> Result<(), RunError> {
        // A notary that died may have written the run down before.
        let mut known = self.signed.0 > 0;
        loop {
            let mut notary = match self.notary.take() {
                Some(notary) => notary,
                None => self.launch()?,
            };
            let begun = match known {
                true => notary.resume(&self.run, self.signed.0),
                false => notary.begin(&self.run),
            };
            match begun {
                Ok(begun) => {
                    self.is_ours(&begun)?;
                    self.notary = Some(notary);
                    self.begun = true;
                    return Ok(());
                }
                Err(ClientError::Gone) => {
                    self.died()?;
                    known = true;
                }
                Err(ClientError::Refused { code: Refusal::Run, .. }) if known && self.signed.0 == 0 => known = false,
                Err(error) => return Err(refused(error)),
            }
        }
    }

    /// Whether what a notary says was signed last is what we know of.
    fn is_ours(&self, begun: &Begun) -> Result<(), RunError> {
        let mut known = [Some(self.signed), self.asked].into_iter().flatten();
        if known.any(|known| known == (begun.size, begun.root)) {
            return Ok(());
        }
        let size = begun.size;
        Err(RunError::Journal(format!("the notary's log has another head of this run at {size} records")))
    }

    /// Readable when the notary has signed, or is gone.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.notary.as_ref().and_then(Notary::fd).filter(|_| self.begun)
    }

    /// Leaves of records that are on disk, the first of them number `first`, from 1.
    pub(crate) fn committed(&mut self, first: u64, leaves: &[String]) -> Result<(), RunError> {
        if first != self.tree.size().saturating_add(1) || leaves.is_empty() || leaves.len() > MAX_LEAVES {
            return Err(RunError::Internal(format!(
                "its shim told {} records from {first} on after {}",
                leaves.len(),
                self.tree.size()
            )));
        }
        let hashes: Option<Vec<Hash>> = leaves.iter().map(|leaf| unhex(leaf)).collect();
        let hashes = hashes.ok_or_else(|| RunError::Internal("its shim told a leaf that is no hash".into()))?;
        self.tell(first, &hashes)
    }

    fn tell(&mut self, first: u64, leaves: &[Hash]) -> Result<(), RunError> {
        for leaf in leaves {
            self.tree.push(*leaf).map_err(|e| RunError::Internal(e.to_string()))?;
        }
        self.unsigned.extend_from_slice(leaves);
        let told = match &mut self.notary {
            Some(notary) => notary.append(first, leaves),
            None => Err(ClientError::Gone),
        };
        match told {
            Ok(()) => self.ask(),
            Err(error) => self.again(error),
        }
    }

    /// Asks for a head of what was told, one at a time.
    fn ask(&mut self) -> Result<(), RunError> {
        if self.asked.is_some() || self.unsigned.is_empty() {
            return Ok(());
        }
        let asked = match &mut self.notary {
            Some(notary) => notary.send_head(),
            None => Err(ClientError::Gone),
        };
        match asked {
            Ok(()) => {
                self.asked = Some((self.tree.size(), self.tree.root()));
                Ok(())
            }
            // The next leaves, or the end, ask again.
            Err(ClientError::Busy) => Ok(()),
            Err(error) => self.again(error),
        }
    }

    /// Takes what the notary said.
    pub(crate) fn hear(&mut self) -> Result<(), RunError> {
        loop {
            let heard = match &mut self.notary {
                Some(notary) => notary.receive(),
                None => Err(ClientError::Gone),
            };
            match heard {
                Ok(Some(FromNotary::Signed { size, checkpoint, .. })) => self.signed(size, &checkpoint)?,
                Ok(Some(other)) => {
                    return Err(RunError::Journal(format!("the notary said {other:?} out of turn")));
                }
                Ok(None) => return Ok(()),
                Err(error) => return self.again(error),
            }
        }
    }

    fn signed(&mut self, size: u64, checkpoint: &str) -> Result<(), RunError> {
        let asked = self.asked.take().filter(|(asked, _)| *asked == size);
        let (size, root) = asked.ok_or_else(|| RunError::Journal(format!("the notary signed {size} unasked")))?;
        let done = usize::try_from(size.saturating_sub(self.signed.0)).unwrap_or(usize::MAX);
        self.unsigned.drain(..done.min(self.unsigned.len()));
        self.signed = (size, root);
        self.deaths = 0;
        put_checkpoint(&self.folder, checkpoint)?;
        if let Some(journald) = &mut self.journald {
            journald.tell(&self.folder.join("journal"), size, checkpoint);
        }
        self.ask()
    }

    /// What of this run journald did not take, for the operator.
    pub(crate) fn untold(&self) -> Option<String> {
        self.journald.as_ref().and_then(Journald::missing)
    }

    /// After an error: another notary, if the last one just died.
    fn again(&mut self, error: ClientError) -> Result<(), RunError> {
        self.notary = None;
        if !matches!(error, ClientError::Gone) {
            return Err(refused(error));
        }
        loop {
            self.died()?;
            let mut notary = self.launch()?;
            match self.go_on(&mut notary) {
                Err(GoOn::Gone) => {}
                Err(GoOn::Ends(error)) => return Err(error),
                Ok(()) => {
                    self.notary = Some(notary);
                    // What was asked may have been signed without our hearing of it; asking again is no harm.
                    self.asked = Some((self.tree.size(), self.tree.root()));
                    return Ok(());
                }
            }
        }
    }

    /// Has a new notary go on from what the last one signed.
    fn go_on(&self, notary: &mut Notary) -> Result<(), GoOn> {
        let begun = notary.resume(&self.run, self.tree.size())?;
        self.is_ours(&begun).map_err(GoOn::Ends)?;
        let have = usize::try_from(begun.size.saturating_sub(self.signed.0)).unwrap_or(usize::MAX);
        notary.append(begun.size + 1, self.unsigned.get(have..).unwrap_or_default())?;
        Ok(notary.send_head()?)
    }

    fn died(&mut self) -> Result<(), RunError> {
        self.deaths += 1;
        if self.deaths > ATTEMPTS {
            return Err(died_too_often());
        }
        Ok(())
    }

    /// Waits until all that was told is signed.
    pub(crate) fn finish(&mut self) -> Result<(), RunError> {
        let deadline = Instant::now() + LAST_HEAD;
        while !self.unsigned.is_empty() {
            self.ask()?;
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(RunError::Journal("the notary did not sign the last head in time".into()));
            }
            if let Some(fd) = self.fd() {
                use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
                let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
                let _ready = poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX));
            }
            self.hear()?;
        }
        Ok(())
    }
}

/// Why a notary did not go on.
enum GoOn {
    /// It died: another may.
    Gone,
    /// None will.
    Ends(RunError),
}

impl From<ClientError> for GoOn {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Gone => Self::Gone,
            other => Self::Ends(refused(other)),
        }
    }
}

impl From<RunError> for GoOn {
    fn from(error: RunError) -> Self {
        Self::Ends(error)
    }
}

fn died_too_often() -> RunError {
    RunError::Journal(format!(
        "the notary ended {ATTEMPTS} times without a signature; stockade notary show may say why"
    ))
}

/// What can't be signed can't be kept.
fn refused(error: ClientError) -> RunError {
    RunError::Journal(format!("journal: its heads cannot be signed: {error}"))
}

/// Replaces the run's checkpoint. The host's log has the head durably already: this is a copy at hand.
fn put_checkpoint(folder: &Path, note: &str) -> Result<(), RunError> {
    let (new, path) = (folder.join(".checkpoint"), folder.join(CHECKPOINT));
    let mut file = std::fs::File::create(&new).doing("create", &new)?;
    file.write_all(note.as_bytes()).and_then(|()| file.sync_data()).doing("write", &new)?;
    std::fs::rename(&new, &path).doing("replace", &path)
}
