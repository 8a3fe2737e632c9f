//! Sealed memory files: what is handed to a process set cannot change afterwards (memfd_create(2)).

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::error::{Doing, RunError, errno_of};

/// A sealed copy of `bytes`.
pub(crate) fn sealed(name: &str, bytes: &[u8]) -> Result<OwnedFd, RunError> {
    let mut file = open(name)?;
    file.write_all(bytes).map_err(|e| errno_of(&e)).doing("fill memory file", name)?;
    seal(file)
}

/// An empty memory file, to be sealed later.
pub(crate) fn open(name: &str) -> Result<File, RunError> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    memfd_create(name, flags).map(File::from).doing("create memory file", name)
}

/// Seals size and content.
pub(crate) fn seal(file: File) -> Result<OwnedFd, RunError> {
    let seals = SealFlag::F_SEAL_SEAL | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).doing("seal", "memory file")?;
    Ok(file.into())
}
