//! Descriptors: inherited, borrowed from another process, passed over a socket.

use crate::attack::{Attack, Attempt, Stop, attack, no_effect};
use crate::kit::{open_at, steal_fd};
use crate::params::{Params, any};
use crate::sys;
use crate::sys::{Plain, at_mut, c};

const CLASS: &str = "descriptors";

/// The table.
pub const ATTACKS: &[Attack] = &[
    attack("fd-inherited-read", CLASS, "read a host file through a descriptor that was left open", |_| {
        each_fd(steal_fd_at)
    })
    .needs(&["LEAKED_FD"])
    .native(&["closed-fds"])
    .wasm(&["closed-fds", "seccomp"]),
    attack("fd-inherited-reopen", CLASS, "reopen an inherited read-only descriptor for writing", |p| {
        let fd = p.number("LEAKED_FD")?;
        crate::kit::open(&format!("/proc/self/fd/{fd}"), libc::O_RDWR)?;
        Ok("open for writing".into())
    })
    .needs(&["LEAKED_FD"])
    .native(&["closed-fds", "seccomp"]),
    attack("fd-inherited-dir", CLASS, "open a host file relative to a directory descriptor that was left open", |p| {
        let relative = p.get("CANARY")?.trim_start_matches('/');
        each_fd(|fd| steal_fd(open_at(fd, relative, libc::O_RDONLY)?))
    })
    .needs(&["CANARY", "LEAKED_FD"])
    .native(&["closed-fds", "mount-ns", "landlock"])
    .wasm(&["closed-fds", "seccomp"]),
    attack("fd-inherited-fchdir", CLASS, "fchdir to a directory descriptor that was left open", |p| {
        let relative = p.get("CANARY")?.trim_start_matches('/');
        each_fd(|fd| {
            sys!(SYS_fchdir, fd)?;
            crate::kit::steal(relative)
        })
    })
    .needs(&["CANARY", "LEAKED_FD"])
    .native(&["closed-fds"])
    .wasm(&["closed-fds", "seccomp"]),
    attack("fd-proc-fd", CLASS, "open another process's descriptor by /proc/PID/fd", proc_fd)
        .needs(&["TARGET"])
        .native(&["masked-proc", "pid-ns", "user-ns", "landlock", "closed-fds", "seccomp"]),
    attack("fd-pidfd-getfd", CLASS, "take another process's descriptor by pidfd_getfd", getfd)
        .needs(&["TARGET"])
        .native(&["seccomp", "pid-ns", "landlock"]),
    attack("fd-scm-rights", CLASS, "be handed a host file over a Unix socket", scm_rights)
        .needs(&["UNIX_ABSTRACT", "UNIX_PATH"])
        .native(&["seccomp", "net-ns", "mount-ns", "landlock"]),
    attack(
        "fd-artifact-write",
        CLASS,
        "change the compiled component in its memfd, for the next run to load",
        artifact,
    )
    .native_absent("a native cell has no artifact")
    .wasm(&["seal", "seccomp"]),
    attack("fd-artifact-map", CLASS, "map the compiled component writable and shared", artifact_map)
        .native_absent("a native cell has no artifact")
        .wasm(&["seal", "seccomp"]),
];

const FIRST: i64 = 3;
const LAST: i64 = 1024;

/// Tries each descriptor a process may have inherited; the last real refusal if none helps.
fn each_fd(attempt: impl Fn(i64) -> Attempt) -> Attempt {
    let mut last = no_effect("no inherited descriptor");
    for fd in FIRST..LAST {
        match attempt(fd) {
            Ok(evidence) => return Ok(format!("descriptor {fd}: {evidence}")),
            Err(Stop::Blocked { errno: libc::EBADF | libc::ENOTDIR, .. }) => {}
            Err(stop) => last = stop,
        }
    }
    Err(last)
}

fn steal_fd_at(fd: i64) -> Attempt {
    // pread works on files only, so that this never waits on a socket or a pipe.
    let mut buffer = [0u8; 256];
    let n = sys!(SYS_pread64, fd, buffer.as_mut_ptr(), buffer.len(), 0)?;
    crate::kit::expect_secret(buffer.get(..n).unwrap_or_default())
}

fn proc_fd(p: &Params) -> Attempt {
    any(&p.pids()?, |pid| {
        let mut last = no_effect("no descriptor with the secret");
        for fd in 0..64 {
            match crate::kit::open(&format!("/proc/{pid}/fd/{fd}"), libc::O_RDONLY | libc::O_NONBLOCK) {
                Ok(own) => match steal_fd_at(own as i64) {
                    Ok(evidence) => return Ok(evidence),
                    Err(stop) => last = stop,
                },
                Err(f) if f.errno == libc::ENOENT && fd > 0 => {}
                Err(f) => last = f.into(),
            }
        }
        Err(last)
    })
}

fn getfd(p: &Params) -> Attempt {
    any(&p.pids()?, |pid| {
        let pidfd = sys!(SYS_pidfd_open, pid, 0)?;
        let mut last = no_effect("no descriptor with the secret");
        for fd in 0..64 {
            match sys!(SYS_pidfd_getfd, pidfd, fd, 0) {
                Ok(own) => match steal_fd_at(own as i64) {
                    Ok(evidence) => return Ok(evidence),
                    Err(stop) => last = stop,
                },
                Err(f) if f.errno == libc::EBADF => {}
                Err(f) => last = f.into(),
            }
        }
        Err(last)
    })
}

fn scm_rights(p: &Params) -> Attempt {
    let names = [format!("@{}.fd", p.get("UNIX_ABSTRACT")?), format!("{}.fd", p.get("UNIX_PATH")?)];
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    any(&names, |name| {
        let socket = crate::net_unix::connect(name, libc::SOCK_STREAM)?;
        steal_fd(receive_fd(socket)?)
    })
}

fn receive_fd(socket: usize) -> Result<usize, Stop> {
    let mut byte = [0u8; 1];
    let mut control = [0u64; 4];
    let mut vector = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut message = libc::msghdr::zeroed();
    message.msg_iov = at_mut(&mut vector);
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    sys!(SYS_recvmsg, socket, at_mut(&mut message), 0)?;
    // cmsghdr is a length, a level and a type; the descriptor follows them.
    match (message.msg_controllen, control.get(2)) {
        (20.., Some(word)) => Ok((word & 0xffff_ffff) as usize),
        _ => Err(no_effect("no descriptor came")),
    }
}

const ARTIFACT: i64 = 4;

fn memfd(p: &Params) -> Result<i64, Stop> {
    if p.channel.is_some() {
        return Ok(ARTIFACT);
    }
    // Outside: the same object without its seals.
    let fd = sys!(SYS_memfd_create, c("artifact").as_ptr(), libc::MFD_ALLOW_SEALING)?;
    sys!(SYS_ftruncate, fd, 4096)?;
    Ok(fd as i64)
}

fn artifact(p: &Params) -> Attempt {
    let fd = memfd(p)?;
    sys!(SYS_pwrite64, fd, b"changed".as_ptr(), 7, 0)?;
    Ok("written".into())
}

fn artifact_map(p: &Params) -> Attempt {
    let fd = memfd(p)?;
    let map = sys!(SYS_mmap, 0, 4096, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, fd, 0)?;
    sys::poke(map, b"changed");
    Ok("mapped and written".into())
}
