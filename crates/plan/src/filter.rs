//! Additions to a seccomp filter, as classic BPF that goes before the profile's own bytes.
//!
//! A profile is shipped, and named by the digest of its bytes; what a policy adds is data. So the launcher
//! puts the two together after it has checked each, and who explains a policy runs the same bytes.

use alloc::vec::Vec;

use crate::{Addition, AdditionAction, MAX_ADDITIONS};

/// `AUDIT_ARCH_X86_64` of linux/audit.h.
pub const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
/// Set in numbers of x32 calls, which have the architecture of x86-64.
pub const X32_BIT: u32 = 0x4000_0000;

/// Offsets in `struct seccomp_data`.
const NR: u32 = 0;
const ARCH: u32 = 4;

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP_EQ: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

impl AdditionAction {
    /// `SECCOMP_RET_*` with its data (seccomp(2)).
    #[must_use]
    pub const fn verdict(self) -> u32 {
        match self {
            Self::Allow => 0x7fff_0000,
            Self::Deny => 0x0005_0000 | 1, // EPERM
            Self::Notify => 0x7fc0_0000,
        }
    }
}

/// Instructions that answer for `additions` and fall through to what follows them in every other case: other
/// architectures, x32, all other numbers. Nothing at all without additions.
///
/// More than [`MAX_ADDITIONS`] and numbers of x32 are left out; [`crate::Plan::check`] refuses them.
#[must_use]
pub fn prefix(additions: &[Addition]) -> Vec<u8> {
    let additions = || additions.iter().filter(|a| a.nr < X32_BIT).take(MAX_ADDITIONS);
    let mut out = Vec::new();
    let count = additions().count();
    if count == 0 {
        return out;
    }
    // Past the load of the number and two instructions an addition; MAX_ADDITIONS keeps it below 256.
    let past = u8::try_from(1 + 2 * count).unwrap_or(u8::MAX);
    instruction(&mut out, LOAD, 0, 0, ARCH);
    instruction(&mut out, JUMP_EQ, 0, past, AUDIT_ARCH_X86_64);
    instruction(&mut out, LOAD, 0, 0, NR);
    for addition in additions() {
        instruction(&mut out, JUMP_EQ, 0, 1, addition.nr);
        instruction(&mut out, RETURN, 0, 0, addition.action.verdict());
    }
    out
}

/// `struct sock_filter`.
fn instruction(out: &mut Vec<u8>, code: u16, jump_true: u8, jump_false: u8, k: u32) {
    out.extend_from_slice(&code.to_ne_bytes());
    out.extend_from_slice(&[jump_true, jump_false]);
    out.extend_from_slice(&k.to_ne_bytes());
}
