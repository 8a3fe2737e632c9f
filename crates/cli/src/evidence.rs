//! Whether a journal is what a key's owner signed.

use std::fmt;
use std::path::{Path, PathBuf};

use stockade_journal::note::{Checkpoint, MAX_NOTE, Note, NoteError, VerifierKey};
use stockade_journal::tiles::{Folder, KeyChain, LogError};
use stockade_journal::tree::{Frontier, FrontierError, Hash};
use stockade_journal::{ReadError, Record, Verified, hex, verify_each};

mod host;

pub use host::{Heads, PROOF, Proof, log_folder};

/// What is checked.
#[derive(Debug)]
pub struct Evidence {
    /// The run it should be of.
    pub run: String,
    /// Folder of the journal.
    pub journal: PathBuf,
    /// The run's checkpoint, if there is one.
    pub checkpoint: Option<PathBuf>,
    /// Folder with the host's log, or with what a bundle has of it; it need not be there.
    pub host: PathBuf,
}

/// What was found.
#[derive(Debug)]
pub struct Found {
    /// Of the journal.
    pub verified: Verified,
    /// Root of the tree over all lines.
    pub root: Hash,
    /// The signed head, which agrees with the journal.
    pub signed: Option<Signed>,
    /// What the host's log says of the run, which agrees with the journal too.
    pub heads: Heads,
    /// Whether a key was asked about, which then signed the head, the host's log or both.
    pub authenticated: bool,
}

/// A head that agrees with the journal.
#[derive(Debug)]
pub struct Signed {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// The key that signed it, if one was asked about: else nobody knows who did.
    pub by: Option<VerifierKey>,
    /// Epochs between the key that was given and this one.
    pub epochs: usize,
}

/// Why a journal is not what was signed.
#[derive(Debug)]
pub enum EvidenceError {
    /// It does not hold together by itself.
    Journal(ReadError),
    /// Its first record is of another run.
    Run {
        /// The run it should be of.
        expected: String,
        /// What it says.
        found: String,
    },
    /// Its first record is no start.
    NoStart,
    /// A key was given, and there is no checkpoint.
    Unsigned,
    /// A note could not be read.
    Io {
        /// Its file.
        file: String,
        /// Why.
        error: std::io::Error,
    },
    /// A note is not one, or not signed by the key.
    Note {
        /// Its file.
        file: String,
        /// Why.
        error: NoteError,
    },
    /// The checkpoint is of another log: another run, or another host.
    Origin {
        /// The log it should be of.
        expected: String,
        /// What it says.
        found: String,
    },
    /// The journal has fewer records than were signed.
    Cut {
        /// Records of the signed head.
        signed: u64,
        /// Records found.
        found: u64,
    },
    /// As many records have another root.
    Root {
        /// Records of the signed head.
        size: u64,
        /// Its root.
        signed: Hash,
        /// The root of the journal's first `size` records.
        found: Hash,
    },
    /// The host's log, or what a bundle has of it, does not hold together or is not signed.
    Host(LogError),
    /// The host's log has no such head: it was never in it, or the log was replaced.
    NotLogged {
        /// Records of the signed head.
        size: u64,
    },
    /// Records were taken of a run whose policy keeps all.
    Taken {
        /// How many.
        records: u64,
        /// Number of the first.
        first: u64,
    },
    /// The tree has no room.
    Tree(FrontierError),
}

impl fmt::Display for EvidenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Journal(error) => write!(f, "journal: {error}"),
            Self::Run { expected, found } => {
                write!(f, "the journal is of run {found:?}, not of {expected:?}: it was put in its place")
            }
            Self::NoStart => write!(f, "the journal's first record is not the start of a run"),
            Self::Unsigned => write!(f, "there is no signed head of this run: it never had one, or it was removed"),
            Self::Io { file, error } => write!(f, "{file}: {error}"),
            Self::Note { file, error } => write!(f, "{file}: {error}"),
            Self::Origin { expected, found } => {
                write!(f, "the checkpoint is of {found:?}, not of {expected:?}: of another run or another host")
            }
            Self::Cut { signed, found } => {
                write!(
                    f,
                    "rollback: {found} records, but {signed} were signed: the journal was cut, or an older one put back"
                )
            }
            Self::Root { size, signed, found } => write!(
                f,
                "the first {size} records have the root {}, but {} was signed: a record was changed, and those after it \
                 were chained anew",
                hex(found),
                hex(signed)
            ),
            Self::Host(error) => write!(f, "the host's log: {error}"),
            Self::NotLogged { size } => write!(f, "the signed head of {size} records is not in the host's log"),
            Self::Taken { records, first } => write!(
                f,
                "{records} record(s) were taken, from {first} on, of a run whose policy lets none be pruned: somebody put \
                 tombstones in their place"
            ),
            Self::Tree(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for EvidenceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Journal(error) => Some(error),
            Self::Io { error, .. } => Some(error),
            Self::Note { error, .. } => Some(error),
            Self::Tree(error) => Some(error),
            Self::Host(error) => Some(error),
            _ => None,
        }
    }
}

impl Evidence {
    /// Checks the journal, and that it is what its checkpoint and the host's log say. With a key, that the key signed
    /// them, or one that follows from it: the last checkpoint of an epoch names the next key. In the memory of a few
    /// records and of the run's heads.
    ///
    /// # Errors
    /// [`EvidenceError`]
    pub fn check(&self, key: Option<&VerifierKey>) -> Result<Found, EvidenceError> {
        let folder = self.host.is_dir().then(|| Folder::open(&self.host)).transpose().map_err(EvidenceError::Host)?;
        let keys = key.map(|key| chain(key, folder.as_ref())).transpose()?;
        // Before the log: a run that goes on has it grow, and what is in the one is in the other a moment later.
        let signed = self.signed(keys.as_ref())?;
        let heads = match folder {
            Some(folder) => Heads::read(folder, &self.run, keys.as_ref())?,
            None => Heads::default(),
        };
        self.hold(key.is_some(), signed, heads)
    }

    /// [`Evidence::check`] of what was read of the notary's: the run's checkpoint and the host's log.
    ///
    /// # Errors
    /// [`EvidenceError`]
    pub fn hold(&self, keyed: bool, signed: Option<Signed>, heads: Heads) -> Result<Found, EvidenceError> {
        if keyed && signed.is_none() && heads.sizes.is_empty() {
            return Err(EvidenceError::Unsigned);
        }
        let own = signed.as_ref().map(|signed| (signed.checkpoint.size, signed.checkpoint.root));
        if let (Some((size, root)), true) = (own, heads.logged)
            && !heads.sizes.contains(&(size, root))
        {
            return Err(EvidenceError::NotLogged { size });
        }
        let mut expected: Vec<(u64, Hash)> = heads.sizes.iter().copied().chain(own).collect();
        expected.sort_unstable();
        expected.dedup();
        let (verified, root) = self.against(&expected)?;
        Ok(Found { verified, root, signed, heads, authenticated: keyed })
    }

    /// Reads the journal once, and holds its tree against the heads, which are in the order of their sizes.
    fn against(&self, expected: &[(u64, Hash)]) -> Result<(Verified, Hash), EvidenceError> {
        let mut tree = Frontier::new();
        let mut expected = expected.iter().copied().peekable();
        let (mut run, mut full, mut wrong) = (None, None, None);
        let (mut keeps_all, mut taken) = (false, None);
        // A run that ended before its start has records of that end alone; one that was pruned may have none.
        let mut ran = false;
        let mut hold = |tree: &Frontier| {
            while let Some((size, signed)) = expected.next_if(|(size, _)| *size == tree.size()) {
                let found = tree.root();
                if found != signed && wrong.is_none() {
                    wrong = Some(EvidenceError::Root { size, signed, found });
                }
            }
        };
        hold(&tree);
        let verified = verify_each(&self.journal, |line| {
            if let (1, Record::Start(start)) = (line.entry.seq, &line.entry.record) {
                run = Some(start.run.clone());
                keeps_all = ["retention", "blob"].iter().all(|key| start.settings.get(key).is_none());
            }
            if let Record::Tombstone { .. } = line.entry.record {
                taken = taken.or(Some(line.entry.seq));
            }
            ran |= !matches!(
                line.entry.record,
                Record::Lifecycle { .. } | Record::Recovered { .. } | Record::Tombstone { .. }
            );
            full = full.take().or(tree.push(line.hash).err());
            hold(&tree);
        })
        .map_err(EvidenceError::Journal)?;
        let left = expected.last();
        match run {
            None if ran => return Err(EvidenceError::NoStart),
            None => {}
            Some(found) if found != self.run => return Err(EvidenceError::Run { expected: self.run.clone(), found }),
            Some(_) => {}
        }
        match (full, wrong, left) {
            (Some(error), ..) => Err(EvidenceError::Tree(error)),
            (_, Some(error), _) => Err(error),
            (_, _, Some((signed, _))) => Err(EvidenceError::Cut { signed, found: verified.records }),
            _ => match taken.filter(|_| keeps_all) {
                Some(first) => Err(EvidenceError::Taken { records: verified.tombstones, first }),
                None => Ok((verified, tree.root())),
            },
        }
    }

    /// The checkpoint, and who signed it.
    ///
    /// # Errors
    /// [`EvidenceError`]
    pub fn signed(&self, keys: Option<&KeyChain>) -> Result<Option<Signed>, EvidenceError> {
        let Some(file) = &self.checkpoint else { return Ok(None) };
        // Its name alone: a bundle's files lie where nobody will find them.
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bad = |error| EvidenceError::Note { file: name.clone(), error };
        let bytes = read(file)?;
        let suffix = format!("/run/{}", self.run);
        let Some(keys) = keys else {
            let checkpoint = Checkpoint::parse(Note::parse(&bytes).map_err(bad)?.text()).map_err(bad)?;
            return match checkpoint.origin.ends_with(&suffix) {
                true => Ok(Some(Signed { checkpoint, by: None, epochs: 0 })),
                false => Err(EvidenceError::Origin { expected: format!("HOST{suffix}"), found: checkpoint.origin }),
            };
        };
        let expected = format!("{}{suffix}", keys.origin());
        match keys.open(&bytes, &expected) {
            Ok((checkpoint, _, key)) => {
                let ended = keys.ended().iter().position(|epoch| epoch.key == *key);
                let epochs = ended.unwrap_or(keys.ended().len());
                Ok(Some(Signed { checkpoint, by: Some(key.clone()), epochs }))
            }
            Err(NoteError::Origin { found, .. }) => Err(EvidenceError::Origin { expected, found }),
            Err(error) => Err(bad(error)),
        }
    }
}

/// The keys that follow from `first`, by the notes of epochs in `folder`.
///
/// # Errors
/// [`EvidenceError`]
pub fn chain(first: &VerifierKey, folder: Option<&Folder>) -> Result<KeyChain, EvidenceError> {
    let Some(folder) = folder else { return Ok(KeyChain::new(first.clone(), first.name())) };
    KeyChain::read(folder, first.clone(), first.name()).map_err(|error| match error {
        LogError::Note { file, cause } => EvidenceError::Note { file, error: cause },
        other => EvidenceError::Host(other),
    })
}

fn read(file: &Path) -> Result<Vec<u8>, EvidenceError> {
    use std::io::Read;
    let failed = |error| EvidenceError::Io { file: file.display().to_string(), error };
    let mut bytes = Vec::new();
    // One byte more than there may be, so that a longer one is seen to be too long.
    let most = MAX_NOTE as u64 + 1;
    crate::regular::open(file).map_err(failed)?.take(most).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
