//! Appending to the host's log so that a crash at any point rolls nothing back that was signed.
//!
//! The order: entries and tiles are on disk, then the checkpoint over them is signed and put on disk
//! under another name, then renamed. A crash before the signature leaves files that no checkpoint
//! covers, and the next append writes over them. A crash after it leaves a signed checkpoint whose
//! tiles are complete, and whoever comes next puts it in place: no two trees of one size are ever signed.

use std::fmt;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::layout::{HEIGHT, LEVELS, Row, WIDTH, full_path, tile_path};
use super::{CHECKPOINT, Folder, HostLog, LogError, ORIGIN, PUBLIC, RunHead};
use crate::note::{Checkpoint, MAX_NOTE, Note, SigningKey, VerifierKey, is_name};
use crate::tree::{Frontier, Hash, empty_root, leaf_hash};

/// A signed checkpoint that is not in its place yet.
const PENDING: &str = "checkpoint.next";

/// The log's lock file.
const LOCK: &str = "lock";

/// The right to change the log's folder: no other process has it.
pub struct LogLock<'a> {
    log: &'a HostLog,
    _held: Flock<OwnedFd>,
}

impl fmt::Debug for LogLock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogLock").field("log", &self.log.origin()).finish_non_exhaustive()
    }
}

impl<'a> LogLock<'a> {
    pub(super) fn take(log: &'a HostLog) -> Result<Self, LogError> {
        Ok(Self { log, _held: lock(log.folder())? })
    }

    /// The log.
    pub fn log(&self) -> &'a HostLog {
        self.log
    }
}

fn lock(folder: &Folder) -> Result<Flock<OwnedFd>, LogError> {
    let mut file = folder.lock_file(LOCK)?;
    loop {
        match Flock::lock(file, FlockArg::LockExclusive) {
            Ok(held) => return Ok(held),
            Err((back, Errno::EINTR)) => file = back,
            Err((_, errno)) => return Err(LogError::io("flock", LOCK)(errno)),
        }
    }
}

/// Where a head was put.
#[derive(Debug, Clone)]
pub struct Appended {
    /// Its leaf's index, from 0.
    pub index: u64,
    /// The leaf's bytes.
    pub leaf: Vec<u8>,
    /// The log's head with it.
    pub checkpoint: Note,
}

/// The log, locked, checked, and ready to grow.
#[derive(Debug)]
pub struct Appender<'a> {
    lock: &'a LogLock<'a>,
    frontier: Frontier,
    head: Checkpoint,
}

impl HostLog {
    /// Begins a log: its name, and a signed head without leaves. `prepare`, which makes the key, runs under
    /// the lock. A log that was begun is opened as it is, and `prepare` not called.
    pub fn begin(
        folder: Folder,
        origin: &str,
        prepare: impl FnOnce(&Folder) -> Result<SigningKey, LogError>,
    ) -> Result<Self, LogError> {
        if !is_name(origin) {
            return Err(LogError::Head { why: "the log's name is empty, too long, or has a space or '+'" });
        }
        let held = lock(&folder)?;
        // The origin is written last: with it the log is begun.
        if !folder.has(ORIGIN)? {
            let key = prepare(&folder)?;
            let head = Checkpoint { origin: origin.to_owned(), size: 0, root: empty_root(), extensions: Vec::new() };
            let note = head.sign(&key).map_err(note_error)?;
            folder.put(CHECKPOINT, note.to_string().as_bytes(), PUBLIC)?;
            folder.put(ORIGIN, format!("{origin}\n").as_bytes(), PUBLIC)?;
        }
        drop(held);
        Self::open(folder)
    }
}

impl<'a> Appender<'a> {
    /// Finishes what a crash interrupted, and checks that `key` signed the log's head and that the tiles
    /// lead to its root.
    pub fn open(lock: &'a LogLock<'a>, key: &VerifierKey) -> Result<Self, LogError> {
        let log = lock.log;
        roll_forward(log, key)?;
        let (head, _) = log.checkpoint_by(key)?;
        let frontier = log.frontier(head.size)?;
        if frontier.root() != head.root {
            return Err(LogError::damaged(CHECKPOINT, "the tiles are not those that it was signed over"));
        }
        Ok(Self { lock, frontier, head })
    }

    /// The log's head.
    pub fn head(&self) -> &Checkpoint {
        &self.head
    }

    /// Appends a head of a run and signs the log's new head; both are on disk at return.
    pub fn append(&mut self, head: &RunHead, key: &SigningKey) -> Result<Appended, LogError> {
        let leaf = head.to_leaf()?;
        let index = self.frontier.size();
        let mut frontier = self.frontier.clone();
        frontier.push(leaf_hash(&leaf)).map_err(LogError::Full)?;
        self.write_entry(index, &leaf)?;
        self.write_hashes(index, leaf_hash(&leaf))?;
        let head =
            Checkpoint { size: frontier.size(), root: frontier.root(), extensions: Vec::new(), ..self.head.clone() };
        let checkpoint = self.publish(&head, key)?;
        (self.frontier, self.head) = (frontier, head);
        self.prune()?;
        Ok(Appended { index, leaf, checkpoint })
    }

    /// Signs the present head with another key, at the beginning of an epoch.
    pub fn resign(&mut self, key: &SigningKey) -> Result<Note, LogError> {
        let head = Checkpoint { extensions: Vec::new(), ..self.head.clone() };
        let note = self.publish(&head, key)?;
        self.head = head;
        Ok(note)
    }

    fn publish(&self, head: &Checkpoint, key: &SigningKey) -> Result<Note, LogError> {
        let note = head.sign(key).map_err(note_error)?;
        let folder = self.lock.log.folder();
        folder.stage(PENDING, note.to_string().as_bytes(), PUBLIC)?;
        folder.publish(PENDING, CHECKPOINT)?;
        Ok(note)
    }

    fn write_entry(&self, index: u64, leaf: &[u8]) -> Result<(), LogError> {
        let log = self.lock.log;
        let (bundle, at) = (index / WIDTH, index % WIDTH);
        let mut leaves = if at == 0 { Vec::new() } else { log.bundle(bundle, index)? };
        leaves.push(leaf.to_vec());
        let mut bytes = Vec::new();
        for leaf in leaves {
            let length = u16::try_from(leaf.len()).map_err(|_| LogError::Head { why: "it is too long" })?;
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(&leaf);
        }
        log.folder().put(&tile_path(Row::Entries, bundle, at + 1), &bytes, PUBLIC)
    }

    /// Adds a hash to the lowest row, and the root of each tile that it fills to the row above.
    fn write_hashes(&self, index: u64, hash: Hash) -> Result<(), LogError> {
        let log = self.lock.log;
        let (mut index, mut hash) = (index, hash);
        for level in 0..LEVELS {
            let (tile, at) = (index / WIDTH, index % WIDTH);
            let mut hashes = if at == 0 { Vec::new() } else { log.hashes(level, tile, index)? };
            hashes.push(hash);
            log.folder().put(&tile_path(Row::Hashes(level), tile, at + 1), hashes.as_flattened(), PUBLIC)?;
            if at + 1 < WIDTH {
                break;
            }
            let mut whole = Frontier::new();
            hashes.iter().try_for_each(|hash| whole.push(*hash)).map_err(LogError::Full)?;
            (index, hash) = (tile, whole.root());
        }
        Ok(())
    }

    /// Removes the unfinished tiles that a full one has replaced, once a checkpoint covers it.
    fn prune(&self) -> Result<(), LogError> {
        let folder = self.lock.log.folder();
        let mut full = self.frontier.size();
        for level in 0..LEVELS {
            if full == 0 || !full.is_multiple_of(WIDTH) {
                break;
            }
            let tile = full / WIDTH - 1;
            let rows = if level == 0 { vec![Row::Hashes(0), Row::Entries] } else { vec![Row::Hashes(level)] };
            for row in rows {
                for width in 1..WIDTH {
                    folder.remove(&tile_path(row, tile, width))?;
                }
                folder.remove_folder(&format!("{}.p", full_path(row, tile)))?;
            }
            full >>= HEIGHT;
        }
        Ok(())
    }
}

/// Puts a signed checkpoint in place that a crash left beside it; one that was not written whole was
/// never seen by anybody, and goes.
fn roll_forward(log: &HostLog, key: &VerifierKey) -> Result<(), LogError> {
    let folder = log.folder();
    let Some(bytes) = folder.read(PENDING, MAX_NOTE)? else { return Ok(()) };
    match Checkpoint::open(&bytes, key, log.origin()) {
        Ok((pending, _)) if log.frontier(pending.size)?.root() == pending.root => folder.publish(PENDING, CHECKPOINT),
        Ok(_) => Err(LogError::damaged(PENDING, "it is signed, and the tiles are not those that it was signed over")),
        Err(_) => folder.remove(PENDING),
    }
}

fn note_error(cause: crate::note::NoteError) -> LogError {
    LogError::Note { file: CHECKPOINT.to_owned(), cause }
}
