//! What the compiled filters answer, by running their bytes.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use stockade_policy::seccomp::{
    AUDIT_ARCH_X86_64, Action, Call, Profile, profile, profiles, syscall_name, syscall_number,
};

const EPERM: Action = Action::Errno(1);
const ENOSYS: Action = Action::Errno(38);
const HIGH: u64 = 1 << 32;

fn answer(profile: &Profile, name: &str, args: &[u64]) -> Action {
    let mut six = [0; 6];
    six[..args.len()].copy_from_slice(args);
    let nr = syscall_number(name).unwrap_or_else(|| panic!("no syscall {name}"));
    profile.decide(nr.into(), six).unwrap()
}

#[test]
fn native_cells_get_what_programs_need_and_no_more() {
    let native = profile("cell-native").unwrap();
    let table: &[(&str, &[u64], Action)] = &[
        ("read", &[], Action::Allow),
        ("execve", &[], Action::Allow),
        ("execveat", &[17, 0, 0, 0, 0x1000], Action::Allow),
        ("fchmodat2", &[], Action::Allow),
        // Processes and threads, but no namespace by any flag.
        ("clone", &[0x003d_0f00], Action::Allow),
        ("clone", &[17], Action::Allow),
        ("clone", &[0x1000_0000 | 17], Action::Notify),
        ("clone", &[0x0002_0000], Action::Notify),
        ("clone", &[0x4000_0000 | HIGH], Action::Notify),
        ("clone", &[HIGH | 17], Action::Allow),
        ("clone3", &[], ENOSYS),
        ("unshare", &[0], Action::Notify),
        ("setns", &[], Action::Notify),
        // No socket but connected pairs: a path name in the workspace may lead to a service of the host.
        ("socket", &[1, 1], Action::Notify),
        ("socket", &[1, 2 | 0o2004000], Action::Notify),
        ("socket", &[1, 5], Action::Notify),
        ("socket", &[1, 3], Action::Notify),
        ("socket", &[1 | HIGH, 1], Action::Notify),
        ("socket", &[2, 1], Action::Notify),
        ("socket", &[10, 1], Action::Notify),
        ("socket", &[16, 3], Action::Notify),
        ("socket", &[17, 3], Action::Notify),
        ("socket", &[38, 5], Action::Notify),
        ("socket", &[40, 1], Action::Notify),
        ("socketpair", &[1, 1], Action::Allow),
        ("socketpair", &[1, 2], Action::Notify),
        ("socketpair", &[2, 1], Action::Notify),
        // The kernel reads 32 bits of the command, so high bits must not hide one.
        ("ioctl", &[0, 0x5401], Action::Allow),
        ("ioctl", &[0, 0x5401 | HIGH], Action::Allow),
        ("ioctl", &[0, 0x5412], Action::Notify),
        ("ioctl", &[0, 0x5412 | HIGH], Action::Notify),
        ("ioctl", &[0, 0x541c], Action::Notify),
        ("ioctl", &[0, 0x5423], Action::Notify),
        ("ioctl", &[0, 0xc050_2100], Action::Notify),
        ("prctl", &[15], Action::Allow),
        ("prctl", &[22, 2], Action::Notify),
        ("prctl", &[35], Action::Notify),
        ("prctl", &[0x5961_6d61], Action::Notify),
        ("personality", &[0xffff_ffff], Action::Allow),
        ("personality", &[u64::MAX], Action::Allow),
        ("personality", &[0], Action::Allow),
        ("personality", &[0x0040_0000], Action::Notify),
        ("personality", &[0x0004_0000], Action::Notify),
        ("mknod", &[0, 0x1000 | 0o644], Action::Allow),
        ("mknod", &[0, 0x2000 | 0o644], Action::Notify),
        ("mknodat", &[0, 0, 0x6000 | 0o644], Action::Notify),
        ("mknodat", &[0, 0, 0x8000 | 0o644], Action::Allow),
        ("io_setup", &[], ENOSYS),
    ];
    for (name, args, expected) in table {
        assert_eq!(answer(&native, name, args), *expected, "{name}{args:x?}");
    }
}

#[test]
fn no_cell_is_allowed_what_reaches_out_of_it() {
    let never = [
        "io_uring_setup",
        "io_uring_enter",
        "io_uring_register",
        "unshare",
        "setns",
        "mount",
        "umount2",
        "fsopen",
        "fsconfig",
        "fsmount",
        "fspick",
        "open_tree",
        "open_tree_attr",
        "move_mount",
        "mount_setattr",
        "pivot_root",
        "chroot",
        "ptrace",
        "process_vm_readv",
        "process_vm_writev",
        "kcmp",
        "pidfd_getfd",
        "process_madvise",
        "keyctl",
        "add_key",
        "request_key",
        "bpf",
        "perf_event_open",
        "userfaultfd",
        "kexec_load",
        "kexec_file_load",
        "init_module",
        "finit_module",
        "delete_module",
        "reboot",
        "swapon",
        "swapoff",
        "acct",
        "quotactl",
        "quotactl_fd",
        "syslog",
        "settimeofday",
        "clock_settime",
        "adjtimex",
        "clock_adjtime",
        "name_to_handle_at",
        "open_by_handle_at",
        "fanotify_init",
        "fanotify_mark",
        "lookup_dcookie",
        "mbind",
        "migrate_pages",
        "move_pages",
        "set_mempolicy",
        "uselib",
        "nfsservctl",
        "modify_ldt",
        "iopl",
        "ioperm",
        "sethostname",
        "setdomainname",
        "vhangup",
        "memfd_secret",
        "shmget",
        "msgget",
        "semget",
        "mq_open",
        "lsm_set_self_attr",
        "statmount",
        "file_setattr",
        "_sysctl",
        "create_module",
        "ustat",
        "sysfs",
        "remap_file_pages",
        "vmsplice",
        "syncfs",
        "mincore",
    ];
    for profile in profiles().iter().filter(|p| p.name != "cell-wasm-sealed") {
        for name in never {
            for args in [[0; 6], [1; 6], [u64::MAX; 6]] {
                let got = answer(profile, name, &args);
                assert!(got < Action::Trace, "{}: {name}{args:?} gets {got:?}", profile.name);
            }
        }
    }
}

#[test]
fn other_architectures_end_the_process() {
    const I386: u32 = 0x4000_0003;
    for profile in profiles() {
        for nr in 0..600 {
            let call = Call { nr, arch: I386, instruction_pointer: 0, args: [0; 6] };
            assert_eq!(profile.decide_call(&call).unwrap(), Action::KillProcess, "{} i386 {nr}", profile.name);
            let x32 = Call { nr: nr | 0x4000_0000, arch: AUDIT_ARCH_X86_64, ..call };
            assert_eq!(profile.decide_call(&x32).unwrap(), Action::KillProcess, "{} x32 {nr}", profile.name);
        }
    }
}

#[test]
fn numbers_no_kernel_has_get_the_default() {
    let defaults =
        [("cell-native", Action::Notify), ("cell-wasm", Action::Notify), ("compile", EPERM), ("shim", EPERM)];
    for (name, default) in defaults {
        for nr in [471, 599, 1000, 0x3fff_ffff] {
            assert_eq!(profile(name).unwrap().decide(nr, [0; 6]).unwrap(), default, "{name} {nr}");
        }
    }
}

/// What a running component needs, measured; the pair of filters allows this and nothing else.
const STEADY: [&str; 24] = [
    "sendto",
    "recvfrom",
    "write",
    "poll",
    "close",
    "futex",
    "sched_yield",
    "restart_syscall",
    "clock_gettime",
    "mmap",
    "mprotect",
    "brk",
    "munmap",
    "mremap",
    "madvise",
    "rt_sigaction",
    "rt_sigreturn",
    "rt_sigprocmask",
    "sigaltstack",
    "getpid",
    "gettid",
    "tgkill",
    "exit",
    "exit_group",
];

/// Values that tell the rules of both filters apart.
const VALUES: [u64; 12] = [0, 1, 2, 4, 5, 7, 15, 38, 0x1000, 0x0001_0100, 0x003d_0f00, u64::MAX];

#[test]
fn the_two_filters_of_a_wasm_cell_allow_exactly_the_steady_list() {
    let (first, sealed) = (profile("cell-wasm").unwrap(), profile("cell-wasm-sealed").unwrap());
    let steady: BTreeSet<i64> = STEADY.iter().map(|name| syscall_number(name).unwrap().into()).collect();
    let mapping: BTreeSet<i64> = ["mmap", "mprotect"].iter().map(|n| syscall_number(n).unwrap().into()).collect();
    for nr in 0..600 {
        let name = syscall_name(nr).unwrap_or("?");
        for a in VALUES {
            for b in VALUES {
                let args = [a, b, b, a, a, b];
                // The kernel runs both and takes the stricter.
                let both = first.decide(nr, args).unwrap().min(sealed.decide(nr, args).unwrap());
                let executable = mapping.contains(&nr) && b & 4 != 0;
                let expected = steady.contains(&nr) && !executable;
                assert_eq!(both == Action::Allow, expected, "{nr} {name}{args:x?} gets {both:?}");
                if executable {
                    assert_eq!(both, Action::KillProcess, "{name}");
                }
            }
        }
    }
}

#[test]
fn the_seal_kills_escapes_and_lets_canaries_live() {
    let (first, sealed) = (profile("cell-wasm").unwrap(), profile("cell-wasm-sealed").unwrap());
    let both = |name: &str, args: &[u64]| answer(&first, name, args).min(answer(&sealed, name, args));
    for name in ["execve", "execveat", "fork", "vfork", "clone", "clone3", "memfd_create", "seccomp"] {
        assert_eq!(both(name, &[0, 0, 0, 0, 0x1000]), Action::KillProcess, "{name}");
    }
    assert_eq!(both("openat", &[]), EPERM);
    assert_eq!(both("socket", &[2, 1]), EPERM);
    // What neither filter knows is still asked of the shim, and so recorded.
    assert_eq!(both("ptrace", &[]), Action::Notify);
    assert!(!sealed.notifies(), "one filter of a process may have a listener");
}

#[test]
fn before_the_seal_the_wasm_cell_can_start() {
    let first = profile("cell-wasm").unwrap();
    let table: &[(&str, &[u64], Action)] = &[
        ("execveat", &[17, 0, 0, 0, 0x1000], Action::Allow),
        ("execveat", &[17, 0, 0, 0, 0], Action::Notify),
        ("execve", &[], Action::Notify),
        ("mmap", &[0, 0, 5], Action::Allow),
        ("clone", &[0x003d_0f00], Action::Allow),
        ("clone", &[17], Action::Notify),
        ("clone", &[0x003d_0f00 | 0x1000_0000], Action::Notify),
        ("clone3", &[], ENOSYS),
        ("seccomp", &[1, 1], Action::Allow),
        ("seccomp", &[1, 0], Action::Allow),
        ("seccomp", &[1, 8], Action::Notify),
        ("openat", &[], Action::Allow),
        ("socket", &[1, 1], Action::Notify),
    ];
    for (name, args, expected) in table {
        assert_eq!(answer(&first, name, args), *expected, "{name}{args:x?}");
    }
}

#[test]
fn roles_without_a_listener_never_notify() {
    for name in ["compile", "shim", "cell-wasm-sealed"] {
        assert!(!profile(name).unwrap().notifies(), "{name}");
    }
    for name in ["cell-native", "cell-wasm"] {
        assert!(profile(name).unwrap().notifies(), "{name}");
    }
}

#[test]
fn compiler_and_shim_get_files_by_descriptor_and_nothing_else() {
    let (compile, shim) = (profile("compile").unwrap(), profile("shim").unwrap());
    for role in [&compile, &shim] {
        assert_eq!(answer(role, "mmap", &[0, 0, 3]), Action::Allow);
        assert_eq!(answer(role, "mmap", &[0, 0, 7]), EPERM);
        assert_eq!(answer(role, "mprotect", &[0, 0, 4]), EPERM);
        assert_eq!(answer(role, "memfd_create", &[]), EPERM);
        assert_eq!(answer(role, "execve", &[]), Action::KillProcess);
        assert_eq!(answer(role, "fork", &[]), Action::KillProcess);
        assert_eq!(answer(role, "socket", &[1, 1]), Action::KillProcess);
        assert_eq!(answer(role, "execveat", &[17, 0, 0, 0, 0x1000]), Action::Allow);
        assert_eq!(answer(role, "execveat", &[17]), EPERM);
    }
    assert_eq!(answer(&shim, "ioctl", &[0, 0xc050_2100]), Action::Allow);
    assert_eq!(answer(&shim, "ioctl", &[0, 0x5412]), EPERM);
    assert_eq!(answer(&shim, "seccomp", &[3, 0]), Action::Allow);
    assert_eq!(answer(&shim, "seccomp", &[1, 0]), EPERM);
    assert_eq!(answer(&shim, "openat2", &[]), Action::Allow);
    assert_eq!(answer(&compile, "openat2", &[]), EPERM);
}

#[test]
fn names_and_numbers_agree() {
    assert_eq!(syscall_name(0), Some("read"));
    assert_eq!(syscall_name(452), Some("fchmodat2"));
    assert_eq!(syscall_name(-1), None);
    assert_eq!(syscall_name(100_000), None);
    for nr in 0..600 {
        if let Some(name) = syscall_name(nr) {
            assert_eq!(i64::from(syscall_number(name).unwrap()), nr);
        }
    }
}

#[test]
fn digests_are_of_the_bytes() {
    use sha2::{Digest, Sha256};
    for profile in profiles() {
        assert_eq!(Sha256::digest(profile.bpf)[..], profile.digest, "{}", profile.name);
        assert_eq!(profile.bpf.len() % 8, 0);
        assert!(profile.bpf.len() / 8 <= 4096, "BPF_MAXINSNS");
    }
}
