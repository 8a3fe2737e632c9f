//! Whether a journal is what a key's owner signed.

use std::fmt;
use std::path::{Path, PathBuf};

use stockade_journal::note::{Checkpoint, Note, NoteError, VerifierKey};
use stockade_journal::tree::{Frontier, FrontierError, Hash};
use stockade_journal::{ReadError, Record, Verified, hex, verify_each};

/// Extension line of the last checkpoint of an epoch, before the key of the next.
const NEXT: &str = "next-key ";

/// Longest note that is read, in bytes.
const NOTE: u64 = stockade_journal::note::MAX_NOTE as u64;

/// Most epochs that are followed: one a day for 270 years.
const EPOCHS: usize = 100_000;

/// What is checked.
#[derive(Debug)]
pub struct Evidence {
    /// The run it should be of.
    pub run: String,
    /// Folder of the journal.
    pub journal: PathBuf,
    /// The run's checkpoint, if there is one.
    pub checkpoint: Option<PathBuf>,
    /// Folder of the last checkpoints of epochs.
    pub epochs: PathBuf,
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
            _ => None,
        }
    }
}

impl Evidence {
    /// Checks the journal, and that it is what its checkpoint says. With a key, that the key signed it, or one that
    /// follows from it: the last checkpoint of an epoch names the next key. In the memory of a few records.
    ///
    /// # Errors
    /// [`EvidenceError`]
    pub fn check(&self, key: Option<&VerifierKey>) -> Result<Found, EvidenceError> {
        let signed = self.signed(key)?;
        let size = signed.as_ref().map(|signed| signed.checkpoint.size);
        let mut tree = Frontier::new();
        let mut then = (size == Some(0)).then(|| tree.root());
        let mut run = None;
        let mut full = None;
        let verified = verify_each(&self.journal, |line| {
            if let (1, Record::Start(start)) = (line.entry.seq, &line.entry.record) {
                run = Some(start.run.clone());
            }
            full = full.take().or(tree.push(line.hash).err());
            if size == Some(tree.size()) {
                then = Some(tree.root());
            }
        })
        .map_err(EvidenceError::Journal)?;
        if let Some(error) = full {
            return Err(EvidenceError::Tree(error));
        }
        match run {
            None => return Err(EvidenceError::NoStart),
            Some(found) if found != self.run => return Err(EvidenceError::Run { expected: self.run.clone(), found }),
            Some(_) => {}
        }
        if let Some(Signed { checkpoint: Checkpoint { size, root: signed, .. }, .. }) = &signed {
            match then {
                None => return Err(EvidenceError::Cut { signed: *size, found: verified.records }),
                Some(found) if found != *signed => {
                    return Err(EvidenceError::Root { size: *size, signed: *signed, found });
                }
                Some(_) => {}
            }
        }
        Ok(Found { verified, root: tree.root(), signed })
    }

    /// The checkpoint, and who signed it.
    fn signed(&self, key: Option<&VerifierKey>) -> Result<Option<Signed>, EvidenceError> {
        let Some(file) = &self.checkpoint else {
            return if key.is_some() { Err(EvidenceError::Unsigned) } else { Ok(None) };
        };
        let bad = |error| EvidenceError::Note { file: file.display().to_string(), error };
        let note = Note::parse(&read(file)?).map_err(bad)?;
        let (by, epochs) = match key {
            Some(key) => self.signer(&note, key)?.map_err(bad).map(|(key, epochs)| (Some(key), epochs))?,
            None => (None, 0),
        };
        let checkpoint = Checkpoint::parse(note.text()).map_err(bad)?;
        let of_run = format!("/run/{}", self.run);
        let host = by.as_ref().map(VerifierKey::name).or_else(|| checkpoint.origin.strip_suffix(&of_run));
        let expected = format!("{}{of_run}", host.unwrap_or("HOST"));
        if checkpoint.origin != expected {
            return Err(EvidenceError::Origin { expected, found: checkpoint.origin });
        }
        Ok(Some(Signed { checkpoint, by, epochs }))
    }

    /// The key that signed `note`, and how many epochs after `first` it is. If none did, why the first did not.
    fn signer(
        &self,
        note: &Note,
        first: &VerifierKey,
    ) -> Result<Result<(VerifierKey, usize), NoteError>, EvidenceError> {
        let refused = match note.verify(first) {
            Ok(()) => return Ok(Ok((first.clone(), 0))),
            Err(error) => error,
        };
        let mut key = first.clone();
        let mut followed = 0;
        for file in epochs(&self.epochs)? {
            let Ok(last) = Note::parse(&read(&file)?) else { continue };
            // Of an epoch before the key that was given, or not the key's.
            if last.verify(&key).is_err() {
                continue;
            }
            let next = Checkpoint::parse(last.text()).ok().filter(|checkpoint| checkpoint.origin == key.name());
            let next = next.and_then(|checkpoint| {
                checkpoint.extensions.iter().find_map(|line| line.strip_prefix(NEXT)?.parse::<VerifierKey>().ok())
            });
            let Some(next) = next.filter(|next| next.name() == first.name()) else { continue };
            key = next;
            followed += 1;
            if note.verify(&key).is_ok() {
                return Ok(Ok((key, followed)));
            }
        }
        Ok(Err(refused))
    }
}

fn read(file: &Path) -> Result<Vec<u8>, EvidenceError> {
    use std::io::Read;
    let failed = |error| EvidenceError::Io { file: file.display().to_string(), error };
    let mut bytes = Vec::new();
    // One byte more than there may be, so that a longer one is seen to be too long.
    std::fs::File::open(file).map_err(failed)?.take(NOTE + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// The last checkpoints of epochs, oldest first.
fn epochs(folder: &Path) -> Result<Vec<PathBuf>, EvidenceError> {
    let failed = |error| EvidenceError::Io { file: folder.display().to_string(), error };
    let listing = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut files: Vec<_> = listing.flatten().map(|entry| entry.path()).take(EPOCHS).collect();
    files.sort();
    Ok(files)
}
