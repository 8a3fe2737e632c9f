//! The kernel itself: release, privilege, seccomp, and the calls everything else rests on.

use super::{Check, read_line};
use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, ResolveFlags, SealFlags};
use rustix::io::Errno;

const GROUP: &str = "kernel";
const OLDEST: (u32, u32) = (6, 1);

/// Capabilities without which some step of a launch fails (capabilities(7)).
const NEEDED: [(&str, u32); 11] = [
    ("CAP_CHOWN", 0),
    ("CAP_DAC_OVERRIDE", 1),
    ("CAP_KILL", 5),
    ("CAP_SETGID", 6),
    ("CAP_SETUID", 7),
    ("CAP_SETPCAP", 8),
    ("CAP_NET_ADMIN", 12),
    ("CAP_SYS_CHROOT", 18),
    ("CAP_SYS_PTRACE", 19),
    ("CAP_SYS_ADMIN", 21),
    ("CAP_MKNOD", 27),
];

/// `uname -r`, or why it could not be read.
pub(super) fn release() -> String {
    read_line("/proc/sys/kernel/osrelease").unwrap_or_else(|e| format!("unknown ({e})"))
}

pub(super) fn checks() -> Vec<Check> {
    let mut all = vec![version(), root()];
    all.extend(seccomp());
    all.extend([pidfd(), openat2(), memfd_seals()]);
    all
}

fn version() -> Check {
    let release = release();
    let mut numbers = release.split(['.', '-', '+']).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= OLDEST => Check::ok(GROUP, "kernel", release),
        _ => Check::missing(GROUP, "kernel", release, "Stockade needs Linux 6.1 or newer; boot a newer kernel"),
    }
}

fn root() -> Check {
    let uid = rustix::process::geteuid();
    if !uid.is_root() {
        let advice = "run `sudo stockade doctor`: a run without the daemon needs root, and so do most probes";
        return Check::missing(GROUP, "privilege", format!("effective uid {}", uid.as_raw()), advice);
    }
    let effective = std::fs::read_to_string("/proc/thread-self/status")
        .ok()
        .and_then(|s| s.lines().find_map(|l| u64::from_str_radix(l.strip_prefix("CapEff:")?.trim(), 16).ok()));
    let Some(effective) = effective else {
        let advice = "mount /proc: a launch is attested through it";
        return Check::missing(GROUP, "privilege", "no CapEff in /proc/thread-self/status", advice);
    };
    let lacking: Vec<&str> = NEEDED.iter().filter(|(_, bit)| effective & (1 << bit) == 0).map(|(n, _)| *n).collect();
    if lacking.is_empty() {
        Check::ok(GROUP, "privilege", format!("uid 0, capabilities {effective:#x}"))
    } else {
        let advice = "run on the host, not inside a container that drops these";
        Check::missing(GROUP, "privilege", format!("uid 0 without {}", lacking.join(", ")), advice)
    }
}

fn seccomp() -> Vec<Check> {
    const FILE: &str = "/proc/sys/kernel/seccomp/actions_avail";
    let avail = read_line(FILE);
    let one = |name, actions: &[&str]| match &avail {
        Ok(list) => {
            let lacking: Vec<&str> =
                actions.iter().filter(|a| !list.split(' ').any(|have| have == **a)).copied().collect();
            if lacking.is_empty() {
                Check::ok(GROUP, name, format!("actions_avail has {}", actions.join(", ")))
            } else {
                let said = format!("actions_avail lacks {}", lacking.join(", "));
                Check::missing(GROUP, name, said, "boot a kernel that has these seccomp actions")
            }
        }
        Err(e) => {
            let advice = "boot a kernel with CONFIG_SECCOMP_FILTER and mount /proc";
            Check::missing(GROUP, name, format!("{FILE}: {e}"), advice)
        }
    };
    vec![one("seccomp", &["kill_process", "errno", "allow"]), one("seccomp.user_notif", &["user_notif"])]
}

fn pidfd() -> Check {
    let advice = "boot a kernel that has pidfd_open(2), or lift the filter that refuses it";
    match rustix::process::pidfd_open(rustix::process::getpid(), rustix::process::PidfdFlags::empty()) {
        Ok(_) => Check::ok(GROUP, "pidfd", "pidfd_open of this process succeeded"),
        Err(e) => Check::missing(GROUP, "pidfd", format!("pidfd_open: {e}"), advice),
    }
}

/// /proc/self is a symbolic link: that it is refused shows the flag is honoured, not only taken.
fn openat2() -> Check {
    let advice = "boot a kernel that has openat2(2), or lift the filter that refuses it";
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::openat2(CWD, "/proc/self", flags, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
        Err(Errno::LOOP) => Check::ok(GROUP, "openat2", "RESOLVE_NO_SYMLINKS refused /proc/self (ELOOP)"),
        Err(e) => Check::missing(GROUP, "openat2", format!("openat2 of /proc/self: {e}, expected ELOOP"), advice),
        Ok(_) => Check::missing(GROUP, "openat2", "RESOLVE_NO_SYMLINKS followed a link", advice),
    }
}

fn memfd_seals() -> Check {
    let wanted = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    let sealed =
        rustix::fs::memfd_create("stockade-doctor", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).and_then(|fd| {
            rustix::fs::fcntl_add_seals(&fd, wanted)?;
            let refused = rustix::io::write(&fd, b"x").is_err();
            Ok(refused && rustix::fs::fcntl_get_seals(&fd)?.contains(wanted))
        });
    match sealed {
        Ok(true) => Check::ok(GROUP, "memfd.seals", "a sealed memfd refused a write"),
        Ok(false) => Check::missing(GROUP, "memfd.seals", "a sealed memfd took a write", "boot another kernel"),
        Err(e) => {
            let advice = "boot a kernel that has memfd_create(2) with F_ADD_SEALS";
            Check::missing(GROUP, "memfd.seals", format!("memfd_create: {e}"), advice)
        }
    }
}
