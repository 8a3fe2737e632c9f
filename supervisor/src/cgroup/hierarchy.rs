//! Which hierarchy has which controller on this host.

use std::fs;
use std::path::{Path, PathBuf};

use procfs::process::{MountInfos, Process};
use stockade_policy::Policy;

use super::io::IoLimit;
use crate::error::{Doing, RunError};

/// Controllers that every cell needs.
const NEEDED: [&str; 3] = ["memory", "pids", "cpu"];
/// Controller of ceilings on a disk, which only some policies ask for.
const IO: &str = "io";
/// Our folder in every hierarchy.
const OURS: &str = "stockade";

/// Where groups are made.
#[derive(Debug, Clone)]
pub(crate) struct Hierarchies {
    /// Our folder in the v2 hierarchy; kill and events always come from here.
    pub v2: PathBuf,
    /// Controllers of [`NEEDED`] that v2 has.
    pub on_v2: Vec<&'static str>,
    /// Controllers of [`NEEDED`] that are on v1, with our folder there.
    pub on_v1: Vec<(&'static str, PathBuf)>,
    /// Ceilings on the workspace's disk, kept by the run's v2 group.
    pub io: Option<IoLimit>,
}

impl Hierarchies {
    /// Finds the hierarchies and makes our folder in each.
    pub(crate) fn find(io: Option<IoLimit>) -> Result<Self, RunError> {
        let mounted = Mounted::look()?;
        mounted.can_limit_io(io.is_some())?;
        let Mounted { mounts, root, .. } = &mounted;
        let mut found = Self { v2: root.join(OURS), on_v2: Vec::new(), on_v1: Vec::new(), io };
        for needed in NEEDED {
            if mounted.has(needed) {
                found.on_v2.push(needed);
                continue;
            }
            let v1 =
                mounts.iter().find(|m| m.fs_type == "cgroup" && m.super_options.contains_key(needed) && m.root == "/");
            match v1 {
                Some(mount) => found.on_v1.push((needed, mount.mount_point.join(OURS))),
                None => {
                    return Err(RunError::Host(format!(
                        "no cgroup hierarchy has the {needed} controller, so limits.{needed} cannot be enforced; boot with it enabled"
                    )));
                }
            }
        }
        found.prepare(root)?;
        Ok(found)
    }

    /// Whether this host could keep the policy's ceilings on a disk. Changes nothing.
    pub(crate) fn can_limit_io(policy: &Policy) -> Result<(), RunError> {
        match (policy.limits.io_read, policy.limits.io_write) {
            (None, None) => Ok(()),
            _ => Mounted::look()?.can_limit_io(true),
        }
    }

    fn prepare(&self, root: &Path) -> Result<(), RunError> {
        make(&self.v2)?;
        for (_, dir) in &self.on_v1 {
            make(dir)?;
        }
        self.enable_in(root)?;
        self.enable_in(&self.v2)
    }

    /// Hands the v2 controllers down to the children of `dir`.
    pub(crate) fn enable_in(&self, dir: &Path) -> Result<(), RunError> {
        let wanted: Vec<_> = self.on_v2.iter().copied().chain(self.io.as_ref().map(|_| IO)).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let file = dir.join("cgroup.subtree_control");
        let now = fs::read_to_string(&file).doing("read", &file)?;
        let missing: Vec<_> = wanted.iter().filter(|c| !now.split_whitespace().any(|n| n == **c)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let text = missing.iter().map(|c| format!("+{c}")).collect::<Vec<_>>().join(" ");
        fs::write(&file, text).doing("enable controllers in", &file)
    }
}

/// What is mounted, and which controllers v2 has.
struct Mounted {
    mounts: MountInfos,
    root: PathBuf,
    controllers: String,
}

impl Mounted {
    fn look() -> Result<Self, RunError> {
        let mounts = Process::myself()
            .and_then(|me| me.mountinfo())
            .map_err(|e| RunError::Host(format!("/proc/self/mountinfo cannot be read ({e}); mount procfs on /proc")))?;
        let root = mounts.iter().find(|m| m.fs_type == "cgroup2" && m.root == "/").map(|m| m.mount_point.clone());
        let root = root.ok_or_else(|| {
            RunError::Host(
                "no cgroup2 hierarchy is mounted; mount one with: mount -t cgroup2 none /sys/fs/cgroup/unified".into(),
            )
        })?;
        let controllers =
            fs::read_to_string(root.join("cgroup.controllers")).doing("read", root.join("cgroup.controllers"))?;
        Ok(Self { mounts, root, controllers })
    }

    fn has(&self, controller: &str) -> bool {
        self.controllers.split_whitespace().any(|known| known == controller)
    }

    fn can_limit_io(&self, asked: bool) -> Result<(), RunError> {
        if asked && !self.has(IO) { Err(IoLimit::without_controller()) } else { Ok(()) }
    }
}

/// mkdir(2), or it is there.
pub(crate) fn make(dir: &Path) -> Result<(), RunError> {
    match fs::create_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => other.doing("create cgroup", dir),
    }
}
