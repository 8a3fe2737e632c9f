//! What runs depend on, kept under its digest: components and policy bundles, so that a run can be replayed, exported
//! and resumed when the file it was started from is another or gone. Root's alone, written once, on disk before the run
//! is recorded.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag};
use nix::unistd::linkat;

use crate::error::{Doing, RunError};
use crate::home::{private_dir, unrecordable};

/// Name of the folder in the state folder.
const OBJECTS: &str = "objects";

/// Where objects are.
#[must_use]
pub fn folder(state: &Path) -> PathBuf {
    state.join(OBJECTS)
}

/// Keeps `bytes`, whose SHA-256 in hex is `digest`. What has that name already and is something else is damage, and
/// the run does not happen.
pub(crate) fn keep(state: &Path, digest: &str, bytes: &[u8]) -> Result<(), RunError> {
    let folder = folder(state);
    if !folder.exists() {
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).doing("create", &folder).map_err(unrecordable)?;
        sync(state)?;
    }
    private_dir(&folder)?;
    let path = folder.join(digest);
    match holds(&path, bytes)? {
        Some(true) => return Ok(()),
        Some(false) => {
            return Err(RunError::Journal(format!(
                "{} is not what its name says, so that runs which depend on it could not be replayed; move it away and look for what changed it",
                path.display()
            )));
        }
        None => {}
    }
    write(&folder, &path, bytes).map_err(unrecordable)
}

/// Writes a file that is whole or not there, durably. It has no name until it is whole, so that a crash leaves nothing of
/// it; where the file system has no such files it is renamed.
pub(crate) fn write(folder: &Path, path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    let nameless = OpenOptions::new().write(true).custom_flags(OFlag::O_TMPFILE.bits()).mode(0o600).open(folder);
    let mut file = match nameless {
        Err(e) if e.raw_os_error() == Some(Errno::EOPNOTSUPP as i32) => return replace(folder, path, bytes),
        other => other.doing("create a file in", folder)?,
    };
    file.write_all(bytes).and_then(|()| file.sync_all()).doing("write", path)?;
    let source = format!("/proc/self/fd/{}", file.as_raw_fd());
    match linkat(AT_FDCWD, source.as_str(), AT_FDCWD, path, AtFlags::AT_SYMLINK_FOLLOW) {
        // Somebody else has just kept the same.
        Ok(()) | Err(Errno::EEXIST) => sync(folder),
        Err(errno) => Err(errno).doing("name", path),
    }
}

/// As [`write`], in the place of what has that name.
pub(crate) fn replace(folder: &Path, path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".{name}.{}", std::process::id()));
    let _left_by_a_crash = fs::remove_file(&temporary);
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary).doing("create", &temporary)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _gone = fs::remove_file(&temporary);
    }
    written.doing("write", path)?;
    sync(folder)
}

fn sync(folder: &Path) -> Result<(), RunError> {
    File::open(folder).and_then(|dir| dir.sync_all()).doing("write", folder)
}

/// Whether a file has these bytes; none if there is no such file.
fn holds(path: &Path, bytes: &[u8]) -> Result<Option<bool>, RunError> {
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).bits();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.doing("open", path)?,
    };
    let mut have = Vec::new();
    file.take(bytes.len() as u64 + 1).read_to_end(&mut have).doing("read", path)?;
    Ok(Some(have == bytes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_kept_once_and_not_replaced() {
        let state = tempfile::tempdir().unwrap();
        keep(state.path(), "aa", b"one").unwrap();
        keep(state.path(), "aa", b"one").unwrap();
        assert_eq!(fs::read(folder(state.path()).join("aa")).unwrap(), b"one");
        let error = keep(state.path(), "aa", b"two").unwrap_err();
        assert_eq!(error.exit_code(), 15, "{error}");
        assert_eq!(fs::read(folder(state.path()).join("aa")).unwrap(), b"one");
        assert_eq!(fs::read_dir(folder(state.path())).unwrap().count(), 1, "nothing half done is left");
    }
}
