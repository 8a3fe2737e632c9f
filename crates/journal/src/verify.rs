//! Checking all of a journal and its blobs.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use sha2::{Digest, Sha256};

use crate::dir::{BLOBS, open_dir, open_file};
use crate::error::{At, ReadError};
use crate::hash::{hex, is_digest};
use crate::reader::{Line, Reader};
use crate::references::{Reference, references};

/// Blobs that are remembered as checked; more than these may be hashed more than once.
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
}

/// Checks every line of the journal in the directory `path`, and every blob that a line names.
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
    // Made before the first segment, so there is nothing to wait for.
    let dir = open_dir(reader.dir(), BLOBS).ok();
    let mut blobs = Blobs { dir, checked: HashSet::new(), count: 0 };
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
            blobs.check(line.at, reference)?;
        }
    }
    let (records, head) = reader.head();
    if records == 0 {
        return Err(ReadError::NoRecord);
    }
    match seen {
        Some((expected, _)) if records < expected => Err(ReadError::Rollback { expected, found: records }),
        _ => Ok(Verified { records, head: hex(&head), segments: reader.segments(), blobs: blobs.count }),
    }
}

struct Blobs {
    dir: Option<OwnedFd>,
    checked: HashSet<(String, u64)>,
    count: u64,
}

impl Blobs {
    fn check(&mut self, at: At, blob: Reference<'_>) -> Result<(), ReadError> {
        self.count += 1;
        let key = (blob.sha256.to_owned(), blob.size);
        if self.checked.contains(&key) {
            return Ok(());
        }
        let wrong = |what: String| {
            let sha256 = blob.sha256.chars().take(64).collect();
            Err(ReadError::Blob { at, sha256, what })
        };
        if !is_digest(blob.sha256) {
            return wrong("not a SHA-256 in hex".to_owned());
        }
        let Some(dir) = &self.dir else {
            return wrong("the directory blobs can't be opened".to_owned());
        };
        let (file, size) = match open_file(dir, blob.sha256, OFlag::O_RDONLY) {
            Ok(opened) => opened,
            Err(Errno::ENOENT) => return wrong("missing".to_owned()),
            Err(errno) => return wrong(errno.desc().to_owned()),
        };
        if size != blob.size {
            return wrong(format!("{size} bytes, expected {}", blob.size));
        }
        match digest(File::from(file), size) {
            Ok(found) if found == blob.sha256 => {}
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
