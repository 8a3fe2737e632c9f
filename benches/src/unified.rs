//! A mount namespace in which /sys/fs/cgroup is cgroup2: OCI runtimes refuse hybrid hosts without.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Holds the namespace until dropped.
pub struct Unified {
    holder: Child,
}

impl Unified {
    /// `None` where it cannot be made, or is not needed because the host has only v2.
    pub fn hold() -> Option<Self> {
        if crate::machine::facts().cgroups == "v2" {
            return None;
        }
        let script = "mount -t cgroup2 cgroup2 /sys/fs/cgroup && echo held && exec cat";
        let holder = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "--", "sh", "-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut held = Self { holder };
        let mut line = String::new();
        BufReader::new(held.holder.stdout.take()?).read_line(&mut line).ok()?;
        (line == "held\n").then_some(held)
    }

    /// The namespace, for nsenter(1).
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/ns/mnt", self.holder.id()).into()
    }
}

impl Drop for Unified {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
