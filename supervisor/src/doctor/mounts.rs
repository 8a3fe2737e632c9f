//! The mount API that a cell's root is made with. Nothing is attached to the tree: a detached mount
//! dies with its descriptor.

use super::Check;
use rustix::fs::CWD;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags};
use std::io::{BufRead as _, BufReader};

const GROUP: &str = "mounts";
const ADVICE: &str = "run as root, outside of containers that refuse the mount system calls";

pub(super) fn checks() -> Vec<Check> {
    vec![detached(), masked_proc(), idmapped()]
}

fn detached() -> Check {
    let made = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).and_then(|fs| {
        rustix::mount::fsconfig_create(&fs)?;
        rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_RDONLY)
    });
    let cloned =
        rustix::mount::open_tree(CWD, "/usr", OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC);
    match made.and(cloned) {
        Ok(_) => Check::ok(GROUP, "mount.detached", "fsmount of a tmpfs and open_tree(OPEN_TREE_CLONE) of /usr"),
        Err(e) => Check::missing(GROUP, "mount.detached", format!("fsmount or open_tree: {e}"), ADVICE),
    }
}

/// `subset=pid` (proc(5), since Linux 5.8) leaves a cell's /proc without /proc/sys and the like.
fn masked_proc() -> Check {
    let made = rustix::mount::fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC).and_then(|fs| {
        rustix::mount::fsconfig_set_string(&fs, "subset", "pid")?;
        rustix::mount::fsconfig_create(&fs)?;
        let root = rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
        Ok(rustix::fs::statat(&root, "sys", rustix::fs::AtFlags::empty()).is_err())
    });
    match made {
        Ok(true) => Check::ok(GROUP, "mount.proc_subset", "proc with subset=pid has no sys/"),
        Ok(false) => Check::missing(GROUP, "mount.proc_subset", "proc with subset=pid still has sys/", ADVICE),
        Err(e) => Check::missing(GROUP, "mount.proc_subset", format!("fsopen of proc with subset=pid: {e}"), ADVICE),
    }
}

/// mount_setattr(2) is asked of the symbol table: no safe wrapper can try it from here. A launch
/// proves it on the workspace's own file system, which may still refuse.
fn idmapped() -> Check {
    let name = "mount.idmap";
    let said = std::fs::File::open("/proc/kallsyms").and_then(|file| {
        for line in BufReader::new(file).lines() {
            if line?.ends_with("_sys_mount_setattr") {
                return Ok(true);
            }
        }
        Ok(false)
    });
    match said {
        Ok(true) => Check::ok(GROUP, name, "the kernel has mount_setattr (a launch tries it on the workspace)"),
        Ok(false) => Check::missing(GROUP, name, "no mount_setattr in /proc/kallsyms", "boot Linux 5.12 or newer"),
        Err(e) => {
            let advice = "boot a kernel with CONFIG_KALLSYMS, or rely on the launch, which tries it";
            Check::missing(GROUP, name, format!("/proc/kallsyms: {e}"), advice).advisory()
        }
    }
}
