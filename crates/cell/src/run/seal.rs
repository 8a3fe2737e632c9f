//! The last layer: a second seccomp filter over all threads, and the proof that it holds.

use std::fmt;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::sys::stat::Mode;
use seccompiler::sock_filter;
use serde::Serialize;

/// Most instructions of a filter: BPF_MAXINSNS (seccomp(2)).
const MAX_INSTRUCTIONS: usize = 4096;
/// Bytes of a `struct sock_filter`.
const INSTRUCTION: usize = 8;
/// Most bytes of a filter.
pub(super) const MAX_FILTER: u64 = (MAX_INSTRUCTIONS * INSTRUCTION) as u64;

/// Why the cell is not closed.
#[derive(Debug)]
pub(super) enum SealError {
    /// No filter, a torn instruction, or too many.
    Length(usize),
    /// The kernel refused it.
    Load(seccompiler::Error),
    /// What had to fail did not, or not as it should.
    Canary(Canary),
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(n) => write!(
                f,
                "the second seccomp filter has {n} bytes; it must be 1 to {MAX_INSTRUCTIONS} instructions of 8"
            ),
            Self::Load(e) => write!(f, "the second seccomp filter can't be loaded: {e}"),
            Self::Canary(c) => {
                write!(f, "`{}` must be refused {} the last layer and was not: {}", c.attempt, c.when, c.result)
            }
        }
    }
}

impl std::error::Error for SealError {}

/// One attempt that must fail.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Canary {
    /// What was tried.
    attempt: &'static str,
    /// `before` or `after` the second filter was loaded.
    when: &'static str,
    /// The errno's name, or `succeeded`.
    result: String,
    #[serde(skip)]
    errno: Option<Errno>,
}

impl Canary {
    fn new<T>(attempt: &'static str, when: &'static str, result: nix::Result<T>) -> Self {
        let errno = result.err();
        let result = errno.map_or_else(|| "succeeded".to_owned(), |e| format!("{e:?}"));
        Self { attempt, when, result, errno }
    }
}

fn open_root(when: &'static str) -> Canary {
    let result = open("/", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
    Canary::new("openat /", when, result)
}

fn socket_of(attempt: &'static str, family: AddressFamily) -> Canary {
    let result: nix::Result<OwnedFd> = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None);
    Canary::new(attempt, "after", result)
}

/// Tries the outer layers alone: Landlock answers `EACCES`, the first filter `EPERM`.
pub(super) fn before() -> Canary {
    open_root("before")
}

/// Loads the filter for all threads and tries what it must refuse.
pub(super) fn close(filter: Vec<sock_filter>, before: Canary) -> Result<Vec<Canary>, SealError> {
    if !matches!(before.errno, Some(Errno::EACCES | Errno::EPERM)) {
        return Err(SealError::Canary(before));
    }
    seccompiler::apply_filter_all_threads(&filter).map_err(SealError::Load)?;
    let after = [
        open_root("after"),
        socket_of("socket AF_INET", AddressFamily::Inet),
        socket_of("socket AF_UNIX", AddressFamily::Unix),
    ];
    if let Some(open) = after.iter().find(|c| c.errno != Some(Errno::EPERM)) {
        return Err(SealError::Canary(open.clone()));
    }
    Ok(std::iter::once(before).chain(after).collect())
}

/// An array of `struct sock_filter` as the kernel has it in memory.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<sock_filter>, SealError> {
    let (instructions, rest) = bytes.as_chunks::<INSTRUCTION>();
    if !rest.is_empty() || !(1..=MAX_INSTRUCTIONS).contains(&instructions.len()) {
        return Err(SealError::Length(bytes.len()));
    }
    Ok(instructions
        .iter()
        .map(|&[c0, c1, jt, jf, k0, k1, k2, k3]| sock_filter {
            code: u16::from_ne_bytes([c0, c1]),
            jt,
            jf,
            k: u32::from_ne_bytes([k0, k1, k2, k3]),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn filters_are_read_as_the_kernel_has_them() {
        let one = parse(&[0x06, 0x00, 1, 2, 0x00, 0x00, 0xff, 0x7f]).unwrap();
        assert_eq!(one, [sock_filter { code: 6, jt: 1, jf: 2, k: 0x7fff_0000 }]);
        for bad in [0, 7, 9, (MAX_INSTRUCTIONS + 1) * 8] {
            assert!(matches!(parse(&vec![0; bad]), Err(SealError::Length(n)) if n == bad));
        }
        assert_eq!(parse(&vec![0; MAX_INSTRUCTIONS * 8]).unwrap().len(), MAX_INSTRUCTIONS);
    }
}
