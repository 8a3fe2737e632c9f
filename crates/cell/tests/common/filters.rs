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

/// For measuring with strace: only the canaries are refused.
pub fn sealed_or_traced() -> BpfProgram {
    if std::env::var_os("STOCKADE_TEST_STRACE").is_none() {
        return sealed();
    }
    all_but(&[libc::SYS_openat, libc::SYS_socket])
}

/// Refuses these and lets all else through. One call that does not exist is always refused,
/// because a filter without rules can't be built.
pub fn all_but(refused: &[i64]) -> BpfProgram {
    let refused = refused.iter().chain(&[i64::from(i32::MAX)]).map(|n| (*n, Vec::new())).collect();
    SeccompFilter::new(refused, SeccompAction::Allow, SeccompAction::Errno(libc::EPERM as u32), TargetArch::x86_64)
        .unwrap()
        .try_into()
        .unwrap()
}

/// The compiler's.
pub fn compile() -> BpfProgram {
    let mut plain = COMPILE.to_vec();
    plain.retain(|n| ![libc::SYS_mmap, libc::SYS_mprotect].contains(n));
    build(&plain, vec![(libc::SYS_mmap, not_executable()), (libc::SYS_mprotect, not_executable())])
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

/// Agent code running: talk, wait, grow memory, take a trap, end.
const SEALED: &[i64] = &[
    // The channel, stdout and stderr.
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_write,
    libc::SYS_poll,
    libc::SYS_close,
    // Waiting, also across a freeze: poll and futex are restarted under this number.
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_restart_syscall,
    libc::SYS_clock_gettime,
    // Memory; mmap and mprotect by the rule against PROT_EXEC.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    // Traps.
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigprocmask,
    libc::SYS_sigaltstack,
    // The end.
    libc::SYS_gettid,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Besides `SEALED`: execve, the C library's start, loading, the ticker's birth, the last layer.
const SETUP: &[i64] = &[
    libc::SYS_execve,
    libc::SYS_arch_prctl,
    libc::SYS_set_tid_address,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_prlimit64,
    libc::SYS_readlink,
    libc::SYS_getrandom,
    libc::SYS_rt_sigaction,
    libc::SYS_sched_getaffinity,
    libc::SYS_fcntl,
    libc::SYS_pread64,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_clone3,
    libc::SYS_clone,
    libc::SYS_prctl,
    libc::SYS_seccomp,
];

/// The compiler's: the C library's start, bytes in, bytes out.
const COMPILE: &[i64] = &[
    libc::SYS_execve,
    libc::SYS_arch_prctl,
    libc::SYS_set_tid_address,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_prlimit64,
    libc::SYS_readlink,
    libc::SYS_getrandom,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_sigaltstack,
    libc::SYS_sched_getaffinity,
    libc::SYS_gettid,
    libc::SYS_fcntl,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_poll,
    libc::SYS_close,
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_exit_group,
];
