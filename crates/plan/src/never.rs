//! Syscalls that no plan has allowed by number, whoever made it: the launcher's floor beneath what policies add
//! to a profile.
//!
//! Each would open the host's kernel further than the layers of a cell are made for, or take another layer away.
//! A profile may allow one of them for certain arguments; an addition has no arguments.

/// Why, and which: numbers and names on x86-64.
type Group = (&'static str, &'static [(u32, &'static str)]);

/// The groups, each with its reason.
pub const GROUPS: &[Group] = &[
    (
        "namespaces: the capabilities of a new user namespace reach most of the kernel's holes, and flags behind a pointer no filter sees",
        &[(56, "clone"), (272, "unshare"), (308, "setns"), (435, "clone3")],
    ),
    (
        "mounts: the cell's root is built before it starts and does not change",
        &[
            (155, "pivot_root"),
            (161, "chroot"),
            (165, "mount"),
            (166, "umount2"),
            (428, "open_tree"),
            (429, "move_mount"),
            (430, "fsopen"),
            (431, "fsconfig"),
            (432, "fsmount"),
            (433, "fspick"),
            (442, "mount_setattr"),
            (457, "statmount"),
            (458, "listmount"),
            (467, "open_tree_attr"),
        ],
    ),
    (
        "asynchronous calls: they do the work of other syscalls past this filter",
        &[
            (206, "io_setup"),
            (207, "io_destroy"),
            (208, "io_getevents"),
            (209, "io_submit"),
            (210, "io_cancel"),
            (333, "io_pgetevents"),
            (425, "io_uring_setup"),
            (426, "io_uring_enter"),
            (427, "io_uring_register"),
        ],
    ),
    (
        "other processes: reading, writing and tracing them, the cell's reaper among them",
        &[
            (101, "ptrace"),
            (310, "process_vm_readv"),
            (311, "process_vm_writev"),
            (312, "kcmp"),
            (438, "pidfd_getfd"),
            (440, "process_madvise"),
            (448, "process_mrelease"),
        ],
    ),
    ("keyrings: namespaces do not separate them", &[(248, "add_key"), (249, "request_key"), (250, "keyctl")]),
    (
        "programming and observing the kernel: large surfaces, and userfaultfd stretches races",
        &[
            (212, "lookup_dcookie"),
            (298, "perf_event_open"),
            (300, "fanotify_init"),
            (301, "fanotify_mark"),
            (321, "bpf"),
            (323, "userfaultfd"),
        ],
    ),
    (
        "files by handle: they go around the path and so around the mount namespace",
        &[(303, "name_to_handle_at"), (304, "open_by_handle_at")],
    ),
    (
        "the layers themselves: a filter or label of the agent's own could answer before ours",
        &[(317, "seccomp"), (460, "lsm_set_self_attr")],
    ),
    (
        "the machine: modules, kernels, clocks, ports, swap, quotas, names are the host's",
        &[
            (103, "syslog"),
            (134, "uselib"),
            (139, "sysfs"),
            (153, "vhangup"),
            (154, "modify_ldt"),
            (156, "_sysctl"),
            (159, "adjtimex"),
            (163, "acct"),
            (164, "settimeofday"),
            (167, "swapon"),
            (168, "swapoff"),
            (169, "reboot"),
            (170, "sethostname"),
            (171, "setdomainname"),
            (172, "iopl"),
            (173, "ioperm"),
            (174, "create_module"),
            (175, "init_module"),
            (176, "delete_module"),
            (177, "get_kernel_syms"),
            (178, "query_module"),
            (179, "quotactl"),
            (180, "nfsservctl"),
            (227, "clock_settime"),
            (246, "kexec_load"),
            (305, "clock_adjtime"),
            (313, "finit_module"),
            (320, "kexec_file_load"),
            (443, "quotactl_fd"),
        ],
    ),
    (
        "System V and POSIX queues: they outlive processes and have their own accounting",
        &[
            (29, "shmget"),
            (30, "shmat"),
            (31, "shmctl"),
            (64, "semget"),
            (65, "semop"),
            (66, "semctl"),
            (67, "shmdt"),
            (68, "msgget"),
            (69, "msgsnd"),
            (70, "msgrcv"),
            (71, "msgctl"),
            (220, "semtimedop"),
            (240, "mq_open"),
            (241, "mq_unlink"),
            (242, "mq_timedsend"),
            (243, "mq_timedreceive"),
            (244, "mq_notify"),
            (245, "mq_getsetattr"),
        ],
    ),
    (
        "placement of pages: oracles on the page cache, and pages that leave the accounting",
        &[
            (27, "mincore"),
            (216, "remap_file_pages"),
            (237, "mbind"),
            (238, "set_mempolicy"),
            (256, "migrate_pages"),
            (278, "vmsplice"),
            (279, "move_pages"),
            (447, "memfd_secret"),
            (450, "set_mempolicy_home_node"),
            (451, "cachestat"),
        ],
    ),
    (
        "its arguments decide: by number alone it would be set-id bits, devices, sockets of every family (vsock and AF_ALG among them), terminals, or a process without address randomisation",
        &[
            (2, "open"),
            (16, "ioctl"),
            (41, "socket"),
            (53, "socketpair"),
            (85, "creat"),
            (90, "chmod"),
            (91, "fchmod"),
            (133, "mknod"),
            (135, "personality"),
            (157, "prctl"),
            (257, "openat"),
            (259, "mknodat"),
            (268, "fchmodat"),
            (437, "openat2"),
            (452, "fchmodat2"),
        ],
    ),
];

/// Number of the newest syscall that was judged when [`GROUPS`] was written (Linux 6.17).
pub const LAST_JUDGED: u32 = 469;

/// Numbers within it that are no syscall.
const GAP: core::ops::RangeInclusive<u32> = 335..=423;

/// Why a syscall is never allowed by number; `None` if it may be.
#[must_use]
pub fn why(nr: u32) -> Option<&'static str> {
    if nr > LAST_JUDGED || GAP.contains(&nr) {
        return Some("it is no syscall that this version has judged");
    }
    GROUPS.iter().find(|(_, calls)| calls.iter().any(|(n, _)| *n == nr)).map(|(why, _)| *why)
}
