//! Checking all of a journal and its blobs.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use sha2::{Digest, Sha256};

use crate::contents::SALT;
use crate::dir::{BLOBS, PRIVATE, open_dir, open_file};
use crate::error::{At, ReadError};
use crate::hash::{hex, is_digest};
use crate::reader::{Line, Reader};
use crate::record::Record;
use crate::references::{Kind, Reference, of_env, references};

/// Files that are remembered as checked; more than these may be hashed more than once.
const REMEMBERED: usize = 65_536;

/// A journal that holds together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Records in it.
    pub records: u64,
    /// Hash of the last record's line, hex.
    pub head: String,
    /// Files they are in.
    pub segments: u32,
    /// References to blobs that were checked.
    pub blobs: u64,
    /// References to private values that were checked.
    pub private: u64,
    /// References to private values that have been erased.
    pub erased: u64,
    /// Records that retention took; of these there is the leaf alone.
    pub tombstones: u64,
}

/// Checks every line of the journal in the directory `path`, every blob that a line names, and every private value that
/// is still there.
pub fn verify(path: &Path) -> Result<Verified, ReadError> {
    run(path, None, |_| {})
}

/// [`verify`], and shows each line as it is checked, before its blobs are: what a tree over the lines is made of.
pub fn verify_each(path: &Path, each: impl FnMut(&Line<'_>)) -> Result<Verified, ReadError> {
    run(path, None, each)
}

/// [`verify`], and that the record `seq` has the hash `head` (hex), as someone saw it earlier. This
/// is what finds a journal that was cut, or whose last line was changed.
pub fn verify_to(path: &Path, seq: u64, head: &str) -> Result<Verified, ReadError> {
    run(path, Some((seq, head)), |_| {})
}

fn run(path: &Path, seen: Option<(u64, &str)>, mut each: impl FnMut(&Line<'_>)) -> Result<Verified, ReadError> {
    let mut reader = Reader::open(path)?;
    // Made before a line names anything in them, so there is nothing to wait for.
    let [blobs, private] = [BLOBS, PRIVATE].map(|name| open_dir(reader.dir(), name).ok());
    let mut beside = Beside { blobs, private, checked: HashSet::new(), counts: [0; 3] };
    let mut tombstones = 0;
    while let Some(line) = reader.read()? {
        if let Some((seq, head)) = seen
            && line.entry.seq == seq
            && hex(&line.hash) != head
        {
            let expected = head.chars().take(64).collect();
            return Err(ReadError::Head { at: line.at, expected, found: hex(&line.hash) });
        }
        each(&line);
        for reference in references(&line.entry.record) {
            beside.check(line.at, reference)?;
        }
        let (record, at) = (line.entry.record, line.at);
        let settings = reader.long_settings(&record, at)?;
        for reference in settings.iter().flat_map(of_env) {
            beside.check(at, reference)?;
        }
        tombstones += u64::from(matches!(record, Record::Tombstone { .. }));
    }
    let (records, head) = reader.head();
    if records == 0 {
        return Err(ReadError::NoRecord);
    }
    match seen {
        Some((expected, _)) if records < expected => Err(ReadError::Rollback { expected, found: records }),
        _ => {
            let [blobs, private, erased] = beside.counts;
            let segments = reader.segments();
            Ok(Verified { records, head: hex(&head), segments, blobs, private, erased, tombstones })
        }
    }
}

struct Beside {
    blobs: Option<OwnedFd>,
    private: Option<OwnedFd>,
    checked: HashSet<(Kind, String, u64)>,
    /// Blobs, private values, private values that are gone.
    counts: [u64; 3],
}

impl Beside {
    fn check(&mut self, at: At, named: Reference<'_>) -> Result<(), ReadError> {
        let Reference { kind, sha256, size } = named;
        let (store, dir) = match kind {
            Kind::Blob => (BLOBS, &self.blobs),
            Kind::Private => (PRIVATE, &self.private),
        };
        let wrong = |what: String| {
            let sha256 = sha256.chars().take(64).collect();
            Err(ReadError::Blob { at, store, sha256, what })
        };
        if !is_digest(sha256) {
            return wrong("not a SHA-256 in hex".to_owned());
        }
        let [blobs, private, erased] = &mut self.counts;
        let key = (kind, sha256.to_owned(), size);
        let known = self.checked.contains(&key);
        let opened = match dir {
            _ if known => Ok(None),
            Some(dir) => open_file(dir, sha256, OFlag::O_RDONLY).map(Some),
            None => Err(Errno::ENOENT),
        };
        let opened = match (opened, kind) {
            (Err(Errno::ENOENT), Kind::Private) => {
                *erased += 1;
                return Ok(());
            }
            (Err(Errno::ENOENT), Kind::Blob) => return wrong("missing".to_owned()),
            (Err(errno), _) => return wrong(errno.desc().to_owned()),
            (Ok(opened), _) => opened,
        };
        *(if kind == Kind::Blob { blobs } else { private }) += 1;
        let Some((file, found)) = opened else { return Ok(()) };
        let size = size.saturating_add(if kind == Kind::Private { SALT } else { 0 });
        if found != size {
            return wrong(format!("{found} bytes, expected {size}"));
        }
        match digest(File::from(file), size) {
            Ok(found) if found == sha256 => {}
            Ok(found) => return wrong(format!("its bytes hash to {found}")),
            Err(error) => return wrong(error.to_string()),
        }
        if self.checked.len() < REMEMBERED {
            self.checked.insert(key);
        }
        Ok(())
    }
}

/// Digest of a file's first `size` bytes; a file that is still growing doesn't hold us.
fn digest(file: File, size: u64) -> std::io::Result<String> {
    let mut rest = file.take(size);
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = rest.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
    }
}
