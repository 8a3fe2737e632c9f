//! Detached mounts, made while we are still root on the host.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, pipe2, read};
use stockade_plan::step::Step;
use stockade_plan::{Entry, Ids, Owner, What};

use crate::descriptors::Slots;
use crate::error::{At, StepError};
use crate::sys::{self, MountAttr, Side};

const RDONLY: u64 = 0x1;
const NOSUID: u64 = 0x2;
const NODEV: u64 = 0x4;
const NOEXEC: u64 = 0x8;
const IDMAP: u64 = 0x10_0000;

/// One detached mount for every `Bind` of the root, in their order. Sources are descriptors that were
/// resolved once; no path is walked here.
pub fn detach(root: &[Entry], slots: &Slots, ids: &Ids) -> Result<Vec<OwnedFd>, StepError> {
    let mut namespaces: Vec<(Owner, OwnedFd)> = Vec::new();
    let mut trees = Vec::new();
    for (index, entry) in root.iter().enumerate() {
        let What::Bind { source, read_only, no_exec, device, idmap, .. } = &entry.what else { continue };
        // An id map cannot be laid over mounts that have one; submounts stay out of the workspace.
        let recursive = idmap.is_none();
        let source = slots.get(*source).at_index(Step::Tree, index)?;
        let tree = sys::clone_tree(source.as_fd(), recursive).at_index(Step::Tree, index)?;
        let mut attr = MountAttr { set: NOSUID, propagation: libc::MS_PRIVATE, ..MountAttr::default() };
        for (wanted, bit) in [(*read_only, RDONLY), (*no_exec, NOEXEC), (!device, NODEV)] {
            attr.set |= if wanted { bit } else { 0 };
        }
        if let Some(owner) = idmap {
            let known = namespaces.iter().position(|(o, _)| o == owner);
            let at = match known {
                Some(at) => at,
                None => {
                    let ns = idmap_namespace(*owner, ids).at_index(Step::IdmapNamespace, index)?;
                    namespaces.push((*owner, ns));
                    namespaces.len() - 1
                }
            };
            let (_, ns) = namespaces.get(at).ok_or(Errno::EBADF).at(Step::IdmapNamespace)?;
            attr.set |= IDMAP;
            attr.userns = u64::from(ns.as_raw_fd().unsigned_abs());
        }
        sys::mount_setattr(tree.as_fd(), recursive, attr).at_index(Step::Tree, index)?;
        trees.push(tree);
    }
    Ok(trees)
}

/// A user namespace in which the owner on disk is the program's user on the host. It holds no process:
/// the child that makes it ends as soon as the namespace is open.
fn idmap_namespace(owner: Owner, ids: &Ids) -> Result<OwnedFd, Errno> {
    let (reader, writer) = pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    match sys::clone3(libc::CLONE_NEWUSER as u64, libc::SIGCHLD, None)? {
        Side::Child => {
            drop(writer);
            // The end of file comes when the parent is done, or dead.
            let _ended = read(&reader, &mut [0]);
            sys::exit_now(0)
        }
        Side::Parent(pid, _pidfd) => {
            let namespace = map(pid, owner, ids);
            drop((reader, writer));
            waitpid(Pid::from_raw(pid), None)?;
            namespace
        }
    }
}

fn map(pid: libc::pid_t, owner: Owner, ids: &Ids) -> Result<OwnedFd, Errno> {
    let errno = |e: std::io::Error| Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO));
    fs::write(format!("/proc/{pid}/gid_map"), format!("{} {} 1", owner.gid, ids.host + ids.gid)).map_err(errno)?;
    fs::write(format!("/proc/{pid}/uid_map"), format!("{} {} 1", owner.uid, ids.host + ids.uid)).map_err(errno)?;
    fs::File::open(format!("/proc/{pid}/ns/user")).map(OwnedFd::from).map_err(errno)
}
