//! More of anything else: tasks, descriptors, file size, CPU, priority, time.

use crate::attack::{Attack, Attempt, Stop, attack, no_effect};
use crate::kit::{open, scratch};
use crate::params::Params;
use crate::sys;
use crate::sys::{at, at_mut, c};
use std::time::{Duration, Instant};

const CLASS: &str = "limits";
const PRIORITY: &[&str] = &["capabilities", "rlimit", "seccomp"];

/// The table.
pub const ATTACKS: &[Attack] = &[
    attack("limit-fork-bomb", CLASS, "start more processes than the task limit", |p| forks(p, libc::SIGCHLD as usize))
        .needs(&["TASKS"])
        .native(&["cgroup-pids", "rlimit"]),
    attack("limit-thread-bomb", CLASS, "start more threads than the task limit", threads).needs(&["TASKS"]).native(&[
        "cgroup-pids",
        "rlimit",
        "cgroup-memory",
    ]),
    attack("limit-fork-reparent", CLASS, "start more processes than the limit, each orphaned at once", orphans)
        .needs(&["TASKS"])
        .native(&["cgroup-pids", "rlimit"]),
    attack("limit-descriptors", CLASS, "open more descriptors than the limit", descriptors)
        .needs(&["FDS"])
        .native(&["rlimit"])
        .wasm(&["rlimit", "seccomp"]),
    attack("limit-file-size", CLASS, "make a file larger than the limit", |p| {
        let name = scratch("large");
        let fd = open(&name, libc::O_CREAT | libc::O_EXCL | libc::O_RDWR)?;
        sys!(SYS_unlink, c(&name).as_ptr()).ok();
        // SIGXFSZ would end the process before it can report.
        let ignore = [1usize, 0, 0, 0];
        sys!(SYS_rt_sigaction, libc::SIGXFSZ, at(&ignore), 0, 8).ok();
        sys!(SYS_ftruncate, fd, p.number("FILE_SIZE")?)?;
        sys!(SYS_pwrite64, fd, b"x".as_ptr(), 1, p.number("FILE_SIZE")? - 1)?;
        Ok("made (sparse)".into())
    })
    .needs(&["FILE_SIZE"])
    .native(&["rlimit"])
    .wasm(&["seccomp", "mount-ns", "read-only-root"]),
    attack("limit-fallocate", CLASS, "the same by fallocate", |p| {
        let name = scratch("large");
        let fd = open(&name, libc::O_CREAT | libc::O_EXCL | libc::O_RDWR)?;
        sys!(SYS_unlink, c(&name).as_ptr()).ok();
        let ignore = [1usize, 0, 0, 0];
        sys!(SYS_rt_sigaction, libc::SIGXFSZ, at(&ignore), 0, 8).ok();
        // One block far out: the size is reached, the disk is not filled.
        sys!(SYS_fallocate, fd, 0, p.number("FILE_SIZE")?, 4096)?;
        Ok("made (sparse)".into())
    })
    .needs(&["FILE_SIZE"])
    .native(&["rlimit", "seccomp"])
    .wasm(&["seccomp", "mount-ns", "read-only-root"]),
    attack("limit-rlimit-raise", CLASS, "raise a hard limit", |_| {
        let mut now = [0u64; 2];
        sys!(SYS_prlimit64, 0, libc::RLIMIT_NOFILE, 0, at_mut(&mut now))?;
        let [soft, hard] = now;
        sys!(SYS_prlimit64, 0, libc::RLIMIT_NOFILE, at(&[soft, hard + 1]), 0)?;
        Ok(format!("RLIMIT_NOFILE from {hard} to {}", hard + 1))
    })
    .excuse(&[libc::EPERM], "no CAP_SYS_RESOURCE on this host, or the hard limit is at fs.nr_open")
    .native(PRIORITY)
    .wasm(PRIORITY),
    attack("limit-nice", CLASS, "raise the own priority", |_| {
        sys!(SYS_setpriority, libc::PRIO_PROCESS, 0, -20i64)?;
        Ok("nice -20".into())
    })
    .native(PRIORITY),
    attack("limit-sched-fifo", CLASS, "become a real-time process", |_| {
        let priority = 1i32;
        sys!(SYS_sched_setscheduler, 0, libc::SCHED_FIFO, at(&priority))?;
        Ok("SCHED_FIFO".into())
    })
    .excuse(&[libc::EPERM], "real-time scheduling is closed to this cgroup")
    .native(PRIORITY),
    attack("limit-sched-deadline", CLASS, "become a deadline process by sched_setattr", |_| {
        // struct sched_attr, 48 bytes: size, policy; flags; nice, priority; runtime, deadline, period (ns).
        let attr: [u64; 6] = [48 | 6 << 32, 0, 0, 1_000_000, 10_000_000, 10_000_000];
        sys!(SYS_sched_setattr, 0, at(&attr), 0)?;
        Ok("SCHED_DEADLINE".into())
    })
    .excuse(&[libc::EPERM, libc::EBUSY], "deadline scheduling is closed to this cgroup")
    .native(PRIORITY),
    attack("limit-ioprio", CLASS, "become real-time for the disk", |_| {
        const WHO_PROCESS: i32 = 1;
        const CLASS_RT: i32 = 1 << 13;
        sys!(SYS_ioprio_set, WHO_PROCESS, 0, CLASS_RT)?;
        Ok("IOPRIO_CLASS_RT".into())
    })
    .native(PRIORITY),
    attack("limit-cpu-share", CLASS, "use more CPU time than the quota", cpu)
        .needs(&["CPU_PERCENT"])
        .native(&["cgroup-cpu"])
        .wasm(&["cgroup-cpu"]),
    attack("limit-wall", CLASS, "run beyond the wall-clock limit", |p| {
        let wanted = Duration::from_millis(u64::try_from(p.number("SPIN_MS")?).unwrap_or(0));
        let start = Instant::now();
        while start.elapsed() < wanted {
            std::hint::spin_loop();
        }
        Ok(format!("ran {} ms", wanted.as_millis()))
    })
    .needs(&["SPIN_MS"])
    .native(&["wall-limit"])
    .wasm(&["wall-limit"]),
    attack("limit-output", CLASS, "flood the operator's screen", |p| {
        let total = p.number("FLOOD")?;
        let line = [b'x'; 4096];
        let mut done = 0;
        while done < total {
            done += sys!(SYS_write, 1, line.as_ptr(), line.len())? as i64;
        }
        sys!(SYS_write, 1, b"\n".as_ptr(), 1)?;
        Ok(format!("{done} bytes written; the driver counts what arrives"))
    })
    .needs(&["FLOOD"])
    .native(&["output-limit"])
    .wasm(&["output-limit"]),
];

fn park() -> i32 {
    let minute = [60i64, 0];
    sys!(SYS_nanosleep, at(&minute), 0).ok();
    0
}

fn forks(p: &Params, flags: usize) -> Attempt {
    let wanted = p.number("TASKS")?;
    let mut children = Vec::new();
    let mut refused = None;
    for _ in 0..wanted {
        match sys::fork_with(flags, park) {
            Ok(child) => children.push(child),
            Err(f) => {
                refused = Some(f);
                break;
            }
        }
    }
    for child in &children {
        sys!(SYS_kill, *child, libc::SIGKILL).ok();
        sys::wait(*child).ok();
    }
    match refused {
        None => Ok(format!("{} processes at once", children.len())),
        Some(f) => Err(Stop::Blocked { errno: f.errno, detail: format!("stopped at {} processes", children.len()) }),
    }
}

fn threads(p: &Params) -> Attempt {
    let wanted = p.number("TASKS")?;
    let stop = std::sync::Arc::new(std::sync::RwLock::new(()));
    let held = stop.write().map_err(|_| no_effect("lock"))?;
    let mut joins = Vec::new();
    let mut refused = None;
    for _ in 0..wanted {
        let stop = stop.clone();
        match std::thread::Builder::new().stack_size(32 * 1024).spawn(move || stop.read().map(drop).unwrap_or_default())
        {
            Ok(join) => joins.push(join),
            Err(e) => {
                // clone(2) of pthread_create; where clone3 is refused glibc falls back to it.
                let flags =
                    libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND | libc::CLONE_FS | libc::CLONE_FILES;
                sys::remember(libc::SYS_clone, &[flags.cast_unsigned() as usize]);
                refused = e.raw_os_error();
                break;
            }
        }
    }
    let count = joins.len();
    drop(held);
    for join in joins {
        join.join().ok();
    }
    match refused {
        None => Ok(format!("{count} threads at once")),
        Some(errno) => Err(Stop::Blocked { errno, detail: format!("stopped at {count} threads") }),
    }
}

/// Each child's child is an orphan of its own; they end when the pipe they watch is closed.
fn orphans(p: &Params) -> Attempt {
    let wanted = p.number("TASKS")?;
    let mut pipe = [0i32; 2];
    sys!(SYS_pipe2, pipe.as_mut_ptr(), 0)?;
    let [read, write] = pipe;
    let watch = || {
        sys!(SYS_close, write).ok();
        let mut byte = [0u8; 1];
        sys!(SYS_read, read, byte.as_mut_ptr(), 1).ok();
        0
    };
    for made in 0..wanted {
        let child = sys::fork(|| sys::fork(watch).map_or_else(|f| f.errno, |_| 0));
        let errno = match child {
            Err(f) => f.errno,
            Ok(pid) => libc::WEXITSTATUS(sys::wait(pid)?),
        };
        if errno != 0 {
            return Err(Stop::Blocked { errno, detail: format!("stopped at {made} orphans") });
        }
    }
    Ok(format!("{wanted} orphans at once"))
}

fn descriptors(p: &Params) -> Attempt {
    let wanted = p.number("FDS")?;
    let mut now = [0u64; 2];
    sys!(SYS_prlimit64, 0, libc::RLIMIT_NOFILE, 0, at_mut(&mut now)).ok();
    let [_, hard] = now;
    sys!(SYS_prlimit64, 0, libc::RLIMIT_NOFILE, at(&[hard, hard]), 0).ok();
    for made in 0..wanted {
        if let Err(f) = sys!(SYS_dup, 2) {
            return Err(Stop::Blocked { errno: f.errno, detail: format!("stopped at {made} descriptors") });
        }
    }
    Ok(format!("{wanted} descriptors"))
}

fn cpu_time() -> Duration {
    let mut time = [0i64; 2];
    sys!(SYS_clock_gettime, libc::CLOCK_PROCESS_CPUTIME_ID, at_mut(&mut time)).ok();
    let [seconds, nanos] = time.map(i64::unsigned_abs);
    Duration::new(seconds, u32::try_from(nanos).unwrap_or(0))
}

/// `SPINNERS` threads, where there may be any, and the best of several windows counts, for a busy machine gives less to
/// everyone.
fn cpu(p: &Params) -> Attempt {
    let limit = p.number("CPU_PERCENT")?;
    let others = p.number_or("SPINNERS", 1) - 1;
    let mut best = 0;
    for _ in 0..5 {
        let (wall, used) = (Instant::now(), cpu_time());
        let spin = || {
            while wall.elapsed() < Duration::from_millis(700) {
                std::hint::spin_loop();
            }
        };
        std::thread::scope(|threads| {
            for _ in 0..others {
                std::thread::Builder::new().spawn_scoped(threads, spin).ok();
            }
            spin();
        });
        let percent = (cpu_time() - used).as_micros() * 100 / wall.elapsed().as_micros().max(1);
        best = best.max(i64::try_from(percent).unwrap_or(0));
        if best > limit {
            return Ok(format!("{best} % of a CPU, above {limit} %"));
        }
    }
    Err(no_effect(format!("at most {best} % of a CPU")))
}
