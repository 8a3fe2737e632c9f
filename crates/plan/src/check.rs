//! The floor below every plan, checked by the launcher whoever made the plan.

use alloc::string::String;
use core::fmt;

use crate::{AdditionAction, MAX_ADDITIONS, Plan, Role, Slot, What, filter, never};

/// Lowest host id a range may begin at: above every id that distributions, `useradd` and systemd give to
/// people, services and dynamic users (systemd's UIDS-GIDS.md).
pub const MIN_HOST_ID: u32 = 524_288;

/// Why a plan may not be launched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckError {
    /// The id range begins too low, is empty, or wraps; or the user is outside it or is its root.
    Ids(&'static str),
    /// A destination is not absolute and canonical.
    Path(String),
    /// A slot has no descriptor.
    Slot(Slot),
    /// A bind could change the host: writable without an id map, or a device that is a directory.
    Bind(String),
    /// Landlock below ABI 1.
    Landlock(u8),
    /// Two descriptors with one number, or a number out of bounds.
    Descriptor(u8),
    /// An agent's cell without a listener.
    Listener,
    /// An agent's cell without cgroup limits.
    Limits,
    /// Additions to the filter that may not be; holds the syscall's number.
    Addition(u32, &'static str),
    /// Listeners or ports that may not be.
    Net(&'static str),
    /// The host name, an argument or an environment entry is not acceptable.
    Text(&'static str),
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ids(why) => write!(f, "ids: {why}"),
            Self::Path(p) => write!(f, "path {p:?} is not absolute and canonical"),
            Self::Slot(s) => write!(f, "no descriptor was sent for slot {}", s.0),
            Self::Bind(p) => write!(f, "bind at {p:?} could change the host"),
            Self::Landlock(abi) => write!(f, "landlock ABI {abi} is no layer"),
            Self::Descriptor(n) => write!(f, "descriptor number {n} is given twice or is out of bounds"),
            Self::Listener => write!(f, "an agent's cell needs a seccomp listener"),
            Self::Limits => write!(f, "an agent's cell needs cgroup limits"),
            Self::Addition(nr, why) => write!(f, "syscall {nr} may not be added to the filter: {why}"),
            Self::Net(why) => write!(f, "network: {why}"),
            Self::Text(what) => write!(f, "bad text for {what}"),
        }
    }
}

impl core::error::Error for CheckError {}

/// Highest descriptor number a program may start with.
const MAX_TARGET: u8 = 15;

pub(crate) fn canonical(path: &str) -> bool {
    path == "/"
        || path.strip_prefix('/').is_some_and(|rest| {
            rest.split('/').all(|part| !part.is_empty() && part != "." && part != ".." && part.len() < 256)
        })
}

impl Plan {
    /// Checks the plan against the floor, and every slot against the number of descriptors sent.
    ///
    /// # Errors
    /// The first thing that is below the floor.
    pub fn check(&self, descriptors: usize) -> Result<(), CheckError> {
        self.check_ids()?;
        self.check_slots(descriptors)?;
        for entry in &self.root {
            self.check_entry(&entry.dest, &entry.what)?;
        }
        if let Some(rule) = self.landlock.rules.iter().find(|r| !canonical(&r.path)) {
            return Err(CheckError::Path(rule.path.clone()));
        }
        if self.landlock.abi == 0 {
            return Err(CheckError::Landlock(0));
        }
        if !canonical(&self.exec.cwd) {
            return Err(CheckError::Path(self.exec.cwd.clone()));
        }
        if matches!(self.role, Role::Wasm | Role::Native) && !self.seccomp.listener {
            return Err(CheckError::Listener);
        }
        if matches!(self.role, Role::Wasm | Role::Native) && self.limits.is_none() {
            return Err(CheckError::Limits);
        }
        self.check_additions()?;
        self.check_net()?;
        self.check_texts()
    }

    fn check_ids(&self) -> Result<(), CheckError> {
        let ids = &self.ids;
        let Some(end) = ids.host.checked_add(ids.count) else { return Err(CheckError::Ids("the range wraps")) };
        if ids.host < MIN_HOST_ID || end > i32::MAX as u32 {
            return Err(CheckError::Ids("the host range is not an unprivileged one"));
        }
        if ids.uid == 0 || ids.gid == 0 {
            return Err(CheckError::Ids("the program would run as root inside"));
        }
        if ids.uid >= ids.count || ids.gid >= ids.count {
            return Err(CheckError::Ids("the program's user is outside the range"));
        }
        Ok(())
    }

    fn check_slots(&self, sent: usize) -> Result<(), CheckError> {
        let binds = self.root.iter().filter_map(|e| match &e.what {
            What::Bind { source, .. } => Some(*source),
            _ => None,
        });
        let slots = [self.cgroups.v2, self.seccomp.filter, self.exec.program].into_iter();
        let slots = slots.chain(self.cgroups.v1.iter().copied()).chain(binds);
        let mut slots = slots.chain(self.descriptors.iter().map(|d| d.slot));
        if let Some(bad) = slots.find(|s| usize::from(s.0) >= sent) {
            return Err(CheckError::Slot(bad));
        }
        for (i, d) in self.descriptors.iter().enumerate() {
            let twice = self.descriptors.iter().skip(i + 1).any(|other| other.target == d.target);
            if twice || d.target > MAX_TARGET {
                return Err(CheckError::Descriptor(d.target));
            }
        }
        Ok(())
    }

    fn check_entry(&self, dest: &str, what: &What) -> Result<(), CheckError> {
        if !canonical(dest) || dest == "/" {
            return Err(CheckError::Path(dest.into()));
        }
        // A writable bind acts on the host's files with the cell's own host id, which owns nothing there,
        // unless an id map lends it the owner's. Devices are written by design.
        if let What::Bind { read_only: false, device: false, idmap: None, .. } = what
            && self.role != Role::Shim
        {
            return Err(CheckError::Bind(dest.into()));
        }
        if let What::Bind { device: true, file: false, .. } = what {
            return Err(CheckError::Bind(dest.into()));
        }
        Ok(())
    }

    fn check_additions(&self) -> Result<(), CheckError> {
        let mut last = None;
        for (i, addition) in self.seccomp.additions.iter().enumerate() {
            let refuse = |why| Err(CheckError::Addition(addition.nr, why));
            if self.role != Role::Native {
                return refuse("only native cells take additions");
            }
            if i >= MAX_ADDITIONS {
                return refuse("there are too many");
            }
            if last.is_some_and(|last| addition.nr <= last) {
                return refuse("it is there twice or out of order");
            }
            if addition.nr >= filter::X32_BIT {
                return refuse("it is no number of x86-64");
            }
            if addition.action == AdditionAction::Allow
                && let Some(why) = never::why(addition.nr)
            {
                return refuse(why);
            }
            last = Some(addition.nr);
        }
        Ok(())
    }

    fn check_texts(&self) -> Result<(), CheckError> {
        let name_ok = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if self.hostname.is_empty() || self.hostname.len() > 63 || !self.hostname.bytes().all(name_ok) {
            return Err(CheckError::Text("the host name"));
        }
        if self.exec.argv.is_empty() {
            return Err(CheckError::Text("the argument vector: it is empty"));
        }
        let named = |entry: &String| entry.split_once('=').is_some_and(|(key, _)| !key.is_empty());
        if !self.exec.env.iter().all(named) {
            return Err(CheckError::Text("the environment: an entry has no name"));
        }
        Ok(())
    }
}
