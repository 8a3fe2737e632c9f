//! Random bytes from the kernel.
//!
//! By system call: the `getrandom` crate finds the function with dlsym(3), which a static program does
//! not have, and falls back to /dev/urandom, which is not in the shim's root.

use nix::errno::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

/// Fills `bytes` (getrandom(2)); waits until the kernel's pool is ready.
///
/// # Errors
/// What the kernel says.
pub fn fill(bytes: &mut [u8]) -> nix::Result<()> {
    let mut have = 0;
    while let Some(rest) = bytes.get_mut(have..).filter(|rest| !rest.is_empty()) {
        match getrandom(rest, GetRandomFlags::empty()) {
            Ok(n) => have += n,
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(Errno::from_raw(e.raw_os_error())),
        }
    }
    Ok(())
}
