//! The shim's last layer: a filter on top of the launcher's, loaded before the first message.

use nix::errno::Errno;

/// Bytes of one `struct sock_filter`.
const INSTRUCTION: usize = 8;

/// Loads `bpf`, an array of `struct sock_filter` as bytes, as a further seccomp filter (seccomp(2)).
/// It can only take away: the kernel applies the strictest of all filters.
///
/// # Errors
/// What seccomp(2) says: `EACCES` without no_new_privs, `EINVAL` if the bytes are no program.
pub fn seal(bpf: &[u8]) -> nix::Result<()> {
    let (instructions, rest) = bpf.as_chunks::<INSTRUCTION>();
    if !rest.is_empty() {
        return Err(Errno::EINVAL);
    }
    let mut program: Vec<libc::sock_filter> = instructions
        .iter()
        .map(|&[c0, c1, jt, jf, k0, k1, k2, k3]| libc::sock_filter {
            code: u16::from_ne_bytes([c0, c1]),
            jt,
            jf,
            k: u32::from_ne_bytes([k0, k1, k2, k3]),
        })
        .collect();
    let len = u16::try_from(program.len()).map_err(|_| Errno::EINVAL)?;
    let mut fprog = libc::sock_fprog { len, filter: program.as_mut_ptr() };
    // SAFETY: `fprog` describes exactly the `len` instructions that `program` owns and both outlive the
    // call; the kernel copies the program, checks it, and keeps no pointer.
    let answer = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw mut fprog) };
    Errno::result(answer).map(drop)
}
