//! More memory than the limit, in every currency the kernel has. `BOMB` is the size in bytes;
//! the driver keeps the cells' limit well below it.

use crate::attack::{Attack, Attempt, Stop, attack};
use crate::kit::{open, scratch};
use crate::params::Params;
use crate::sys;
use crate::sys::c;

const CLASS: &str = "memory";
const LIMIT: &[&str] = &["cgroup-memory", "seccomp", "rlimit"];
const CHUNK: usize = 1 << 20;

/// The table.
pub const ATTACKS: &[Attack] = &[
    attack("memory-anonymous", CLASS, "touch anonymous memory beyond the limit", anonymous)
        .needs(&["BOMB"])
        .native(LIMIT)
        .wasm(LIMIT),
    attack("memory-shared", CLASS, "the same in a shared anonymous mapping", |p| {
        touch(p, libc::MAP_SHARED | libc::MAP_ANONYMOUS)
    })
    .needs(&["BOMB"])
    .native(LIMIT)
    .wasm(LIMIT),
    attack("memory-populate", CLASS, "the same by MAP_POPULATE", |p| {
        touch(p, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE)
    })
    .needs(&["BOMB"])
    .native(LIMIT)
    .wasm(LIMIT),
    attack("memory-brk", CLASS, "the same by brk", brk).needs(&["BOMB"]).native(LIMIT).wasm(LIMIT),
    attack("memory-memfd", CLASS, "fill a memfd", |p| {
        let fd = sys!(SYS_memfd_create, c("bomb").as_ptr(), 0)?;
        fill(fd, p.number("BOMB")?)
    })
    .needs(&["BOMB"])
    .native(LIMIT),
    attack("memory-tmpfs", CLASS, "fill a tmpfs", |p| {
        let name = format!("{}/{}", p.or("TMPFS", "/tmp"), scratch("bomb"));
        let fd = open(&name, libc::O_CREAT | libc::O_EXCL | libc::O_RDWR)?;
        sys!(SYS_unlink, c(&name).as_ptr()).ok();
        fill(fd, p.number("BOMB")?)
    })
    .needs(&["BOMB", "TMPFS"])
    .native(&["cgroup-memory", "tmpfs-size", "rlimit", "seccomp", "landlock"]),
    attack("memory-shm", CLASS, "fill a SysV shared memory segment", |p| {
        let size = usize::try_from(p.number("BOMB")?).unwrap_or(0);
        let id = sys!(SYS_shmget, libc::IPC_PRIVATE, size, libc::IPC_CREAT | 0o600)?;
        let address = sys!(SYS_shmat, id, 0, 0);
        sys!(SYS_shmctl, id, libc::IPC_RMID, 0)?;
        write_all(address?, size);
        Ok(format!("{size} bytes"))
    })
    .needs(&["BOMB"])
    .native(LIMIT),
    attack("memory-pipes", CLASS, "fill large pipe buffers", pipes).needs(&["BOMB"]).native(LIMIT).wasm(LIMIT),
    attack("memory-sockets", CLASS, "fill socket buffers", sockets).needs(&["BOMB"]).native(LIMIT).wasm(LIMIT),
    attack("memory-mlock", CLASS, "lock memory", |p| {
        let size = usize::try_from(p.number("BOMB")?).unwrap_or(0) / 2;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let address = sys!(SYS_mmap, 0, size, libc::PROT_READ | libc::PROT_WRITE, flags, -1i64, 0)?;
        sys!(SYS_mlock, address, size)?;
        Ok(format!("{size} bytes locked"))
    })
    .needs(&["BOMB"])
    .excuse(&[libc::ENOMEM, libc::EPERM], "a low RLIMIT_MEMLOCK and no CAP_IPC_LOCK")
    .native(LIMIT),
    attack("memory-threads", CLASS, "the same, spread over the children of a fork", forks)
        .needs(&["BOMB"])
        .native(&["cgroup-memory"]),
];

fn write_all(address: usize, size: usize) {
    for page in (0..size).step_by(4096) {
        sys::poke(address + page, &[1]);
    }
}

fn touch(p: &Params, flags: i32) -> Attempt {
    let size = usize::try_from(p.number("BOMB")?).unwrap_or(0);
    let address = sys!(SYS_mmap, 0, size, libc::PROT_READ | libc::PROT_WRITE, flags, -1i64, 0)?;
    write_all(address, size);
    Ok(format!("{size} bytes"))
}

fn anonymous(p: &Params) -> Attempt {
    touch(p, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS)
}

fn brk(p: &Params) -> Attempt {
    let size = usize::try_from(p.number("BOMB")?).unwrap_or(0);
    let start = sys!(SYS_brk, 0)?;
    // brk(2) as a syscall answers the new break, or the old one if it refused.
    let end = sys!(SYS_brk, start + size)?;
    if end < start + size {
        sys::remember(libc::SYS_brk, &[start + size]);
        return Err(crate::attack::failed(libc::ENOMEM, "brk"));
    }
    write_all(start, size);
    Ok(format!("{size} bytes"))
}

fn fill(fd: usize, total: i64) -> Attempt {
    let chunk = vec![1u8; CHUNK];
    let mut done = 0;
    while done < total {
        match sys!(SYS_write, fd, chunk.as_ptr(), chunk.len()) {
            Ok(n) => done += n as i64,
            Err(f) => return Err(stopped_at(f, done)),
        }
    }
    Ok(format!("{done} bytes"))
}

fn stopped_at(f: sys::Failed, done: i64) -> Stop {
    Stop::Blocked { errno: f.errno, detail: format!("stopped after {done} bytes") }
}

fn pipes(p: &Params) -> Attempt {
    let total = p.number("BOMB")?;
    let chunk = vec![1u8; CHUNK];
    let mut done = 0i64;
    while done < total {
        let mut pipe = [0i32; 2];
        let step = sys!(SYS_pipe2, pipe.as_mut_ptr(), libc::O_NONBLOCK);
        let [_, write] = pipe;
        let step = step
            .and_then(|_| sys!(SYS_fcntl, write, libc::F_SETPIPE_SZ, CHUNK))
            .and_then(|_| sys!(SYS_write, write, chunk.as_ptr(), chunk.len()));
        match step {
            Ok(n) => done += n as i64,
            Err(f) => return Err(stopped_at(f, done)),
        }
    }
    Ok(format!("{done} bytes in pipes"))
}

fn sockets(p: &Params) -> Attempt {
    let total = p.number("BOMB")?;
    let chunk = vec![1u8; 64 * 1024];
    let mut done = 0i64;
    while done < total {
        let mut pair = [0i32; 2];
        let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK;
        if let Err(f) = sys!(SYS_socketpair, libc::AF_UNIX, kind, 0, pair.as_mut_ptr()) {
            return Err(stopped_at(f, done));
        }
        let [one, _] = pair;
        while let Ok(n) = sys!(SYS_write, one, chunk.as_ptr(), chunk.len()) {
            done += n as i64;
        }
    }
    Ok(format!("{done} bytes in sockets"))
}

fn forks(p: &Params) -> Attempt {
    let parts = 4;
    let size = usize::try_from(p.number("BOMB")?).unwrap_or(0) / parts;
    let mut children = Vec::new();
    for _ in 0..parts {
        children.push(sys::fork(|| {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let Ok(address) = sys!(SYS_mmap, 0, size, libc::PROT_READ | libc::PROT_WRITE, flags, -1i64, 0) else {
                return 1;
            };
            write_all(address, size);
            // Hold it until the parent has counted.
            sys!(SYS_kill, std::process::id(), libc::SIGSTOP).ok();
            0
        })?);
    }
    let mut held = 0;
    for child in &children {
        let mut status = 0i32;
        sys!(SYS_wait4, *child, sys::at_mut(&mut status), libc::WUNTRACED, 0)?;
        held += usize::from(libc::WIFSTOPPED(status));
    }
    for child in children {
        sys!(SYS_kill, child, libc::SIGKILL).ok();
    }
    if held == parts {
        Ok(format!("{parts} children hold {size} bytes each"))
    } else {
        Err(crate::attack::failed(libc::ENOMEM, format!("{held} of {parts} children lived")))
    }
}
