//! The host owner's ceiling: read here, from root's own file, and held against every plan whoever sent it.
//!
//! The plan is judged by what it says, and its descriptors by what the kernel says of them.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{SFlag, fstat, fstatat, stat};
use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, fstatfs};
use nix::unistd::read;
use sha2::{Digest, Sha256};
use stockade_plan::ceiling::{COMPILED, FOLDER, MAX_CEILING, SOURCE};
use stockade_plan::step::Step;
use stockade_plan::{Ceiling, CeilingKey, Plan, Role, Slot, What};

use crate::descriptors::Slots;
use crate::error::{At, StepError};

fn refuse(key: CeilingKey) -> StepError {
    StepError { step: Step::Ceiling, errno: 0, index: (key as u8).into() }
}

/// Refuses a plan over the ceiling. A host without one has none; one whose ceiling cannot be trusted runs nothing.
pub fn hold(plan: &Plan, slots: &Slots) -> Result<(), StepError> {
    let Some(ceiling) = load()? else { return Ok(()) };
    let own = fs::read_link("/proc/self/exe").at(Step::Ceiling)?;
    let libexec = own.parent().and_then(|dir| dir.to_str()).ok_or(refuse(CeilingKey::Program))?;
    let mut sources: Vec<(Slot, String)> = Vec::new();
    let binds = plan.root.iter().filter_map(|entry| match &entry.what {
        What::Bind { source, .. } => Some(*source),
        _ => None,
    });
    for slot in binds.chain([plan.exec.program]) {
        // What has no name that leads back to it stays out of the list, and is then allowed nowhere.
        sources.extend(place(slots.get(slot).at(Step::Ceiling)?).map(|path| (slot, path)));
    }
    ceiling.check(plan, &sources, libexec).map_err(|error| refuse(error.key))?;
    if let (Role::Wasm | Role::Native, Some(limits)) = (plan.role, plan.limits) {
        let groups = groups(plan, slots)?;
        let file = |name: &str| groups.iter().find_map(|group| contents(group, name));
        limits.kept_by(file).map_err(|error| refuse(error.key))?;
    }
    Ok(())
}

fn load() -> Result<Option<Ceiling>, StepError> {
    let folder = match open(None, FOLDER, OFlag::O_DIRECTORY) {
        Err(Errno::ENOENT) => return Ok(None),
        other => other.at(Step::Ceiling)?,
    };
    roots_alone(&folder, SFlag::S_IFDIR)?;
    let source = match fstatat(&folder, SOURCE, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Err(Errno::ENOENT) => None,
        other => Some(other.at(Step::Ceiling)?),
    };
    let file = match open(Some(&folder), COMPILED, OFlag::empty()) {
        // Text that nobody compiled is an owner who thinks that there is a ceiling.
        Err(Errno::ENOENT) if source.is_some() => return Err(refuse(CeilingKey::File)),
        Err(Errno::ENOENT) => return Ok(None),
        other => other.at(Step::Ceiling)?,
    };
    let ceiling = Ceiling::decode(&whole(&file)?).map_err(|_| refuse(CeilingKey::File))?;
    if source.is_some() {
        // And so is text that was changed since.
        let text = open(Some(&folder), SOURCE, OFlag::empty()).at(Step::Ceiling)?;
        if Sha256::digest(whole(&text)?)[..] != ceiling.source_digest {
            return Err(refuse(CeilingKey::File));
        }
    }
    Ok(Some(ceiling))
}

/// Opens through no symbolic link.
fn open(folder: Option<&OwnedFd>, name: &str, flags: OFlag) -> Result<OwnedFd, Errno> {
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | flags)
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    match folder {
        Some(folder) => openat2(folder, name, how),
        None => openat2(AT_FDCWD, name, how),
    }
}

/// Whoever could write it would be the host's owner.
fn roots_alone(fd: &OwnedFd, kind: SFlag) -> Result<(), StepError> {
    let meta = fstat(fd).at(Step::Ceiling)?;
    let of_kind = SFlag::from_bits_truncate(meta.st_mode) & SFlag::S_IFMT == kind;
    if of_kind && meta.st_uid == 0 && meta.st_mode & 0o022 == 0 { Ok(()) } else { Err(refuse(CeilingKey::File)) }
}

/// All of a file that is root's alone, up to a byte more than a ceiling may have.
fn whole(fd: &OwnedFd) -> Result<Vec<u8>, StepError> {
    roots_alone(fd, SFlag::S_IFREG)?;
    let mut bytes = vec![0; MAX_CEILING + 1];
    let mut len = 0;
    loop {
        match read(fd, bytes.get_mut(len..).unwrap_or_default()).at(Step::Ceiling)? {
            0 => break,
            n => len += n,
        }
    }
    bytes.truncate(len);
    if len > MAX_CEILING { Err(refuse(CeilingKey::File)) } else { Ok(bytes) }
}

/// The name of what a descriptor refers to, if that name leads to it here and now: it could come from another
/// mount namespace, or have been replaced.
fn place(fd: &OwnedFd) -> Option<String> {
    let path = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok()?;
    let (there, here) = (stat(&path).ok()?, fstat(fd).ok()?);
    let same = there.st_dev == here.st_dev && there.st_ino == here.st_ino;
    path.to_str().filter(|_| same).map(str::to_owned)
}

/// The folders of the plan's cgroups, v2 first. Of a v1 group the plan has the `tasks` file.
fn groups(plan: &Plan, slots: &Slots) -> Result<Vec<OwnedFd>, StepError> {
    let mut folders =
        vec![slots.get(plan.cgroups.v2).and_then(|fd| fd.try_clone().map_err(|_| Errno::EMFILE)).at(Step::Ceiling)?];
    for slot in &plan.cgroups.v1 {
        let path = place(slots.get(*slot).at(Step::Ceiling)?).ok_or(refuse(CeilingKey::Memory))?;
        let folder = path.strip_suffix("/tasks").ok_or(refuse(CeilingKey::Memory))?;
        folders.push(open(None, folder, OFlag::O_DIRECTORY).at(Step::Ceiling)?);
    }
    for folder in &folders {
        let kind = fstatfs(folder).at(Step::Ceiling)?.filesystem_type();
        if kind != CGROUP2_SUPER_MAGIC && kind != CGROUP_SUPER_MAGIC {
            return Err(refuse(CeilingKey::Memory));
        }
    }
    Ok(folders)
}

/// A small file of the kernel's, as text.
fn contents(folder: &OwnedFd, name: &str) -> Option<String> {
    let file = open(Some(folder), name, OFlag::empty()).ok()?;
    let mut bytes = [0; 128];
    let len = read(&file, &mut bytes).ok()?;
    String::from_utf8(bytes.get(..len)?.to_vec()).ok()
}
