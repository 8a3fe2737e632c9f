//! A profile with what a policy adds to it: the bytes that the launcher loads.

use super::Profile;
use super::interpret::{self, AUDIT_ARCH_X86_64, Action, Call, ProgramError};
use crate::model::{SyscallAction, SyscallRule};
use std::collections::BTreeMap;
use stockade_plan::{Addition, AdditionAction, filter};

/// A filter as it is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Array of `struct sock_filter`.
    pub bpf: Vec<u8>,
}

/// What a policy's rules are to the launcher: sorted, one action a syscall. Of two rules for one syscall the
/// stricter holds.
#[must_use]
pub fn additions(rules: &[SyscallRule]) -> Vec<Addition> {
    let mut by_number: BTreeMap<u32, AdditionAction> = BTreeMap::new();
    for rule in rules {
        let action = match rule.action {
            SyscallAction::Allow => AdditionAction::Allow,
            SyscallAction::Deny => AdditionAction::Deny,
            SyscallAction::Notify => AdditionAction::Notify,
        };
        for (nr, _) in &rule.calls {
            let known = by_number.entry(*nr).or_insert(action);
            // Denied outright is stricter than refused with a record, and both than made.
            let strictness = |action: AdditionAction| match action {
                AdditionAction::Allow => 0,
                AdditionAction::Notify => 1,
                AdditionAction::Deny => 2,
            };
            if strictness(action) > strictness(*known) {
                *known = action;
            }
        }
    }
    by_number.into_iter().map(|(nr, action)| Addition { nr, action }).collect()
}

impl Profile {
    /// This profile with a policy's rules before it, by the code that the launcher runs.
    #[must_use]
    pub fn with(&self, rules: &[SyscallRule]) -> Filter {
        let mut bpf = filter::prefix(&additions(rules));
        bpf.extend_from_slice(self.bpf);
        Filter { bpf }
    }
}

impl Filter {
    /// What a syscall of this architecture gets.
    ///
    /// # Errors
    /// [`ProgramError`] if the bytes are no valid filter; the kernel would refuse them too.
    pub fn decide(&self, nr: i64, args: [u64; 6]) -> Result<Action, ProgramError> {
        // The kernel puts the low half of the register into seccomp_data.nr.
        let nr = nr as i32;
        interpret::run(&self.bpf, &Call { nr, arch: AUDIT_ARCH_X86_64, instruction_pointer: 0, args })
    }

    /// What a call gets, whatever its architecture.
    ///
    /// # Errors
    /// As [`Filter::decide`].
    pub fn decide_call(&self, call: &Call) -> Result<Action, ProgramError> {
        interpret::run(&self.bpf, call)
    }
}
