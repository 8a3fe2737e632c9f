//! The runs of a state folder.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use stockade_journal::{ReadError, Reader, newest_time};

use crate::failure::Failure;
use crate::moment::Moment;
use crate::say::say;
use crate::screen::plain;

/// Exit code of a journal that is not what was written.
pub const BROKEN: u8 = 15;

/// Ids of the runs, oldest first: they begin with the time.
///
/// # Errors
/// If the folder cannot be listed, or is none that runs are kept in: whoever mistypes its name is not told that nothing
/// ever happened.
pub fn runs(state: &Path) -> Result<Vec<String>, Failure> {
    let dir = state.join("runs");
    let entries = match std::fs::read_dir(&dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(Failure::usage(plain(&format!(
                "{}: no folder of this name, so no run was ever kept here; is it the state folder (--state)?",
                dir.display()
            ))));
        }
        other => other.map_err(|e| Failure::file("list", &dir, &e))?,
    };
    let mut names: Vec<_> = entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

/// The id of a run that is there; `last` is the newest.
///
/// # Errors
/// If there is none of that name.
pub fn find(state: &Path, run: &str) -> Result<String, Failure> {
    let known = runs(state)?;
    let name = if run == "last" { known.last() } else { known.iter().find(|name| *name == run) };
    name.cloned().ok_or_else(|| {
        let (shown, here) = (plain(run), plain(&state.display().to_string()));
        Failure::usage(match run {
            "last" => format!("no run in {here} yet"),
            // As a bundle is named.
            _ if run.contains(['.', '/']) => format!(
                "no run {shown:?} in {here}; of a bundle, this reads what is unpacked into runs/RUN of a folder that \
                 --state names"
            ),
            _ => format!("no run {shown:?} in {here}; see stockade journal list{}", elsewhere(state)),
        })
    })
}

/// What a command needs to find this state folder again: nothing if it is the usual one.
#[must_use]
pub fn elsewhere(state: &Path) -> String {
    if state == Path::new(stockade_supervisor::STATE) {
        return String::new();
    }
    format!(" --state {}", plain(&state.display().to_string()))
}

/// The runs that are named, each once and oldest first; all if none is.
///
/// # Errors
/// As [`runs`] and [`find`].
pub fn select(state: &Path, named: &[String]) -> Result<Vec<String>, Failure> {
    if named.is_empty() {
        return runs(state);
    }
    let mut found = named.iter().map(|run| find(state, run)).collect::<Result<Vec<_>, _>>()?;
    found.sort();
    found.dedup();
    Ok(found)
}

/// Where a run's journal is.
#[must_use]
pub fn journal(state: &Path, run: &str) -> PathBuf {
    state.join("runs").join(run).join("journal")
}

/// A journal that cannot be read on, of a command that reads one.
#[must_use]
pub fn broken(error: &ReadError) -> Failure {
    Failure { code: BROKEN, message: format!("journal: {}", plain(&error.to_string())) }
}

/// Says that a run's journal cannot be read on, and gives the exit code; other runs are still read.
pub fn told_broken(run: &str, error: &ReadError) -> u8 {
    say(&format!("stockade: run {}: {}", plain(run), broken(error).message));
    BROKEN
}

/// Opens a journal. A run of which no agent code ran has none, and one that begins just now has no record.
///
/// # Errors
/// [`ReadError`]
pub fn open(dir: &Path) -> Result<Option<Reader>, ReadError> {
    match Reader::open(dir) {
        Ok(reader) => Ok(Some(reader)),
        Err(ReadError::NoSegment { .. } | ReadError::Io { errno: Errno::ENOENT, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether what ended the reading is an end: a last line without its own is no damage while its writer lives.
///
/// # Errors
/// The error, if it is one.
pub fn unfinished(dir: &Path, error: ReadError) -> Result<(), ReadError> {
    match error {
        ReadError::Torn { .. } if is_written(dir) => Ok(()),
        error => Err(error),
    }
}

/// Whether a run's newest record is from before a moment.
#[must_use]
pub fn is_older(dir: &Path, since: Option<Moment>) -> bool {
    since.is_some_and(|since| newest_time(dir).is_some_and(|newest| newest < since.0))
}

/// Whether some process holds the lock of the journal in `dir`, as its writer does. The kernel is asked by its list
/// (proc_locks(5)) and not by taking the lock, which would keep a writer out that begins just now. The device's number
/// is not compared: on btrfs and overlayfs it is not the one that stat(2) gives.
#[must_use]
pub fn is_written(dir: &Path) -> bool {
    let Ok(stat) = std::fs::metadata(dir) else { return false };
    let inode = format!(":{}", stat.ino());
    // The list is given in pieces, by position: while others lock and unlock, one reading may leave a line out.
    (0..LOOKS).any(|_| std::fs::read_to_string("/proc/locks").is_ok_and(|locks| lists(&locks, &inode)))
}

/// Readings of the kernel's list before a lock counts as not held.
const LOOKS: u32 = 3;

fn lists(locks: &str, inode: &str) -> bool {
    locks.lines().any(|line| {
        let mut words = line.split_ascii_whitespace();
        // 1: FLOCK ADVISORY WRITE 4711 08:01:1234 0 EOF, and a second word `->` if it is only waited for.
        words.nth(1) == Some("FLOCK")
            && words.nth(1) == Some("WRITE")
            && words.nth(1).is_some_and(|at| at.ends_with(inode))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use stockade_journal::Writer;

    #[test]
    fn a_writer_is_seen_while_it_lives() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_written(dir.path()));
        let writer = Writer::create(std::fs::File::open(dir.path()).unwrap().into()).unwrap();
        assert!(is_written(dir.path()));
        drop(writer);
        assert!(!is_written(dir.path()));
    }
}
