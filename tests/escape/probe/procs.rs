//! Reaching other processes: signals, tracing, memory, namespaces, priorities. `HOST_PID` is a
//! process of the driver outside; `TARGET` is the same outside, and PID 1 in a native cell.

use crate::attack::{Attack, Attempt, Stop, attack, failed, no_effect};
use crate::kit::{hostname, open};
use crate::params::{Params, any};
use crate::sys;
use crate::sys::at;

const CLASS: &str = "processes";
const APART: &[&str] = &["pid-ns", "landlock", "seccomp", "user-ns"];
const PROC: &[&str] = &["pid-ns", "masked-proc", "mount-ns", "landlock", "user-ns", "seccomp"];

/// The table.
pub const ATTACKS: &[Attack] = &[
    attack("proc-kill-host", CLASS, "kill a process of the host by its pid", |p| {
        sys!(SYS_kill, p.number("HOST_PID")?, libc::SIGKILL)?;
        Ok("SIGKILL was sent".into())
    })
    .needs(&["HOST_PID"])
    .native(APART)
    .wasm(APART),
    attack("proc-kill-pidfd", CLASS, "kill a process of the host by a pidfd", |p| {
        let pidfd = sys!(SYS_pidfd_open, p.number("HOST_PID")?, 0)?;
        sys!(SYS_pidfd_send_signal, pidfd, libc::SIGKILL, 0, 0)?;
        Ok("SIGKILL was sent".into())
    })
    .needs(&["HOST_PID"])
    .native(APART),
    attack("proc-tgkill-host", CLASS, "kill a thread of the host by tgkill", |p| {
        let pid = p.number("HOST_PID")?;
        sys!(SYS_tgkill, pid, pid, libc::SIGKILL)?;
        Ok("SIGKILL was sent".into())
    })
    .needs(&["HOST_PID"])
    .native(APART)
    .wasm(APART),
    attack("proc-sigio-host", CLASS, "have the kernel send the signal: F_SETOWN on a pipe", sigio)
        .needs(&["HOST_PID"])
        .native(APART),
    attack("proc-kill-all", CLASS, "find any process to signal by kill(-1, 0)", |_| {
        sys!(SYS_kill, -1i64, 0)?;
        Ok("there are processes to signal".into())
    })
    .native(APART)
    .wasm(APART),
    attack("proc-ptrace-target", CLASS, "seize another process by ptrace", |p| {
        const SEIZE: i64 = 0x4206;
        any(&p.pids()?, |pid| {
            sys!(SYS_ptrace, SEIZE, pid, 0, 0)?;
            Ok(format!("seized {pid}"))
        })
    })
    .needs(&["TARGET"]),
    attack("proc-ptrace-child", CLASS, "trace an own child (changes syscalls behind weak filters)", ptrace_child)
        .native(&["seccomp"]),
    attack("proc-vm-readv", CLASS, "read another process's memory by process_vm_readv", |p| {
        vm(p, libc::SYS_process_vm_readv)
    })
    .needs(&["TARGET"]),
    attack("proc-vm-writev", CLASS, "write another process's memory by process_vm_writev", |p| {
        vm(p, libc::SYS_process_vm_writev)
    })
    .needs(&["TARGET"]),
    attack("proc-mem", CLASS, "open another process's memory by /proc/PID/mem", |p| {
        any(&p.pids()?, |pid| {
            open(&format!("/proc/{pid}/mem"), libc::O_RDWR)?;
            Ok(format!("memory of {pid} is open"))
        })
    })
    .needs(&["TARGET"])
    .native(PROC),
    attack("proc-environ", CLASS, "read another process's environment", |p| {
        any(&p.pids()?, |pid| crate::kit::steal(&format!("/proc/{pid}/environ")))
    })
    .needs(&["TARGET"])
    .native(&["pid-ns", "masked-proc", "mount-ns", "landlock", "user-ns", "seccomp", "environment"]),
    attack("proc-setns-proc", CLASS, "enter another process's UTS namespace by /proc/PID/ns", |p| {
        any(&p.pids()?, |pid| {
            let fd = open(&format!("/proc/{pid}/ns/uts"), libc::O_RDONLY)?;
            sys!(SYS_setns, fd, libc::CLONE_NEWUTS)?;
            entered()
        })
    })
    .needs(&["TARGET"])
    .native(&["pid-ns", "masked-proc", "mount-ns", "landlock", "user-ns", "seccomp", "capabilities"]),
    attack("proc-setns-pidfd", CLASS, "enter another process's namespaces by a pidfd", |p| {
        any(&p.pids()?, |pid| {
            let fd = sys!(SYS_pidfd_open, pid, 0)?;
            sys!(SYS_setns, fd, libc::CLONE_NEWUTS)?;
            entered()
        })
    })
    .needs(&["TARGET"])
    .native(&["pid-ns", "seccomp"]),
    attack("proc-renice-host", CLASS, "change the priority of a process of the host", |p| {
        sys!(SYS_setpriority, libc::PRIO_PROCESS, p.number("HOST_PID")?, 19)?;
        Ok("reniced".into())
    })
    .needs(&["HOST_PID"])
    .native(APART),
    attack("proc-affinity-host", CLASS, "change the CPU affinity of a process of the host", |p| {
        let all = u64::MAX;
        sys!(SYS_sched_setaffinity, p.number("HOST_PID")?, 8, at(&all))?;
        Ok("changed".into())
    })
    .needs(&["HOST_PID"])
    .native(APART),
    attack("proc-prlimit-host", CLASS, "change a limit of a process of the host", |p| {
        let limit = [0u64, 0];
        sys!(SYS_prlimit64, p.number("HOST_PID")?, libc::RLIMIT_CORE, at(&limit), 0)?;
        Ok("its core limit is 0".into())
    })
    .needs(&["HOST_PID"])
    .native(APART),
    attack("proc-kcmp-host", CLASS, "compare kernel objects with a process of the host (leaks pointers' order)", |p| {
        let pid = p.number("HOST_PID")?;
        sys!(SYS_kcmp, pid, pid, 1, 0, 0)?;
        Ok("compared".into())
    })
    .needs(&["HOST_PID"])
    .excuse(&[libc::ENOSYS], "kernel without kcmp")
    .native(APART),
    attack("proc-migrate-pages", CLASS, "move the pages of a process of the host", |p| {
        let nodes = 1u64;
        sys!(SYS_migrate_pages, p.number("HOST_PID")?, 2, at(&nodes), at(&nodes))?;
        Ok("moved".into())
    })
    .needs(&["HOST_PID"])
    .excuse(&[libc::ENOSYS], "kernel without NUMA")
    .native(APART),
    attack("proc-outlive-daemon", CLASS, "fork twice, start a session, ignore signals, and live on", outlive_daemon)
        .native(&["reclaim"])
        .wasm(&["seccomp"]),
    attack("proc-outlive-stopped", CLASS, "leave a stopped child behind", outlive_stopped)
        .native(&["reclaim"])
        .wasm(&["seccomp"]),
    attack("proc-outlive-group", CLASS, "leave a child behind in a process group of its own", outlive_group)
        .native(&["reclaim"])
        .wasm(&["seccomp"]),
];

fn sigio(p: &Params) -> Attempt {
    const F_SETSIG: i32 = 10;
    let mut pipe = [0i32; 2];
    sys!(SYS_pipe2, pipe.as_mut_ptr(), libc::O_NONBLOCK)?;
    let [read, write] = pipe;
    sys!(SYS_fcntl, read, libc::F_SETOWN, p.number("HOST_PID")?)?;
    sys!(SYS_fcntl, read, F_SETSIG, libc::SIGKILL)?;
    sys!(SYS_fcntl, read, libc::F_SETFL, libc::O_ASYNC | libc::O_NONBLOCK)?;
    sys!(SYS_write, write, b"x".as_ptr(), 1)?;
    Ok("the kernel was told to send SIGKILL".into())
}

fn ptrace_child(_: &Params) -> Attempt {
    crate::sys::in_child(|| {
        const TRACEME: i64 = 0;
        let child = sys::fork(|| match sys!(SYS_ptrace, TRACEME, 0, 0, 0) {
            Ok(_) => {
                sys!(SYS_kill, std::process::id(), libc::SIGSTOP).ok();
                0
            }
            Err(f) => f.errno,
        })?;
        let mut status = 0i32;
        sys!(SYS_wait4, child, sys::at_mut(&mut status), libc::WUNTRACED, 0)?;
        if libc::WIFEXITED(status) {
            sys::remember(libc::SYS_ptrace, &[]);
            return Err(failed(libc::WEXITSTATUS(status), "the child may not ask to be traced"));
        }
        sys!(SYS_ptrace, libc::PTRACE_KILL, child, 0, 0).ok();
        sys!(SYS_kill, child, libc::SIGKILL).ok();
        Ok("the child stopped for its tracer".into())
    })
}

/// EFAULT comes after the permission check: the address was wrong, the access was granted. The
/// write goes to an address that is never mapped, so it harms nobody.
fn vm(p: &Params, nr: i64) -> Attempt {
    let reads = nr == libc::SYS_process_vm_readv;
    let mut buffer = [0u8; 64];
    let address = if reads { p.number_or("TARGET_ADDR", 0x40_0000).cast_unsigned() as usize } else { 8 };
    let local = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: buffer.len() };
    any(&p.pids()?, |pid| {
        let args = [pid.cast_unsigned() as usize, at(&local) as usize, 1, at(&remote) as usize, 1, 0];
        match sys::call(nr, &args) {
            Ok(n) => crate::kit::expect_secret(&buffer).or_else(|_| Ok(format!("{n} bytes of {pid}"))),
            Err(f) if f.errno == libc::EFAULT => Ok("access granted, nothing at that address".into()),
            Err(f) => Err(f.into()),
        }
    })
}

fn entered() -> Attempt {
    match hostname()?.as_str() {
        "stockade-victim" => Ok("the host name is the victim's".into()),
        other => Err(no_effect(format!("the host name is {other}"))),
    }
}

/// A process that stays, holds the canary of the driver's leftover search (its own program
/// file), and writes nothing.
fn stay() -> i32 {
    for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGINT, libc::SIGPIPE] {
        let ignore = [1usize, 0, 0, 0];
        sys!(SYS_rt_sigaction, signal, at(&ignore), 0, 8).ok();
    }
    sys!(SYS_prctl, libc::PR_SET_PDEATHSIG, 0, 0, 0, 0).ok();
    // No descriptor of the run is held, so that nothing waits for it.
    sys!(SYS_close_range, 0, u32::MAX, 0).ok();
    let hour = [60i64, 0];
    sys!(SYS_nanosleep, at(&hour), 0).ok();
    0
}

fn outlive_daemon(_: &Params) -> Attempt {
    let middle = sys::fork(|| {
        sys!(SYS_setsid).ok();
        sys::fork(stay).map_or(1, |_| 0)
    })?;
    match sys::wait(middle)? {
        0 => Ok("a daemon was started; the driver looks for it".into()),
        status => Err(Stop::Blocked { errno: 0, detail: format!("the second fork failed ({status:#x})") }),
    }
}

fn outlive_stopped(_: &Params) -> Attempt {
    sys::fork(|| {
        // First let go of the run's pipes, or whoever reads them waits for a stopped process.
        sys!(SYS_close_range, 0, u32::MAX, 0).ok();
        sys!(SYS_kill, sys!(SYS_getpid).unwrap_or(0), libc::SIGSTOP).ok();
        stay()
    })?;
    Ok("a stopped child was left; the driver looks for it".into())
}

fn outlive_group(_: &Params) -> Attempt {
    let child = sys::fork_with((libc::CLONE_UNTRACED | libc::SIGCHLD) as usize, || {
        sys!(SYS_setpgid, 0, 0).ok();
        stay()
    })?;
    Ok(format!("child {child} was left; the driver looks for it"))
}
