//! Ceilings on reading and writing the workspace's disk (cgroup v2 `io.max`), for all of a run together: the cell,
//! its tools, and the shim, which reads and writes for a wasm agent.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use nix::sys::stat::{fstat, major, minor};
use stockade_policy::Policy;

use crate::error::{Doing, RunError};

/// File of a v2 group.
const FILE: &str = "io.max";

/// Bytes per second on one disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IoLimit {
    /// `MAJOR:MINOR` of a whole disk; the kernel takes no partition.
    device: String,
    read: Option<u64>,
    write: Option<u64>,
}

impl IoLimit {
    /// What the policy asks for the disk that `workspace` is on; `None` if it asks nothing.
    pub(crate) fn of(policy: &Policy, workspace: Option<BorrowedFd<'_>>) -> Result<Option<Self>, RunError> {
        let (read, write) = (policy.limits.io_read, policy.limits.io_write);
        let name = match (read, write) {
            (None, None) => return Ok(None),
            (Some(_), _) => "limits.io_read",
            (None, Some(_)) => "limits.io_write",
        };
        let refuse =
            |why: String| RunError::Host(format!("{name} cannot be enforced: {why} (layer: cgroup v2, {FILE})"));
        let workspace =
            workspace.ok_or_else(|| refuse("it is about the workspace's disk, and there is no --workspace".into()))?;
        let device = fstat(workspace.as_fd()).doing("examine", "workspace")?.st_dev;
        let device = disk(major(device), minor(device), Path::new("/sys/dev/block")).map_err(refuse)?;
        Ok(Some(Self { device, read, write }))
    }

    /// Why a host without the controller has no such layer.
    pub(crate) fn without_controller() -> RunError {
        RunError::Host(
            "limits.io_read and limits.io_write cannot be enforced: this host has no io controller on cgroup v2 (layer: cgroup v2, io.max); boot with systemd.unified_cgroup_hierarchy=1, or take them out of the policy"
                .into(),
        )
    }

    /// Sets it for a group.
    pub(crate) fn set(&self, group: &Path) -> Result<(), RunError> {
        let path = group.join(FILE);
        fs::write(&path, format!("{} {}", self.device, self.words())).map_err(|e| {
            RunError::Host(format!(
                "limits.io_read and limits.io_write cannot be enforced: disk {} takes none: {e} (layer: cgroup v2, {FILE})",
                self.device
            ))
        })
    }

    /// The file, what it should say of the disk, and what it says.
    pub(crate) fn read_back(&self, group: &Path) -> (PathBuf, String, String) {
        let path = group.join(FILE);
        let found = fs::read_to_string(&path).map_or_else(|e| e.to_string(), |text| self.found(&text));
        (path, format!("{} {}", self.device, self.words()), found)
    }

    fn words(&self) -> String {
        let word = |v: Option<u64>| v.map_or_else(|| "max".to_owned(), |v| v.to_string());
        format!("rbps={} wbps={}", word(self.read), word(self.write))
    }

    /// The line of this disk, without the operations per second that we leave alone.
    fn found(&self, text: &str) -> String {
        let line = text.lines().find(|line| line.split(' ').next() == Some(&self.device));
        let words = line
            .unwrap_or("no line")
            .split(' ')
            .filter(|word| !word.starts_with("riops=") && !word.starts_with("wiops="));
        words.collect::<Vec<_>>().join(" ")
    }
}

/// The whole disk that a device is, or is a part of.
fn disk(major: u64, minor: u64, block: &Path) -> Result<String, String> {
    let link = block.join(format!("{major}:{minor}"));
    if major == 0 || !link.exists() {
        return Err(format!(
            "the workspace is on no block device ({major}:{minor}: btrfs, overlay, tmpfs, a network); put it on ext4 or xfs on a disk"
        ));
    }
    if !link.join("partition").exists() {
        return Ok(format!("{major}:{minor}"));
    }
    // A partition's folder is inside its disk's.
    let folder = fs::canonicalize(&link).map_err(|e| format!("{}: {e}", link.display()))?;
    let number = folder.parent().map(|disk| disk.join("dev")).ok_or("it has no disk")?;
    fs::read_to_string(&number).map(|text| text.trim().to_owned()).map_err(|e| format!("{}: {e}", number.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_partition_is_its_disk_and_nothing_is_no_disk() {
        let dir = std::env::temp_dir().join(format!("stockade-io-{}", std::process::id()));
        let (part, block) = (dir.join("devices/vda/vda1"), dir.join("block"));
        fs::create_dir_all(&part).unwrap();
        fs::create_dir(&block).unwrap();
        fs::write(dir.join("devices/vda/dev"), "254:0\n").unwrap();
        fs::write(part.join("dev"), "254:1\n").unwrap();
        fs::write(part.join("partition"), "1\n").unwrap();
        symlink("../devices/vda", block.join("254:0")).unwrap();
        symlink("../devices/vda/vda1", block.join("254:1")).unwrap();
        assert_eq!(disk(254, 1, &block), Ok("254:0".into()));
        assert_eq!(disk(254, 0, &block), Ok("254:0".into()));
        assert!(disk(0, 35, &block).unwrap_err().contains("no block device"));
        assert!(disk(254, 9, &block).unwrap_err().contains("no block device"));
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn the_kernels_line_is_compared_by_what_was_set() {
        let limit = IoLimit { device: "254:0".into(), read: Some(1_048_576), write: None };
        let text = "8:0 rbps=1 wbps=2 riops=max wiops=max\n254:0 rbps=1048576 wbps=max riops=max wiops=max\n";
        assert_eq!(limit.found(text), format!("254:0 {}", limit.words()));
        assert_eq!(limit.found("8:0 rbps=1 wbps=max riops=max wiops=max\n"), "no line");
    }
}
