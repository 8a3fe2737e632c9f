//! Small things many attacks share.

use crate::attack::{Attempt, Stop, no_effect};
use crate::sys;
use crate::sys::{Failed, Plain, at, at_mut, c};

/// Every secret of the driver starts so; the rest is a nonce that only the driver knows.
pub const MARK: &str = "stockade-canary:";

/// Opens with flags and mode 0600.
pub fn open_at(dir: i64, path: &str, flags: i32) -> Result<usize, Failed> {
    sys!(SYS_openat, dir, c(path).as_ptr(), flags | libc::O_CLOEXEC, 0o600)
}

/// Opens relative to the current directory.
pub fn open(path: &str, flags: i32) -> Result<usize, Failed> {
    open_at(i64::from(libc::AT_FDCWD), path, flags)
}

/// Up to 4 KiB of what a descriptor gives.
pub fn read(fd: usize) -> Result<Vec<u8>, Failed> {
    let mut buffer = vec![0u8; 4096];
    let n = sys!(SYS_read, fd, buffer.as_mut_ptr(), buffer.len())?;
    buffer.truncate(n);
    Ok(buffer)
}

/// Everything up to 1 MiB (proc files come in pieces).
pub fn read_all(path: &str) -> Result<String, Stop> {
    let fd = open(path, libc::O_RDONLY)?;
    let mut all = Vec::new();
    loop {
        let piece = read(fd)?;
        if piece.is_empty() || all.len() > 1 << 20 {
            return Ok(String::from_utf8_lossy(&all).into_owned());
        }
        all.extend(piece);
    }
}

/// Success if these bytes hold a secret of the driver.
pub fn expect_secret(bytes: &[u8]) -> Attempt {
    let text = String::from_utf8_lossy(bytes);
    match text.find(MARK) {
        Some(at) => Ok(text.get(at..).unwrap_or_default().chars().take(64).filter(|c| !c.is_control()).collect()),
        None => Err(no_effect(format!("read {} bytes without the secret", bytes.len()))),
    }
}

/// Reads the secret from an open descriptor.
pub fn steal_fd(fd: usize) -> Attempt {
    expect_secret(&read(fd)?)
}

/// Opens and reads the secret.
pub fn steal(path: &str) -> Attempt {
    steal_fd(open(path, libc::O_RDONLY)?)
}

/// A fresh name in the current directory.
pub fn scratch(kind: &str) -> String {
    format!("escape-{kind}-{}", std::process::id())
}

/// A fresh directory in the current directory.
pub fn scratch_dir(kind: &str) -> Result<String, Failed> {
    let name = scratch(kind);
    sys!(SYS_mkdir, c(&name).as_ptr(), 0o755)?;
    Ok(name)
}

/// Device and inode of a path.
pub fn identity(path: &str) -> Result<(u64, u64), Failed> {
    let mut st = libc::stat::zeroed();
    sys!(SYS_newfstatat, libc::AT_FDCWD, c(path).as_ptr(), at_mut(&mut st), 0)?;
    Ok((st.st_dev, st.st_ino))
}

/// Mode bits of a path, links not followed.
pub fn mode(path: &str) -> Result<u32, Failed> {
    let mut st = libc::stat::zeroed();
    sys!(SYS_newfstatat, libc::AT_FDCWD, c(path).as_ptr(), at_mut(&mut st), libc::AT_SYMLINK_NOFOLLOW)?;
    Ok(st.st_mode)
}

/// Magic number of the file system behind a descriptor.
pub fn fs_magic(fd: usize) -> Result<i64, Failed> {
    let mut st = libc::statfs::zeroed();
    sys!(SYS_fstatfs, fd, at_mut(&mut st))?;
    Ok(st.f_type)
}

/// Waits up to this long for input; true if there is some.
pub fn readable(fd: usize, millis: i32) -> bool {
    let mut poll = libc::pollfd { fd: i32::try_from(fd).unwrap_or(-1), events: libc::POLLIN, revents: 0 };
    matches!(sys!(SYS_poll, at_mut(&mut poll), 1, millis), Ok(1..))
}

/// Effective capabilities of this process, by capget(2).
pub fn effective_caps() -> Result<u64, Failed> {
    let (_, data) = capget()?;
    Ok(u64::from(data.first().map_or(0, |d| d.effective)) | u64::from(data.get(1).map_or(0, |d| d.effective)) << 32)
}

/// `struct __user_cap_header_struct`, capget(2).
#[repr(C)]
pub struct CapHeader {
    version: u32,
    pid: i32,
}

/// `struct __user_cap_data_struct`, capget(2).
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct CapData {
    /// Bits in force.
    pub effective: u32,
    /// Bits that may be raised.
    pub permitted: u32,
    /// Bits kept across exec.
    pub inheritable: u32,
}

/// This process's capability sets, in the version 3 format.
pub fn capget() -> Result<(CapHeader, [CapData; 2]), Failed> {
    let mut header = CapHeader { version: 0x2008_0522, pid: 0 };
    let mut data = [CapData::default(); 2];
    sys!(SYS_capget, at_mut(&mut header), data.as_mut_ptr())?;
    Ok((header, data))
}

/// Sets this process's capability sets.
pub fn capset(header: &CapHeader, data: &[CapData; 2]) -> Result<(), Failed> {
    sys!(SYS_capset, at(header), data.as_ptr()).map(|_| ())
}

/// Node name by uname(2).
pub fn hostname() -> Result<String, Failed> {
    let mut name = libc::utsname::zeroed();
    sys!(SYS_uname, at_mut(&mut name))?;
    let bytes: Vec<u8> = name.nodename.iter().map(|b| b.cast_unsigned()).take_while(|b| *b != 0).collect();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
