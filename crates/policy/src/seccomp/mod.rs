//! Filters of the roles, compiled ahead of time from `seccomp-profiles/` (seccomp(2)).
//!
//! The bytes are an array of `struct sock_filter`, as `SECCOMP_SET_MODE_FILTER` takes it.
//! [`Profile::decide`] interprets the same bytes, so what it says is what the kernel does.

mod addable;
mod interpret;
mod with;

pub use addable::{NotAddable, addable};
pub use interpret::{AUDIT_ARCH_X86_64, Action, Call, ProgramError};
pub use with::{Filter, additions};

/// One role's filter.
#[derive(Debug, Clone, Copy)]
pub struct Profile {
    /// `cell-native`, `cell-wasm`, `cell-wasm-sealed`, `compile` or `shim`.
    pub name: &'static str,
    /// What it is for, in a sentence.
    pub about: &'static str,
    /// Array of `struct sock_filter`: 8 bytes each, native byte order.
    pub bpf: &'static [u8],
    /// SHA-256 of `bpf`.
    pub digest: [u8; 32],
    /// What its rules say of single syscalls, sorted by number. Of what is not here only the default speaks.
    pub rules: &'static [Ruled],
}

/// What a profile's rules say of one syscall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ruled {
    /// Its number.
    pub nr: u32,
    /// Whether some call of it ends the process.
    pub kills: bool,
    /// What the first of them does with it, and its reason.
    pub says: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/profiles.rs"));

/// The profile of that name.
#[must_use]
pub fn profile(name: &str) -> Option<Profile> {
    PROFILES.iter().find(|p| p.name == name).copied()
}

/// All profiles.
#[must_use]
pub fn profiles() -> &'static [Profile] {
    PROFILES
}

/// Name of a syscall of this architecture, if it had one when this was built.
#[must_use]
pub fn syscall_name(nr: i64) -> Option<&'static str> {
    let nr = i32::try_from(nr).ok()?;
    let at = SYSCALLS.binary_search_by_key(&nr, |(n, _)| *n).ok()?;
    SYSCALLS.get(at).map(|(_, name)| *name)
}

/// Number of a syscall of this architecture.
#[must_use]
pub fn syscall_number(name: &str) -> Option<i32> {
    SYSCALLS.iter().find(|(_, n)| *n == name).map(|(nr, _)| *nr)
}

impl Profile {
    /// What a syscall of this architecture gets.
    ///
    /// # Errors
    /// [`ProgramError`] if the bytes are no valid filter; the kernel would refuse them too.
    pub fn decide(&self, nr: i64, args: [u64; 6]) -> Result<Action, ProgramError> {
        // The kernel puts the low half of the register into seccomp_data.nr.
        let nr = nr as i32;
        interpret::run(self.bpf, &Call { nr, arch: AUDIT_ARCH_X86_64, instruction_pointer: 0, args })
    }

    /// What a call gets, whatever its architecture.
    ///
    /// # Errors
    /// As [`Profile::decide`].
    pub fn decide_call(&self, call: &Call) -> Result<Action, ProgramError> {
        interpret::run(self.bpf, call)
    }

    /// The digest in hex, as plans and journals write it.
    #[must_use]
    pub fn digest_hex(&self) -> String {
        self.digest.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// Whether some call can get [`Action::Notify`], so that the filter needs a listener.
    #[must_use]
    pub fn notifies(&self) -> bool {
        interpret::returns(self.bpf).any(|action| action == Action::Notify)
    }
}

/// Names of the syscalls of this architecture.
pub fn syscall_names() -> impl Iterator<Item = &'static str> {
    SYSCALLS.iter().map(|(_, name)| *name)
}
