//! `workspace.write`.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, RenameFlags, renameat2};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{UnlinkatFlags, fdatasync, unlinkat, write};
use serde_json::{Value, json};
use stockade_policy::WorkspacePath;
use stockade_policy::tool::WriteMode;

use crate::random::fill as fill_random;

use super::{FsError, Place, Workspace, beneath, plain};

/// Mode of files that did not exist.
const NEW_FILE: Mode = Mode::from_bits_truncate(0o644);

/// Permission bits that a replaced file hands on; set-id bits are not among them.
const HANDED_ON: Mode = Mode::from_bits_truncate(0o777);

impl Workspace {
    /// Writes a file whole or adds to it; parent directories must exist.
    ///
    /// `create` and `replace` are atomic: readers see the old file or the new one, also after a crash.
    ///
    /// # Errors
    /// [`FsError`]; after [`FsError::Partial`] an appended file has grown by the bytes it names, in
    /// every other case the file is as it was.
    pub fn write(&self, path: &WorkspacePath, mode: WriteMode, content: &[u8]) -> Result<Value, FsError> {
        let place = self.file_place(path)?;
        match mode {
            WriteMode::Create => {
                self.check_size(content.len() as u64)?;
                publish(&place, content, NEW_FILE, RenameFlags::RENAME_NOREPLACE)?;
            }
            WriteMode::Replace => {
                self.check_size(content.len() as u64)?;
                let mode = match place.open(OFlag::O_PATH) {
                    Ok((_, stat)) => {
                        plain(&stat)?;
                        Mode::from_bits_truncate(stat.st_mode) & HANDED_ON
                    }
                    Err(FsError::Os { errno: Errno::ENOENT, .. }) => NEW_FILE,
                    Err(e) => return Err(e),
                };
                publish(&place, content, mode, RenameFlags::empty())?;
            }
            WriteMode::Append => self.append(&place, content)?,
        }
        Ok(json!({ "written": content.len() }))
    }

    fn check_size(&self, wanted: u64) -> Result<(), FsError> {
        let allowed = self.file_size;
        if wanted > allowed { Err(FsError::TooLarge { wanted, allowed }) } else { Ok(()) }
    }

    fn append(&self, place: &Place<'_>, content: &[u8]) -> Result<(), FsError> {
        let (file, stat) = match place.open_file(OFlag::O_WRONLY | OFlag::O_APPEND) {
            Err(FsError::Os { errno: Errno::ENOENT, .. }) => {
                self.check_size(content.len() as u64)?;
                return publish(place, content, NEW_FILE, RenameFlags::RENAME_NOREPLACE);
            }
            other => other?,
        };
        let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
        self.check_size(size.saturating_add(content.len() as u64))?;
        write_all(&file, content)
    }
}

/// Puts a new file under the place's name: a temporary file beside it, then one rename.
fn publish(place: &Place<'_>, content: &[u8], mode: Mode, flags: RenameFlags) -> Result<(), FsError> {
    let (name, file) = temporary(place)?;
    let done = fill(&file, content, mode).and_then(|()| {
        renameat2(place.parent.as_fd(), name.as_str(), place.parent.as_fd(), place.name, flags)
            .map_err(FsError::of("rename"))
    });
    if done.is_err() {
        // On the way out; the name is ours alone unless someone in the workspace took it.
        let _ = unlinkat(place.parent.as_fd(), name.as_str(), UnlinkatFlags::NoRemoveDir);
    }
    done
}

fn temporary(place: &Place<'_>) -> Result<(String, OwnedFd), FsError> {
    let mut random = [0u8; 8];
    fill_random(&mut random).map_err(FsError::of("getrandom"))?;
    let name = format!(".stockade-{:016x}.tmp", u64::from_le_bytes(random));
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL;
    let file = beneath(&place.parent, &name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
    Ok((name, file))
}

fn fill(file: &OwnedFd, content: &[u8], mode: Mode) -> Result<(), FsError> {
    match write_all(file, content) {
        // The temporary file is thrown away: nothing was written to the one that was meant.
        Err(FsError::Partial { errno, .. }) => return Err(FsError::Os { op: "write", errno }),
        other => other?,
    }
    fchmod(file, mode).map_err(FsError::of("fchmod"))?;
    // Without it a crash after the rename can leave an empty file under the name.
    fdatasync(file).map_err(FsError::of("fdatasync"))
}

fn write_all(file: &OwnedFd, content: &[u8]) -> Result<(), FsError> {
    let mut done = 0;
    while let Some(rest) = content.get(done..).filter(|rest| !rest.is_empty()) {
        match write(file.as_fd(), rest) {
            Ok(n) => done += n,
            Err(Errno::EINTR) => {}
            Err(errno) if done > 0 => return Err(FsError::Partial { written: done as u64, errno }),
            Err(errno) => return Err(FsError::Os { op: "write", errno }),
        }
    }
    Ok(())
}
