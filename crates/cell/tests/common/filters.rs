//! The smallest filters with which the programs work: the list that `seccomp-profiles/` must have.
//! What is not listed fails with `EPERM`, so a call that is missing here shows as a failed test.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

fn condition(argument: u8, op: SeccompCmpOp, value: u64) -> SeccompCondition {
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, op, value).unwrap()
}

fn not_executable() -> Vec<SeccompRule> {
    let exec = SeccompCmpOp::MaskedEq(libc::PROT_EXEC as u64);
    vec![SeccompRule::new(vec![condition(2, exec, 0)]).unwrap()]
}

fn build(plain: &[i64], ruled: Vec<(i64, Vec<SeccompRule>)>) -> BpfProgram {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = plain.iter().map(|n| (*n, Vec::new())).collect();
    rules.extend(ruled);
    SeccompFilter::new(rules, SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow, TargetArch::x86_64)
        .unwrap()
        .try_into()
        .unwrap()
}

/// From before execve on.
pub fn first() -> BpfProgram {
    let mut all = Vec::from(SEALED);
    all.extend(SETUP);
    build(&all, vec![])
}

/// After the artifact is loaded.
pub fn sealed() -> BpfProgram {
    build(SEALED, vec![(libc::SYS_mmap, not_executable()), (libc::SYS_mprotect, not_executable())])
}

/// The compiler's.
pub fn compile() -> BpfProgram {
    build(COMPILE, vec![])
}

/// As the second filter is handed over: an array of `struct sock_filter`.
pub fn bytes(program: &BpfProgram) -> Vec<u8> {
    let mut out = Vec::new();
    for instruction in program {
        out.extend(instruction.code.to_ne_bytes());
        out.extend([instruction.jt, instruction.jf]);
        out.extend(instruction.k.to_ne_bytes());
    }
    out
}

const SEALED: &[i64] = &[
    libc::SYS_read,
];

const SETUP: &[i64] = &[
    libc::SYS_execve,
];

const COMPILE: &[i64] = &[libc::SYS_read];
