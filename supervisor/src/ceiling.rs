//! The host owner's ceiling, as the launcher will judge by it: said here first, since the launcher has no words.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::fstatat;
use sha2::{Digest, Sha256};
use std::os::unix::fs::MetadataExt;
use stockade_plan::ceiling::{COMPILED, FOLDER, MAX_CEILING, SOURCE};
use stockade_plan::{Ceiling, Plan, Slot, What};

use crate::error::{Doing, RunError};

/// What to type when there is text and nothing that holds.
const INSTALL: &str = "compile it: stockade policy ceiling install";

/// Refuses a host whose ceiling cannot be held, before anything is made for a run.
pub(crate) fn holds() -> Result<(), RunError> {
    load().map(|_| ())
}

/// Refuses a plan that the launcher would refuse, and says with which key.
pub(crate) fn judge(what: &str, plan: &Plan, fds: &[OwnedFd], libexec: &Path) -> Result<(), RunError> {
    let Some(ceiling) = load()? else { return Ok(()) };
    let binds = plan.root.iter().filter_map(|entry| match &entry.what {
        What::Bind { source, .. } => Some(*source),
        _ => None,
    });
    let name = |slot: Slot| {
        let fd = fds.get(usize::from(slot.0))?;
        let path = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok()?;
        path.into_os_string().into_string().ok().map(|path| (slot, path))
    };
    let sources: Vec<_> = binds.chain([plan.exec.program]).filter_map(name).collect();
    // The launcher knows its own folder by the kernel's name for it.
    let libexec = fs::canonicalize(libexec).doing("resolve", libexec)?;
    ceiling.check(plan, &sources, &libexec.to_string_lossy()).map_err(|error| {
        RunError::Policy(format!(
            "the {what} is over this host's ceiling: {error} ({FOLDER}/{COMPILED}); ask for less in the policy, or have the host's owner allow more"
        ))
    })
}

/// The host's ceiling, if it has one.
fn load() -> Result<Option<Ceiling>, RunError> {
    let refuse = |name: &str, why: &str| {
        RunError::Policy(format!("this host's ceiling cannot be trusted, so nothing runs: {name}: {why}"))
    };
    let folder = match open(None, FOLDER, OFlag::O_DIRECTORY) {
        Err(Errno::ENOENT) => return Ok(None),
        Err(errno) => return Err(refuse(FOLDER, errno.desc())),
        Ok(folder) => folder,
    };
    let read = |file: &File, name: &str, is_file: bool| {
        let meta = file.metadata().doing("examine", name)?;
        if meta.is_file() != is_file || meta.uid() != 0 || meta.mode() & 0o022 != 0 {
            return Err(refuse(name, "it must be owned by root and writable by root alone"));
        }
        let mut bytes = Vec::new();
        if is_file {
            file.take(MAX_CEILING as u64 + 1).read_to_end(&mut bytes).doing("read", name)?;
        }
        Ok(bytes)
    };
    read(&folder, FOLDER, false)?;
    let has_source = fstatat(&folder, SOURCE, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok();
    let name = format!("{FOLDER}/{COMPILED}");
    let file = match open(Some(&folder), COMPILED, OFlag::empty()) {
        Err(Errno::ENOENT) if has_source => return Err(refuse(&format!("{FOLDER}/{SOURCE}"), INSTALL)),
        Err(Errno::ENOENT) => return Ok(None),
        Err(errno) => return Err(refuse(&name, errno.desc())),
        Ok(file) => file,
    };
    let ceiling = Ceiling::decode(&read(&file, &name, true)?).map_err(|e| refuse(&name, &format!("{e}; {INSTALL}")))?;
    if has_source {
        let name = format!("{FOLDER}/{SOURCE}");
        let text = open(Some(&folder), SOURCE, OFlag::empty()).map_err(|errno| refuse(&name, errno.desc()))?;
        if Sha256::digest(read(&text, &name, true)?)[..] != ceiling.source_digest {
            return Err(refuse(&name, &format!("it was changed after {COMPILED} was made of it; {INSTALL}")));
        }
    }
    Ok(Some(ceiling))
}

/// Opens through no symbolic link.
fn open(folder: Option<&File>, name: &str, flags: OFlag) -> Result<File, Errno> {
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | flags)
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    match folder {
        Some(folder) => openat2(folder, name, how),
        None => openat2(AT_FDCWD, name, how),
    }
    .map(File::from)
}
