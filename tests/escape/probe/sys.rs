//! The one door to the kernel: raw syscalls, so that the last one that failed can be reported
//! with its number and all six registers, and the driver can ask the filter about exactly that.
#![allow(unsafe_code)]

use crate::attack::{Attempt, Stop};
use std::ffi::CString;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

static NUMBER: AtomicI64 = AtomicI64::new(-1);
static ARGS: [AtomicU64; 6] = [const { AtomicU64::new(0) }; 6];

/// A syscall that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed {
    /// Its number.
    pub nr: i64,
    /// What the kernel said.
    pub errno: i32,
}

impl From<Failed> for Stop {
    fn from(f: Failed) -> Self {
        let text = std::io::Error::from_raw_os_error(f.errno);
        Self::Blocked { errno: f.errno, detail: format!("syscall {}: {text}", f.nr) }
    }
}

/// Calls the kernel and remembers the call if it fails.
pub fn call(nr: i64, args: &[usize]) -> Result<usize, Failed> {
    let arg = |i: usize| args.get(i).copied().unwrap_or(0);
    // SAFETY: every pointer among the arguments comes from a live local of the caller that is as
    // large as this syscall reads or writes; what the call does to the process is the attack.
    let ret = unsafe { libc::syscall(nr, arg(0), arg(1), arg(2), arg(3), arg(4), arg(5)) };
    if ret != -1 {
        return Ok(ret.cast_unsigned() as usize);
    }
    let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
    remember(nr, args);
    Err(Failed { nr, errno })
}

/// Marks a call as the decisive one although it was not made through [`call`].
pub fn remember(nr: i64, args: &[usize]) {
    NUMBER.store(nr, Relaxed);
    for (slot, i) in ARGS.iter().zip(0..) {
        slot.store(args.get(i).copied().unwrap_or(0) as u64, Relaxed);
    }
}

/// The last failed call: number and registers.
pub fn last() -> Option<(i64, [u64; 6])> {
    let nr = NUMBER.load(Relaxed);
    (nr >= 0).then(|| (nr, ARGS.each_ref().map(|a| a.load(Relaxed))))
}

/// Calls the kernel with arguments of any integer or pointer type.
#[macro_export]
macro_rules! sys {
    // One expression, so that a temporary behind a pointer lives until the call is over.
    ($nr:ident $(, $arg:expr)* $(,)?) => {
        $crate::sys::call(libc::$nr, &[$($arg as usize),*])
    };
}

/// Pointer to a value for the kernel to read.
pub fn at<T>(value: &T) -> *const T {
    value
}

/// Pointer to a value for the kernel to fill.
pub fn at_mut<T>(value: &mut T) -> *mut T {
    value
}

/// A plain C structure with every byte zero.
pub trait Plain: Sized {
    /// All bytes zero.
    fn zeroed() -> Self {
        // SAFETY: implementors are C structures of integers and byte arrays.
        unsafe { std::mem::zeroed() }
    }
}
impl Plain for libc::sockaddr_un {}
impl Plain for libc::sockaddr_in {}
impl Plain for libc::sockaddr_nl {}
impl Plain for libc::sockaddr_ll {}
impl Plain for libc::sockaddr_alg {}
impl Plain for libc::msghdr {}
impl Plain for libc::stat {}
impl Plain for libc::statfs {}
impl Plain for libc::utsname {}
impl Plain for libc::timex {}
impl Plain for libc::sigevent {}

/// Forks by raw clone, so that the report names it; the child runs `body` and exits with what
/// it returns.
pub fn fork(body: impl FnOnce() -> i32) -> Result<i32, Failed> {
    fork_with(libc::SIGCHLD as usize, body)
}

/// Like [`fork`], with clone flags (all 64 bits of them).
pub fn fork_with(flags: usize, body: impl FnOnce() -> i32) -> Result<i32, Failed> {
    match call(libc::SYS_clone, &[flags, 0, 0, 0, 0])? {
        0 => exit(body()),
        pid => Ok(i32::try_from(pid).unwrap_or(i32::MAX)),
    }
}

/// Ends this process without unwinding or flushing.
pub fn exit(code: i32) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(code) }
}

/// Waits for a child; the raw wait status.
pub fn wait(pid: i32) -> Result<i32, Failed> {
    let mut status = 0i32;
    sys!(SYS_wait4, pid, at_mut(&mut status), 0, 0)?;
    Ok(status)
}

/// Runs an attempt in a forked child, whose report comes back through a pipe. For what would
/// change or kill the caller.
pub fn in_child(body: impl FnOnce() -> Attempt) -> Attempt {
    let mut pipe = [0i32; 2];
    sys!(SYS_pipe2, pipe.as_mut_ptr(), 0)?;
    let [read, write] = pipe;
    let pid = fork(|| {
        let line = crate::report::encode(&body());
        i32::from(sys!(SYS_write, write, line.as_ptr(), line.len()).is_err())
    })?;
    sys!(SYS_close, write)?;
    let mut text = Vec::new();
    let mut chunk = [0u8; 4096];
    while let Ok(n @ 1..) = sys!(SYS_read, read, chunk.as_mut_ptr(), chunk.len()) {
        text.extend_from_slice(chunk.get(..n).unwrap_or_default());
    }
    let status = wait(pid)?;
    crate::report::decode(&text)
        .unwrap_or_else(|| Err(crate::attack::no_effect(format!("the child died with wait status {status:#x}"))))
}

/// Reads memory that the kernel mapped for us.
pub fn peek(address: usize) -> u8 {
    // SAFETY: callers pass an address they just mapped or attached.
    unsafe { std::ptr::read_volatile(address as *const u8) }
}

/// Reads a 32-bit word shared with the kernel.
pub fn peek32(address: usize) -> u32 {
    // SAFETY: callers pass an aligned address inside a mapping they hold.
    unsafe { std::ptr::read_volatile(address as *const u32) }
}

/// Writes bytes into memory that the caller mapped writable.
pub fn poke(address: usize, bytes: &[u8]) {
    for (offset, byte) in bytes.iter().enumerate() {
        // SAFETY: callers pass a writable mapping at least as long as `bytes`.
        unsafe { std::ptr::write_volatile((address + offset) as *mut u8, *byte) }
    }
}

/// Calls machine code that was put at `address` and takes no arguments.
pub fn jump(address: usize) -> u32 {
    // SAFETY: callers wrote a whole function there (see `code.rs`).
    let function: extern "C" fn() -> u32 = unsafe { std::mem::transmute(address) };
    function()
}

/// getpid by the 32-bit gate; number 20 in the i386 table.
pub fn int80_getpid() -> i64 {
    let ret: i64;
    // SAFETY: int 0x80 with getpid reads no memory; it may clobber r8 to r11.
    unsafe {
        std::arch::asm!("int 0x80", inlateout("rax") 20i64 => ret,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _, out("rcx") _);
    }
    i64::from(ret as i32)
}

/// A C string; NULs end it early.
pub fn c(text: &str) -> CString {
    CString::new(text.split('\0').next().unwrap_or_default()).unwrap_or_default()
}
