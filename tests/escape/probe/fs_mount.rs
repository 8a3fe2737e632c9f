//! Changing what is mounted, or what the root is. Outside these run in a mount namespace of
//! their own, where `RO_DIR` is a read-only bind mount and `MASKED` is a directory with the
//! canary in it under an empty tmpfs.

use crate::attack::{Attack, Attempt, PRIVATE, attack, no_effect};
use crate::kit::{fs_magic, identity, open, open_at, scratch_dir, steal};
use crate::params::Params;
use crate::sys;
use crate::sys::{at, c};

const CLASS: &str = "mounts";
const NO: &[&str] = &["seccomp", "capabilities"];

/// The table.
pub const ATTACKS: &[Attack] = &[
    attack("mount-tmpfs", CLASS, "mount a tmpfs", tmpfs).outside(PRIVATE).native(NO),
    attack("mount-proc", CLASS, "mount a second, unmasked /proc", proc_again).outside(PRIVATE).native(NO),
    attack("mount-bind", CLASS, "bind a directory over another", bind).outside(PRIVATE).native(NO),
    attack("mount-remount-rw", CLASS, "remount a read-only bind mount writable", remount)
        .needs(&["RO_DIR"])
        .outside("--unshare mount --ro RO_DIR")
        .native(NO),
    attack("mount-setattr-rw", CLASS, "clear a mount's read-only flag by mount_setattr", setattr)
        .needs(&["RO_DIR"])
        .outside("--unshare mount --ro RO_DIR")
        .native(NO),
    attack("mount-umount-mask", CLASS, "unmount what covers a host directory", umount)
        .needs(&["MASKED"])
        .outside("--unshare mount --mask MASKED")
        .native(NO),
    attack("mount-open-tree", CLASS, "clone the mount tree by open_tree", open_tree).outside(PRIVATE).native(NO),
    attack("mount-fsopen", CLASS, "make a file system by fsopen, fsconfig, fsmount", fsopen)
        .outside(PRIVATE)
        .native(NO),
    attack("mount-move", CLASS, "attach a detached tree by move_mount", move_mount).outside(PRIVATE).native(NO),
    attack("mount-pivot-root", CLASS, "change the root by pivot_root", pivot).outside(PRIVATE).native(NO),
    attack("mount-chroot-escape", CLASS, "leave a chroot by a second chroot", chroot)
        .needs(&["JAIL", "CANARY"])
        .outside("--chroot JAIL")
        .native(NO),
    attack(
        "mount-cgroup-release-agent",
        CLASS,
        "mount a v1 cgroup hierarchy and rewrite its release_agent (CVE-2022-0492)",
        release_agent,
    )
    .outside(PRIVATE)
    .excuse(
        &[libc::ENODEV, libc::EBUSY, libc::EINVAL, libc::ENOENT, libc::ENOTSUP],
        "no cgroup v1 controller on this host",
    )
    .native(NO),
    attack(
        "mount-cgroup2",
        CLASS,
        "mount the whole cgroup2 tree and open its root's cgroup.procs for writing",
        cgroup2,
    )
    .outside(PRIVATE)
    .native(NO),
    attack("mount-fuse", CLASS, "mount a FUSE file system of one's own", fuse)
        .outside(PRIVATE)
        .excuse(&[libc::ENOENT, libc::ENODEV], "no /dev/fuse")
        .native(&["mount-ns", "seccomp", "capabilities"]),
    attack("mount-overlay", CLASS, "mount an overlay to write through a read-only directory", overlay)
        .outside(PRIVATE)
        .excuse(&[libc::ENODEV], "no overlayfs")
        .native(NO),
];

fn mount(source: &str, target: &str, kind: &str, flags: u64, data: &str) -> Result<usize, sys::Failed> {
    sys!(SYS_mount, c(source).as_ptr(), c(target).as_ptr(), c(kind).as_ptr(), flags, c(data).as_ptr())
}

/// Somewhere to mount on: a fresh directory, else the current one.
fn place(kind: &str) -> String {
    scratch_dir(kind).unwrap_or_else(|_| ".".into())
}

fn tmpfs(_: &Params) -> Attempt {
    let dir = place("tmpfs");
    mount("none", &dir, "tmpfs", 0, "size=64k")?;
    let magic = fs_magic(open(&dir, libc::O_RDONLY)?)?;
    if magic == libc::TMPFS_MAGIC { Ok("a new tmpfs".into()) } else { Err(no_effect(format!("magic {magic:#x}"))) }
}

fn proc_again(_: &Params) -> Attempt {
    let dir = place("proc");
    mount("proc", &dir, "proc", 0, "")?;
    identity(&format!("{dir}/sys/kernel"))?;
    Ok("a new /proc with sys in it".into())
}

fn bind(_: &Params) -> Attempt {
    let dir = place("bind");
    mount("/", &dir, "", libc::MS_BIND | libc::MS_REC, "")?;
    if identity(&dir)? == identity("/")? { Ok("the root again".into()) } else { Err(no_effect("not the root")) }
}

fn remount(p: &Params) -> Attempt {
    let dir = p.get("RO_DIR")?;
    mount("none", dir, "", libc::MS_REMOUNT | libc::MS_BIND, "")?;
    writable(dir)
}

fn writable(dir: &str) -> Attempt {
    sys!(SYS_faccessat, libc::AT_FDCWD, c(dir).as_ptr(), libc::W_OK)?;
    Ok(format!("{dir} is writable"))
}

#[repr(C)]
#[derive(Default)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns: u64,
}

fn setattr(p: &Params) -> Attempt {
    let dir = p.get("RO_DIR")?;
    let attr = MountAttr { clear: 1, ..MountAttr::default() };
    sys!(SYS_mount_setattr, libc::AT_FDCWD, c(dir).as_ptr(), 0, at(&attr), size_of::<MountAttr>())?;
    writable(dir)
}

fn umount(p: &Params) -> Attempt {
    let dir = p.get("MASKED")?;
    sys!(SYS_umount2, c(dir).as_ptr(), libc::MNT_DETACH)?;
    match p.get("MASKED_FILE") {
        Ok(file) => steal(file),
        Err(_) => Ok(format!("{dir} is unmounted")),
    }
}

const OPEN_TREE_CLONE: i32 = 1;
const AT_RECURSIVE: i32 = 0x8000;

fn detached() -> Result<usize, sys::Failed> {
    sys!(SYS_open_tree, libc::AT_FDCWD, c("/").as_ptr(), OPEN_TREE_CLONE | AT_RECURSIVE | libc::O_CLOEXEC)
}

fn open_tree(_: &Params) -> Attempt {
    let fd = detached()?;
    open_at(fd as i64, ".", libc::O_PATH)?;
    Ok("a detached copy of the whole tree".into())
}

fn fsopen(_: &Params) -> Attempt {
    const CREATE: i32 = 6;
    let context = sys!(SYS_fsopen, c("tmpfs").as_ptr(), 0)?;
    sys!(SYS_fsconfig, context, CREATE, 0, 0, 0)?;
    let mounted = sys!(SYS_fsmount, context, 0, 0)?;
    let magic = fs_magic(mounted)?;
    if magic == libc::TMPFS_MAGIC { Ok("a detached tmpfs".into()) } else { Err(no_effect(format!("magic {magic:#x}"))) }
}

fn move_mount(_: &Params) -> Attempt {
    const FROM_EMPTY_PATH: i32 = 4;
    let dir = place("move");
    let fd = detached().unwrap_or(0);
    sys!(SYS_move_mount, fd, c("").as_ptr(), libc::AT_FDCWD, c(&dir).as_ptr(), FROM_EMPTY_PATH)?;
    if identity(&dir)? == identity("/")? { Ok("attached".into()) } else { Err(no_effect("not attached")) }
}

fn pivot(_: &Params) -> Attempt {
    let dir = place("pivot");
    // A refused mount is not the end: the current root may do as the new one.
    let mounted = mount("none", &dir, "tmpfs", 0, "size=64k");
    let before = identity("/")?;
    sys!(SYS_pivot_root, c(&dir).as_ptr(), c(&dir).as_ptr())?;
    mounted?;
    sys!(SYS_chdir, c("/").as_ptr())?;
    if identity("/")? == before { Err(no_effect("the root is the old one")) } else { Ok("a new root".into()) }
}

fn chroot(p: &Params) -> Attempt {
    let dir = place("chroot");
    sys!(SYS_chroot, c(&dir).as_ptr())?;
    for _ in 0..32 {
        sys!(SYS_chdir, c("..").as_ptr())?;
    }
    sys!(SYS_chroot, c(".").as_ptr())?;
    steal(p.get("CANARY")?)
}

fn release_agent(_: &Params) -> Attempt {
    let dir = place("cgroup");
    mount("none", &dir, "cgroup", 0, "pids")?;
    let fd = open(&format!("{dir}/release_agent"), libc::O_RDWR)?;
    // What is written is what was there: the permission is shown, nothing changes.
    let old = crate::kit::read(fd)?;
    let bytes = if old.is_empty() { b"\n".to_vec() } else { old };
    sys!(SYS_write, fd, bytes.as_ptr(), bytes.len())?;
    Ok("release_agent was written (with its own content)".into())
}

fn cgroup2(_: &Params) -> Attempt {
    let dir = place("cgroup2");
    mount("none", &dir, "cgroup2", 0, "")?;
    open(&format!("{dir}/cgroup.procs"), libc::O_WRONLY)?;
    Ok("the root group's cgroup.procs is open for writing".into())
}

fn fuse(_: &Params) -> Attempt {
    let dir = place("fuse");
    let fd = open("/dev/fuse", libc::O_RDWR)?;
    mount("escape", &dir, "fuse", 0, &format!("fd={fd},rootmode=40000,user_id=0,group_id=0"))?;
    Ok("mounted".into())
}

fn overlay(_: &Params) -> Attempt {
    let dir = place("overlay");
    // Upper and work directories need a file system of our own.
    mount("none", &dir, "tmpfs", 0, "size=64k")?;
    for name in ["upper", "work", "all"] {
        sys!(SYS_mkdir, c(&format!("{dir}/{name}")).as_ptr(), 0o755)?;
    }
    let options = format!("lowerdir=/usr,upperdir={dir}/upper,workdir={dir}/work");
    mount("overlay", &format!("{dir}/all"), "overlay", 0, &options)?;
    writable(&format!("{dir}/all"))
}
