//! Names of everything that can go wrong between a plan and its program. Journal, docs and tests share them.

use core::fmt;

macro_rules! steps {
    ($($variant:ident = $number:literal, $name:literal, $advice:literal;)*) => {
        /// A step of the launch. Numbers and names are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum Step { $(#[doc = $advice] $variant = $number,)* }

        impl Step {
            /// Every step, in the order in which they happen.
            pub const ALL: &'static [Step] = &[$(Step::$variant,)*];

            /// The stable name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Step::$variant => $name,)* }
            }

            /// What an operator can do when this step fails.
            #[must_use]
            pub const fn advice(self) -> &'static str {
                match self { $(Step::$variant => $advice,)* }
            }

            /// The step with this number.
            #[must_use]
            pub fn from_number(number: u16) -> Option<Self> {
                Self::ALL.iter().copied().find(|s| *s as u16 == number)
            }
        }
    };
}

steps! {
    Receive = 1, "receive", "the launcher got no plan on its socket; it is started by stockade, not by hand";
    Plan = 2, "plan", "the plan is below the launcher's floor; report this with the run's id";
    Ceiling = 43, "ceiling", "the plan asks for more than the owner of this host allows in /etc/stockade/ceiling.toml, or that file is not compiled or not root's alone; see stockade policy ceiling";
    SingleThread = 3, "single-thread", "the launcher must have one thread; check LD_PRELOAD and tracing agents on this host";
    FilterDigest = 4, "filter-digest", "the seccomp filter is not the one that the plan names; reinstall stockade";
    Groups = 5, "groups", "setgroups(2) failed; run stockade as root with CAP_SETGID";
    TimeNamespace = 6, "time-namespace", "the kernel needs CONFIG_TIME_NS (5.6 or newer)";
    IdmapNamespace = 7, "idmap-namespace", "user namespaces are off; see sysctl user.max_user_namespaces";
    Tree = 8, "tree", "a directory of the host could not be taken as a mount; an id-mapped one needs ext4, xfs, btrfs, tmpfs or overlayfs";
    Clone = 9, "clone", "clone3(2) into new namespaces and the cgroup failed; see stockade doctor";
    IdMap = 10, "id-map", "writing uid_map or gid_map failed; stockade needs CAP_SETUID and CAP_SETGID on the host";
    OomScore = 11, "oom-score", "writing oom_score_adj failed; is /proc mounted read-write?";
    Announce = 12, "announce", "the process that asked for the launch is gone";
    Signals = 13, "signals", "resetting signal dispositions failed; report this";
    Mapped = 14, "mapped", "the launcher died before the ids were mapped";
    Root = 15, "become-root-inside", "the first id of the range could not be taken; report this with the output of stockade doctor";
    JoinCgroup = 16, "join-cgroup", "a v1 cgroup refused the cell; see stockade doctor";
    CgroupNamespace = 17, "cgroup-namespace", "the kernel needs cgroup namespaces (4.6 or newer)";
    Session = 18, "session", "setsid(2) failed; report this";
    Hostname = 19, "hostname", "sethostname(2) failed; report this";
    Network = 44, "network", "the cell's loopback, its route or one of its listeners could not be made; see stockade doctor";
    Private = 20, "private-mounts", "the mount namespace could not be made private; see stockade doctor";
    NewRoot = 21, "new-root", "a tmpfs could not be mounted in a user namespace; see stockade doctor";
    Entry = 22, "root-entry", "a path of the policy could not be put into the cell's root";
    Pivot = 23, "pivot-root", "pivot_root(2) failed; is stockade on an initramfs root?";
    OldRoot = 24, "old-root", "the host's root could not be detached; report this";
    ReadOnly = 25, "read-only-root", "the cell's root could not be made read-only; the kernel needs mount_setattr(2) (5.12)";
    Cwd = 26, "working-directory", "the working directory is not in the cell's root; give a --workspace or add the path to fs.read";
    CanaryBefore = 27, "canary-before", "the Landlock canary could not be opened before the restriction; report this";
    Rlimit = 28, "rlimit", "a limit is above the hard limit of the process that runs stockade; lower it in the policy";
    Descriptors = 29, "descriptors", "descriptors could not be laid out; report this";
    BoundingSet = 30, "bounding-set", "dropping the bounding set failed; report this";
    SecureBits = 31, "securebits", "locking the securebits failed; report this";
    Identity = 32, "identity", "taking the agent's uid and gid failed; report this";
    Capabilities = 33, "capabilities", "emptying the capability sets failed; report this";
    NoNewPrivs = 34, "no-new-privs", "prctl(PR_SET_NO_NEW_PRIVS) failed; report this";
    LandlockRules = 35, "landlock-rules", "Landlock or one of its rules is not available; see stockade doctor and require.degrade_ok";
    Landlock = 36, "landlock", "Landlock is not fully enforced; see stockade doctor and require.degrade_ok";
    CanaryAfter = 37, "canary-after", "Landlock says enforced but the canary could be opened; do not run agents on this kernel";
    DeathSignal = 38, "death-signal", "prctl(PR_SET_PDEATHSIG) failed, or stockade died during the launch";
    Seccomp = 39, "seccomp", "the kernel refused the seccomp filter; it needs CONFIG_SECCOMP_FILTER and user notification (5.0)";
    Ready = 40, "ready", "the process that asked for the launch is gone";
    Go = 41, "go", "the launch was called off before the program started";
    Exec = 42, "exec", "the program could not be executed; is it a static executable for this architecture?";
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
