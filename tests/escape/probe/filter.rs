//! Getting round the syscall filter, and fresh machine code.

use crate::attack::{Attack, Attempt, attack, failed, no_effect};
use crate::params::Params;
use crate::sys;
use crate::sys::{at, c};

const CLASS: &str = "filter bypass";
const CODE: &str = "code";
const NATIVE_CODE: &str = "a native agent is machine code of its own already; the outer layers hold it";

/// The table.
pub const ATTACKS: &[Attack] = &[
    attack("filter-int80", CLASS, "call the kernel by the 32-bit gate", |_| match sys::int80_getpid() {
        pid if pid > 0 => Ok(format!("getpid answered {pid}")),
        error => {
            sys::remember(20, &[]);
            Err(failed(i32::try_from(-error).unwrap_or(0), "32-bit getpid"))
        }
    })
    .excuse(&[libc::ENOSYS], "kernel without 32-bit emulation"),
    attack("filter-x32", CLASS, "call the kernel by x32 numbers", |_| {
        let pid = sys::call(libc::SYS_getpid | 0x4000_0000, &[])?;
        Ok(format!("getpid answered {pid}"))
    })
    .excuse(&[libc::ENOSYS], "kernel without x32"),
    attack("filter-io-uring", CLASS, "open and read a file through an io_uring", |p| {
        crate::uring::read_file(p.or("CANARY", "/etc/hostname"))
    })
    .needs(&["CANARY"])
    .excuse(&[libc::ENOSYS, libc::EPERM], "io_uring is switched off"),
    attack("filter-own-listener", CLASS, "install a later filter with a listener of one's own", own_listener)
        .native(&["seccomp", "one-listener"]),
    attack("filter-personality", CLASS, "make every readable page executable by personality", |_| {
        personality(0x040_0000)
    }),
    attack("filter-personality-aslr", CLASS, "switch off address randomisation by personality", |_| {
        personality(0x004_0000)
    }),
    attack("code-mprotect", CODE, "write machine code, make it executable, run it", mprotect).native_open(NATIVE_CODE),
    attack("code-mmap-rwx", CODE, "map memory writable and executable at once, run code in it", rwx)
        .native_open(NATIVE_CODE),
    attack("code-pkey-mprotect", CODE, "make memory executable by pkey_mprotect", pkey).native_open(NATIVE_CODE),
    attack("code-memfd-map", CODE, "write code to a memfd and map it executable", memfd_map).native_open(NATIVE_CODE),
    attack("code-memfd-exec", CODE, "write a program to a memfd and execveat it", memfd_exec)
        .native_open("any program of the workspace may run; what it runs has the same layers"),
    attack("code-execve-child", CODE, "run another program in a child", |_| execve_child())
        .native_open("any program of the policy's view may run; what it runs has the same layers"),
    attack("code-execve", CODE, "replace the runtime by another program", |_| execve_self())
        .native_open("any program of the policy's view may run; what it runs has the same layers"),
    attack("code-fork", CODE, "start a second process", |_| {
        let child = sys::fork(|| 7)?;
        Ok(format!("a child ended with wait status {:#x}", sys::wait(child)?))
    })
    .native_open("a native agent may fork within its task limit"),
    attack("code-thread", CODE, "start a second thread", |_| {
        // A thread by raw clone needs a stack: sharing files but not memory shows the same thing.
        let flags = libc::CLONE_FILES | libc::CLONE_FS | libc::SIGCHLD;
        let child = sys::fork_with(flags as usize, || 0)?;
        Ok(format!("a task ended with wait status {:#x}", sys::wait(child)?))
    })
    .native_open("a native agent may use threads within its task limit"),
];

fn own_listener(_: &Params) -> Attempt {
    const SET_MODE_FILTER: i32 = 1;
    const NEW_LISTENER: i32 = 8;
    sys!(SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)?;
    // One instruction: allow. What counts is the listener, which would be asked first.
    let allow = libc::sock_filter { code: 6, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW };
    let program = libc::sock_fprog { len: 1, filter: at(&allow).cast_mut() };
    let fd = sys!(SYS_seccomp, SET_MODE_FILTER, NEW_LISTENER, at(&program))?;
    Ok(format!("listener {fd}"))
}

fn personality(bit: usize) -> Attempt {
    sys!(SYS_personality, bit)?;
    let now = sys!(SYS_personality, 0xffff_ffffu32)?;
    if now & bit != 0 { Ok(format!("personality {now:#x}")) } else { Err(no_effect(format!("personality {now:#x}"))) }
}

/// `mov eax, 42; ret`
const CODE_42: [u8; 6] = [0xb8, 42, 0, 0, 0, 0xc3];
const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;
const RX: i32 = libc::PROT_READ | libc::PROT_EXEC;
const PRIVATE: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;

fn ran(address: usize) -> Attempt {
    match sys::jump(address) {
        42 => Ok("fresh code ran".into()),
        other => Err(no_effect(format!("it answered {other}"))),
    }
}

fn page(protection: i32) -> Result<usize, sys::Failed> {
    sys!(SYS_mmap, 0, 4096, protection, PRIVATE, -1i64, 0)
}

fn mprotect(_: &Params) -> Attempt {
    let address = page(RW)?;
    sys::poke(address, &CODE_42);
    sys!(SYS_mprotect, address, 4096, RX)?;
    ran(address)
}

fn rwx(_: &Params) -> Attempt {
    let address = page(RW | libc::PROT_EXEC)?;
    sys::poke(address, &CODE_42);
    ran(address)
}

fn pkey(_: &Params) -> Attempt {
    let address = page(RW)?;
    sys::poke(address, &CODE_42);
    sys!(SYS_pkey_mprotect, address, 4096, RX, -1i64)?;
    ran(address)
}

fn memfd() -> Result<usize, sys::Failed> {
    sys!(SYS_memfd_create, c("code").as_ptr(), 0)
}

fn memfd_map(_: &Params) -> Attempt {
    let fd = memfd()?;
    sys!(SYS_write, fd, CODE_42.as_ptr(), CODE_42.len())?;
    let address = sys!(SYS_mmap, 0, 4096, RX, libc::MAP_PRIVATE, fd, 0)?;
    ran(address)
}

/// The smallest program: `mov edi, 42; mov eax, 60; syscall` behind an ELF and a program header.
fn tiny_elf() -> Vec<u8> {
    let code = [0xbf, 42, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05];
    let (base, size) = (0x40_0000u64, 120 + code.len() as u64);
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    elf.extend((base + 120).to_le_bytes()); // entry
    elf.extend(64u64.to_le_bytes()); // program headers
    elf.extend([0; 12]); // section headers, flags
    for half in [64u16, 56, 1, 0, 0, 0] {
        elf.extend(half.to_le_bytes());
    }
    elf.extend([1, 0, 0, 0, 5, 0, 0, 0]); // PT_LOAD, read and execute
    for word in [0, base, base, size, size, 4096] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend(code);
    elf
}

fn memfd_exec(_: &Params) -> Attempt {
    let elf = tiny_elf();
    let fd = memfd()?;
    sys!(SYS_write, fd, elf.as_ptr(), elf.len())?;
    let child = sys::fork(|| {
        exec(|argv, none| sys!(SYS_execveat, fd, c("").as_ptr(), argv, none, libc::AT_EMPTY_PATH), &["escape"])
    })?;
    match libc::WEXITSTATUS(sys::wait(child)?) {
        42 => Ok("the program ran".into()),
        errno => {
            sys::remember(libc::SYS_execveat, &[fd]);
            Err(failed(errno, "execveat"))
        }
    }
}

type Vector = *const *const libc::c_char;

/// Hands an argument vector and an empty environment to an exec call; its errno if it returns.
fn exec(call: impl Fn(Vector, Vector) -> Result<usize, sys::Failed>, words: &[&str]) -> i32 {
    let words: Vec<_> = words.iter().map(|w| c(w)).collect();
    let mut argv: Vec<_> = words.iter().map(|w| w.as_ptr()).collect();
    argv.push(std::ptr::null());
    let none = [std::ptr::null()];
    call(argv.as_ptr(), none.as_ptr()).err().map_or(0, |f| f.errno)
}

fn execve_child() -> Attempt {
    let child = sys::fork(|| exec(|argv, none| sys!(SYS_execve, c("/usr/bin/true").as_ptr(), argv, none), &["true"]))?;
    match libc::WEXITSTATUS(sys::wait(child)?) {
        0 => Ok("/usr/bin/true ran".into()),
        errno => Err(failed(errno, "execve")),
    }
}

/// On success this process says so through its new self, see `main.rs`.
fn execve_self() -> Attempt {
    let words = ["probe", "said", "code-execve"];
    let errno = exec(|argv, none| sys!(SYS_execve, c("/proc/self/exe").as_ptr(), argv, none), &words);
    Err(failed(errno, "execve"))
}
