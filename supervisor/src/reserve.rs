//! Reservations: one host id range a run, and the note of what must go when the run does.
//!
//! A reservation is a file in [`crate::home::RUNTIME`]`/ids` with an flock(2) on it. The lock belongs to the
//! open file, which the supervisor and its janitor share: it is free only when both are gone. A file without
//! a lock is what a crash of the machine left, and says what to clean.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::error::{Doing, RunError, errno_of};
use crate::home::RUNTIME;
use crate::reclaim;

/// First host id that is handed out (docs/operate.md): above systemd's container ranges.
pub const FIRST_HOST_ID: u32 = 1_900_000_000;
/// Ids of one user namespace.
pub const IDS: u32 = 65_536;
/// Ranges of one run: agent, shim, tools, compiler, egress. No two of them share an identity.
const RANGES: u32 = 5;
/// Runs at one time.
pub const MAX_RUNS: u32 = 512;

/// What must go when the run does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Note {
    /// The run.
    pub run: String,
    /// The run's v2 group.
    pub v2: PathBuf,
    /// Our folders on v1; groups there are named `RUN.CELL`.
    pub v1: Vec<PathBuf>,
    /// The journal, lent to the shim's uid.
    pub journal: PathBuf,
    /// Records that the journal of a resumed run had before: if it has no more, nothing has happened since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<u64>,
    /// The copy of a journal that a replay reads, if this is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<PathBuf>,
}

/// A range of host ids that is ours alone.
#[derive(Debug)]
pub(crate) struct Reservation {
    /// Locked. Not a `Flock`, which unlocks when it is dropped: an open file that is closed leaves the lock to the janitor.
    file: File,
    path: PathBuf,
    slot: u32,
}

/// Whose id range.
#[derive(Debug, Clone, Copy)]
#[repr(u32)]
pub(crate) enum Range {
    Agent = 0,
    Shim = 1,
    Tools = 2,
    Compiler = 3,
    Egress = 4,
}

fn folder() -> PathBuf {
    Path::new(RUNTIME).join("ids")
}

/// Holds everyone else's allocation, release and sweep while it lives.
fn global_lock() -> Result<Flock<File>, RunError> {
    let path = Path::new(RUNTIME).join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path).doing("open", &path)?;
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno).doing("lock", &path)
}

impl Reservation {
    /// Takes the first free range. What earlier runs left behind is cleaned first; each message tells of one.
    pub(crate) fn take(tell: impl FnMut(String)) -> Result<Self, RunError> {
        // Told when the lock is free again: the operator's screen may be slow.
        let mut news = Vec::new();
        let taken = Self::take_locked(&mut news);
        news.into_iter().for_each(tell);
        taken
    }

    fn take_locked(news: &mut Vec<String>) -> Result<Self, RunError> {
        let _lock = global_lock()?;
        sweep(&mut |text| news.push(text))?;
        for slot in 0..MAX_RUNS {
            let path = folder().join(slot.to_string());
            let file =
                File::options().create(true).truncate(false).read(true).write(true).open(&path).doing("open", &path)?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) if file.metadata().doing("examine", &path)?.len() == 0 => {
                    return Ok(Self { file, path, slot });
                }
                // Left behind and not cleanable: the sweep has told; its ids stay out of use.
                Ok(()) | Err(rustix::io::Errno::WOULDBLOCK) => {}
                Err(errno) => return Err(Errno::from_raw(errno.raw_os_error())).doing("lock", &path),
            }
        }
        Err(RunError::Host(format!(
            "no free uid range: {MAX_RUNS} runs have all of {FIRST_HOST_ID} to {}; wait for one to end, or see {}",
            FIRST_HOST_ID + MAX_RUNS * RANGES * IDS - 1,
            folder().display()
        )))
    }

    /// Writes down what must go, before any of it exists.
    pub(crate) fn write(&mut self, note: &Note) -> Result<(), RunError> {
        let text = serde_json::to_vec(note).map_err(|e| RunError::Internal(e.to_string()))?;
        self.file.rewind().and_then(|()| self.file.write_all(&text)).doing("write", &self.path)
    }

    /// First host id of a range.
    pub(crate) fn host_id(&self, range: Range) -> u32 {
        FIRST_HOST_ID + (self.slot * RANGES + range as u32) * IDS
    }

    /// The open file for the janitor, which shares the lock.
    pub(crate) fn share(&self) -> Result<File, RunError> {
        self.file.try_clone().doing("share", &self.path)
    }

    /// Gives the range back.
    pub(crate) fn release(self) -> Result<(), RunError> {
        release(&self.path, &self.file)
    }
}

/// Unlinks the reservation that the caller has open as `file`. If it was swept meanwhile, what is at its path now is
/// another run's, and stays.
pub(crate) fn release(path: &Path, file: &File) -> Result<(), RunError> {
    let _lock = global_lock()?;
    let own = file.metadata().doing("examine", path)?;
    let there = fs::metadata(path).doing("remove", path)?;
    if (there.dev(), there.ino()) != (own.dev(), own.ino()) {
        return Ok(());
    }
    fs::remove_file(path).doing("remove", path)
}

/// Reads a reservation's note; `None` if nothing had been written, so nothing had been made.
pub(crate) fn read_note(file: &mut File) -> Result<Option<Note>, RunError> {
    let mut text = String::new();
    file.rewind()
        .and_then(|()| file.read_to_string(&mut text))
        .map_err(|e| errno_of(&e))
        .doing("read", "reservation")?;
    if text.is_empty() {
        return Ok(None);
    }
    // A note is written whole before anything exists: one that was cut short stands for nothing.
    let Ok(note) = serde_json::from_str::<Note>(&text) else { return Ok(None) };
    if note.is_ours() {
        Ok(Some(note))
    } else {
        Err(RunError::Internal("a reservation names what is not a run's".into()))
    }
}

impl Note {
    /// Whether it names a run's things and nothing else: what it names is removed as root.
    fn is_ours(&self) -> bool {
        let run = &self.run;
        let named = run.strip_prefix("r-").is_some_and(|rest| {
            !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        });
        let under = |path: &Path, tail: &[&str]| {
            path.is_absolute()
                && path.ends_with(tail.iter().collect::<PathBuf>())
                && !path.components().any(|c| c == Component::ParentDir)
        };
        named
            && under(&self.v2, &["stockade", run])
            && self.v1.iter().all(|folder| under(folder, &["stockade"]))
            && under(&self.journal, &["runs", run, "journal"])
            && self.copy.as_ref().is_none_or(|copy| under(copy, &["replays", run]))
    }
}

/// Whether some reservation is of this run: it lives, or is being cleaned up.
pub(crate) fn is_held(run: &str) -> Result<bool, RunError> {
    note_of(run).map(|note| note.is_some())
}

/// The note of a run that has a reservation.
pub(crate) fn note_of(run: &str) -> Result<Option<Note>, RunError> {
    let _lock = global_lock()?;
    for entry in fs::read_dir(folder()).doing("list", folder())?.flatten() {
        let Ok(mut file) = File::open(entry.path()) else { continue };
        let mut text = String::new();
        file.read_to_string(&mut text).doing("read", entry.path())?;
        match serde_json::from_str::<Note>(&text) {
            Ok(note) if note.run == run => return Ok(Some(note)),
            _ => {}
        }
    }
    Ok(None)
}

/// Cleans every reservation that nobody holds.
fn sweep(tell: &mut impl FnMut(String)) -> Result<(), RunError> {
    for entry in fs::read_dir(folder()).doing("list", folder())?.flatten() {
        let path = entry.path();
        let Ok(file) = File::options().read(true).write(true).open(&path) else { continue };
        let Ok(mut file) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else { continue };
        let cleaned = read_note(&mut file).and_then(|note| match note {
            Some(note) => reclaim::after_crash(&note).map(|problem| {
                tell(format!("cleaned up after run {}, which ended with its machine or supervisor", note.run));
                problem.into_iter().for_each(&mut *tell);
            }),
            None => Ok(()),
        });
        match cleaned {
            Ok(()) => fs::remove_file(&path).doing("remove", &path)?,
            Err(error) => tell(format!("cannot clean up {}: {error}", path.display())),
        }
    }
    Ok(())
}
