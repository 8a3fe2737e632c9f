//! The launcher's only unsafe code: system calls that no given crate wraps, and ownership of raw numbers.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

/// `struct clone_args` up to `cgroup` (clone(2)).
#[repr(C, align(8))]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// `CLONE_INTO_CGROUP`; libc's constant is an int and overflows.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// `struct mount_attr` (mount_setattr(2)).
#[repr(C)]
#[derive(Default, Clone, Copy)]
pub struct MountAttr {
    /// `MOUNT_ATTR_*` to set.
    pub set: u64,
    /// `MOUNT_ATTR_*` to clear.
    pub clear: u64,
    /// `MS_PRIVATE` or `0`.
    pub propagation: u64,
    /// User namespace of `MOUNT_ATTR_IDMAP`.
    pub userns: u64,
}

/// Which side of a clone3(2) this is.
pub enum Side {
    /// The newborn.
    Child,
    /// The parent, with the newborn's pid and pidfd.
    Parent(libc::pid_t, OwnedFd),
}

fn check(result: libc::c_long) -> Result<libc::c_long, Errno> {
    if result < 0 { Err(Errno::last()) } else { Ok(result) }
}

/// Takes ownership of descriptor 0.
pub fn take_stdin() -> OwnedFd {
    // SAFETY: called once, first thing in main; nothing else in this program reads standard input.
    unsafe { OwnedFd::from_raw_fd(0) }
}

/// Owns a descriptor that the kernel just made for us.
pub fn own_received(raw: RawFd) -> OwnedFd {
    // SAFETY: callers pass numbers fresh from recvmsg(2) or fcntl(2), which nobody else has seen.
    unsafe { OwnedFd::from_raw_fd(raw) }
}

fn own(result: libc::c_long) -> Result<OwnedFd, Errno> {
    let raw = RawFd::try_from(check(result)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: `result` is the return value of a system call that makes a new descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// clone3(2) as fork: own address space, no stack. The launcher has one thread (checked first), so the
/// child may go on as an ordinary program.
pub fn clone3(flags: u64, exit_signal: i32, cgroup: Option<BorrowedFd<'_>>) -> Result<Side, Errno> {
    let mut pidfd: RawFd = -1;
    let mut args = CloneArgs {
        flags: flags | libc::CLONE_PIDFD as u64,
        pidfd: &raw mut pidfd as u64,
        exit_signal: u64::from(exit_signal.unsigned_abs()),
        ..CloneArgs::default()
    };
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = u64::from(cgroup.as_raw_fd().unsigned_abs());
    }
    // SAFETY: `args` is a valid clone_args of the size given and outlives the call; without CLONE_VM the
    // child has copies of everything, and with one thread no lock is held elsewhere.
    let result = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<CloneArgs>()) };
    match check(result)? {
        0 => Ok(Side::Child),
        pid => {
            let pid = libc::pid_t::try_from(pid).map_err(|_| Errno::ESRCH)?;
            // SAFETY: CLONE_PIDFD stored a new descriptor in `pidfd`.
            Ok(Side::Parent(pid, unsafe { OwnedFd::from_raw_fd(pidfd) }))
        }
    }
}

/// Ends this process at once, without running anything of ours.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit(2) has no preconditions.
    unsafe { libc::_exit(code) }
}

/// dup3(2) onto `number`, whatever is there.
pub fn dup_to(fd: BorrowedFd<'_>, number: RawFd, close_on_exec: bool) -> Result<OwnedFd, Errno> {
    let flags = if close_on_exec { libc::O_CLOEXEC } else { 0 };
    // SAFETY: dup3 takes numbers only. Callers see to it that `number` is not owned elsewhere (descriptors.rs).
    own(unsafe { libc::dup3(fd.as_raw_fd(), number, flags) }.into())
}

/// Leaves a descriptor open for the program to come.
pub fn leave_open(fd: OwnedFd) {
    let _number: RawFd = fd.into_raw_fd();
}

/// close_range(2).
pub fn close_range(first: u32, last: u32) -> Result<(), Errno> {
    // SAFETY: closes numbers that no live owner uses: callers give ranges outside the final layout and
    // never drop the owners afterwards (descriptors.rs).
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }).map(drop)
}

/// open_tree(2) of the place that `fd` names, as a detached copy.
pub fn clone_tree(fd: BorrowedFd<'_>, recursive: bool) -> Result<OwnedFd, Errno> {
    let mut flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_EMPTY_PATH as u32;
    if recursive {
        flags |= libc::AT_RECURSIVE as u32;
    }
    // SAFETY: the empty path is a static C string.
    own(unsafe { libc::syscall(libc::SYS_open_tree, fd.as_raw_fd(), c"".as_ptr(), flags) })
}

/// mount_setattr(2) on the mount that `fd` names.
pub fn mount_setattr(fd: BorrowedFd<'_>, recursive: bool, mut attr: MountAttr) -> Result<(), Errno> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    let size = size_of::<MountAttr>();
    // SAFETY: `attr` is a mount_attr of the size given and outlives the call.
    let result =
        unsafe { libc::syscall(libc::SYS_mount_setattr, fd.as_raw_fd(), c"".as_ptr(), flags, &raw mut attr, size) };
    check(result).map(drop)
}

/// move_mount(2) of a detached mount onto the place that `target` names.
pub fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Errno> {
    const EMPTY_PATHS: u32 = 0x4 | 0x40; // MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    let (from, to) = (mount.as_raw_fd(), target.as_raw_fd());
    // SAFETY: both paths are static C strings.
    let result = unsafe { libc::syscall(libc::SYS_move_mount, from, c"".as_ptr(), to, c"".as_ptr(), EMPTY_PATHS) };
    check(result).map(drop)
}

/// A detached mount of a new file system (fsopen(2), fsconfig(2), fsmount(2)).
pub fn new_mount(kind: &CStr, options: &[(&CStr, CString)], attributes: u64) -> Result<OwnedFd, Errno> {
    const SET_STRING: u32 = 1;
    const CREATE: u32 = 6;
    // SAFETY: `kind` is a C string.
    let context = own(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), 1u32) })?;
    let fd = context.as_raw_fd();
    for (key, value) in options {
        // SAFETY: key and value are C strings, as SET_STRING wants.
        let result = unsafe { libc::syscall(libc::SYS_fsconfig, fd, SET_STRING, key.as_ptr(), value.as_ptr(), 0) };
        check(result)?;
    }
    let none = std::ptr::null::<libc::c_char>();
    // SAFETY: CREATE takes null key and value.
    check(unsafe { libc::syscall(libc::SYS_fsconfig, fd, CREATE, none, none, 0) })?;
    // SAFETY: takes numbers only.
    own(unsafe { libc::syscall(libc::SYS_fsmount, fd, 1u32, attributes) })
}

/// Default disposition for every signal and an empty mask, as execve(2) would not do for ignored ones.
pub fn reset_signals() -> Result<(), Errno> {
    for signal in 1..=libc::SIGRTMAX() {
        if signal == libc::SIGKILL || signal == libc::SIGSTOP {
            continue;
        }
        // SAFETY: SIG_DFL installs no handler; 32 and 33 belong to the C library, which refuses them.
        let old = unsafe { libc::signal(signal, libc::SIG_DFL) };
        if old == libc::SIG_ERR && !(32..=33).contains(&signal) {
            return Err(Errno::last());
        }
    }
    // SAFETY: an all-zero sigset_t is what sigemptyset(3) makes on Linux; both live through the call.
    let result = unsafe {
        let mut empty: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut empty);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const empty, std::ptr::null_mut())
    };
    check(result.into()).map(drop)
}

/// Sets and locks the securebits (capabilities(7)): root gains nothing, now or later.
pub fn lock_securebits() -> Result<(), Errno> {
    // NOROOT, NO_SETUID_FIXUP, KEEP_CAPS off but locked, NO_CAP_AMBIENT_RAISE; each with its lock.
    const BITS: libc::c_ulong = 0b1110_1111;
    // SAFETY: prctl with numbers only.
    check(unsafe { libc::prctl(libc::PR_SET_SECUREBITS, BITS, 0, 0, 0) }.into()).map(drop)
}

/// setrlimit(2), soft and hard alike.
pub fn set_rlimit(resource: u8, value: u64) -> Result<(), Errno> {
    let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
    // SAFETY: `limit` outlives the call.
    check(unsafe { libc::setrlimit(resource.into(), &raw const limit) }.into()).map(drop)
}

/// seccomp(2) `SECCOMP_SET_MODE_FILTER`; `program` is an array of `struct sock_filter`.
pub fn install_filter(program: &[u8], listener: bool) -> Result<Option<OwnedFd>, Errno> {
    const INSTRUCTION: usize = size_of::<libc::sock_filter>();
    let whole = program.len().is_multiple_of(INSTRUCTION);
    let len = libc::c_ushort::try_from(program.len() / INSTRUCTION).map_err(|_| Errno::EINVAL)?;
    if !whole || len == 0 {
        return Err(Errno::EINVAL);
    }
    // The kernel copies the program from any address; sock_fprog only has a typed pointer.
    let program = libc::sock_fprog { len, filter: program.as_ptr().cast_mut().cast() };
    let flags = if listener { libc::SECCOMP_FILTER_FLAG_NEW_LISTENER } else { 0 };
    // SAFETY: `program` points to `len` instructions that outlive the call; the kernel only reads them.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    match listener {
        true => own(result).map(Some),
        false => check(result).map(|_| None),
    }
}

/// execveat(2) of a descriptor. Returns only to say why not.
pub fn exec(program: BorrowedFd<'_>, argv: &[CString], env: &[CString]) -> Errno {
    let list = |strings: &[CString]| strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect::<Vec<_>>();
    let (argv, env) = (list(argv), list(env));
    let fd = program.as_raw_fd();
    // SAFETY: both lists end in null and their strings outlive the call.
    unsafe { libc::syscall(libc::SYS_execveat, fd, c"".as_ptr(), argv.as_ptr(), env.as_ptr(), libc::AT_EMPTY_PATH) };
    Errno::last()
}
