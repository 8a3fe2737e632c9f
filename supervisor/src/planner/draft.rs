//! A plan in the making, with the descriptors its slots stand for.

use std::os::fd::OwnedFd;

use nix::libc;
use stockade_plan::{
    Access, Addition, CgroupLimits, Cgroups, Descriptor, Entry, Exec, Ids, Landlock, Listener, Plan, Rlimit, Role,
    Rule, Seccomp, Slot, What,
};
use stockade_policy::seccomp;

use crate::cgroup::CellGroup;
use crate::error::RunError;
use crate::launch::Order;
use crate::memfd;
use crate::reserve::IDS;

/// Uid and gid of every program of ours and of agents, inside their user namespaces.
pub(crate) const USER: u32 = 1000;

/// Slots and lists that grow while a plan is made.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    fds: Vec<OwnedFd>,
    pub root: Vec<Entry>,
    pub rules: Vec<Rule>,
    pub rlimits: Vec<Rlimit>,
    /// What listens inside the network namespace.
    pub listeners: Vec<Listener>,
    /// TCP ports that may be connected to.
    pub connect: Vec<u16>,
    descriptors: Vec<Descriptor>,
}

/// What a finished plan needs besides.
pub(crate) struct Finish<'a> {
    pub what: &'static str,
    pub role: Role,
    pub hostname: &'a str,
    pub host_id: u32,
    pub group: &'a CellGroup,
    pub landlock_abi: u8,
    pub profile: &'static str,
    pub listener: bool,
    pub additions: Vec<Addition>,
    pub program: OwnedFd,
    pub argv: Vec<String>,
    pub env: Vec<String>,
    pub cwd: &'a str,
}

impl Draft {
    /// Sends a descriptor along.
    pub(crate) fn slot(&mut self, fd: OwnedFd) -> Result<Slot, RunError> {
        // The launcher takes 64 descriptors; the program, its filter and cgroups need some.
        let slot = u8::try_from(self.fds.len()).ok().filter(|n| *n < 64);
        let slot = slot.ok_or_else(|| {
            RunError::Policy("the policy names too many paths for one cell; name a common parent".into())
        })?;
        self.fds.push(fd);
        Ok(Slot(slot))
    }

    /// Gives the program a descriptor.
    pub(crate) fn descriptor(&mut self, fd: OwnedFd, target: u8) -> Result<(), RunError> {
        let slot = self.slot(fd)?;
        self.descriptors.push(Descriptor { slot, target });
        Ok(())
    }

    /// Puts something into the root.
    pub(crate) fn put(&mut self, dest: impl Into<String>, what: What) {
        self.root.push(Entry { dest: dest.into(), what });
    }

    /// Allows something.
    pub(crate) fn allow(&mut self, path: impl Into<String>, access: Access) {
        self.rules.push(Rule { path: path.into(), access });
    }

    /// Sets a resource limit.
    pub(crate) fn rlimit(&mut self, resource: libc::__rlimit_resource_t, value: u64) {
        // RLIMIT_* numbers are below 16.
        self.rlimits.push(Rlimit { resource: u8::try_from(resource).unwrap_or(u8::MAX), value });
    }

    /// Limits that every process set has: no core dumps, nothing locked, no message queues, no priority.
    pub(crate) fn common_rlimits(&mut self, files: u64) {
        self.rlimit(libc::RLIMIT_NOFILE, files);
        for none in
            [libc::RLIMIT_CORE, libc::RLIMIT_MEMLOCK, libc::RLIMIT_MSGQUEUE, libc::RLIMIT_NICE, libc::RLIMIT_RTPRIO]
        {
            self.rlimit(none, 0);
        }
    }

    /// The order for the launcher.
    pub(crate) fn finish(mut self, with: Finish<'_>) -> Result<Order, RunError> {
        self.connect.sort_unstable();
        self.connect.dedup();
        let v2 = self.slot(with.group.open_v2()?)?;
        let v1 = with.group.open_v1()?.into_iter().map(|fd| self.slot(fd)).collect::<Result<_, _>>()?;
        let profile = seccomp::profile(with.profile)
            .ok_or_else(|| RunError::Internal(format!("no seccomp profile {}", with.profile)))?;
        let filter = self.slot(memfd::sealed("seccomp", profile.bpf)?)?;
        let program = self.slot(with.program)?;
        let plan = Plan {
            role: with.role,
            hostname: with.hostname.to_owned(),
            ids: Ids { host: with.host_id, count: IDS, uid: USER, gid: USER },
            cgroups: Cgroups { v2, v1 },
            limits: with.group.limits().map(|limits| CgroupLimits {
                memory: limits.memory,
                pids: limits.pids,
                cpu_millis: limits.cpu_millis,
            }),
            root: self.root,
            rlimits: self.rlimits,
            landlock: Landlock { abi: with.landlock_abi, rules: self.rules, connect: self.connect },
            seccomp: Seccomp { filter, digest: profile.digest, listener: with.listener, additions: with.additions },
            listeners: self.listeners,
            descriptors: self.descriptors,
            exec: Exec { program, argv: with.argv, env: with.env, cwd: with.cwd.to_owned() },
        };
        Ok(Order { what: with.what, plan, fds: self.fds })
    }
}
