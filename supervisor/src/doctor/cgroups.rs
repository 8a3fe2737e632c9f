//! Control groups (cgroups(7)): a group is made in each hierarchy a cell would use, the limit
//! files it has are looked at, and it is removed.

use super::Check;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

const GROUP: &str = "cgroups";
const ADVICE: &str = "boot with this controller (on Debian: cgroup_enable=memory, no cgroup_disable=…)";

struct Hierarchy {
    mount: PathBuf,
    /// `None` for v2, else the v1 controllers.
    v1: Option<Vec<String>>,
}

/// Controller, the file that shows it under v2, and under v1.
const CONTROLLERS: [(&str, &str, &str, &str); 3] = [
    ("cgroup.memory", "memory", "memory.max", "memory.limit_in_bytes"),
    ("cgroup.pids", "pids", "pids.max", "pids.max"),
    ("cgroup.cpu", "cpu", "cpu.max", "cpu.cfs_quota_us"),
];

pub(super) fn checks() -> Vec<Check> {
    let mountinfo = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let hierarchies = parse(&mountinfo);
    let mut all = vec![unified(&hierarchies)];
    all.extend(CONTROLLERS.map(|(name, controller, v2, v1)| limit(&hierarchies, name, controller, v2, v1)));
    all
}

/// Mounts of type cgroup and cgroup2 that are not shadowed; the format is in proc_pid_mountinfo(5).
fn parse(mountinfo: &str) -> Vec<Hierarchy> {
    mountinfo
        .lines()
        .filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let mount = PathBuf::from(left.split(' ').nth(4)?);
            let mut right = right.split(' ');
            let v1 = match right.next()? {
                "cgroup2" => None,
                "cgroup" => Some(right.nth(1)?.split(',').map(str::to_owned).collect()),
                _ => return None,
            };
            Some(Hierarchy { mount, v1 })
        })
        .collect()
}

/// Makes a group, looks, removes it.
fn in_child<T>(mount: &Path, look: impl FnOnce(&Path) -> T) -> std::io::Result<T> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let child = mount.join(format!("stockade-doctor-{}-{number}", std::process::id()));
    std::fs::create_dir(&child)?;
    let seen = look(&child);
    std::fs::remove_dir(&child)?;
    Ok(seen)
}

fn unified(all: &[Hierarchy]) -> Check {
    let name = "cgroup.kill";
    let Some(v2) = all.iter().find(|h| h.v1.is_none()) else {
        let advice = "mount cgroup2, as systemd does on /sys/fs/cgroup (or /sys/fs/cgroup/unified)";
        return Check::missing(GROUP, name, "no cgroup2 mount in /proc/self/mountinfo", advice);
    };
    let at = v2.mount.display();
    let files = ["cgroup.kill", "cgroup.freeze", "cgroup.events"];
    match in_child(&v2.mount, |dir| files.into_iter().filter(|f| !dir.join(f).exists()).collect::<Vec<_>>()) {
        Ok(lacking) if lacking.is_empty() => {
            Check::ok(GROUP, name, format!("a child of {at} has {}", files.join(", ")))
        }
        Ok(lacking) => {
            let said = format!("a child of {at} lacks {}", lacking.join(", "));
            Check::missing(GROUP, name, said, "boot Linux 5.14 or newer")
        }
        Err(e) => Check::missing(GROUP, name, format!("mkdir in {at}: {e}"), "run as root where cgroup2 is writable"),
    }
}

fn limit(all: &[Hierarchy], name: &'static str, controller: &str, v2_file: &str, v1_file: &str) -> Check {
    let v2 = all.iter().find(|h| {
        let listed = std::fs::read_to_string(h.mount.join("cgroup.controllers")).unwrap_or_default();
        h.v1.is_none() && listed.split_whitespace().any(|c| c == controller)
    });
    let v1 = all.iter().find(|h| h.v1.as_ref().is_some_and(|list| list.iter().any(|c| c == controller)));
    let (hierarchy, version, file) = match (v2, v1) {
        (Some(h), _) => (h, "v2", v2_file),
        (None, Some(h)) => (h, "v1", v1_file),
        (None, None) => {
            let said = format!("no hierarchy has the {controller} controller");
            return Check::missing(GROUP, name, said, ADVICE);
        }
    };
    let at = hierarchy.mount.display();
    match in_child(&hierarchy.mount, |dir| dir.join(file).exists()) {
        // systemd hands a controller down only once a unit wants it; a run asks for it itself.
        Ok(false) if version == "v2" => {
            Check::ok(GROUP, name, format!("v2: {at} has it to hand down, which a run does"))
        }
        Ok(true) => Check::ok(GROUP, name, format!("{version}: a child of {at} has {file}")),
        Ok(false) => Check::missing(GROUP, name, format!("{version}: a child of {at} has no {file}"), ADVICE),
        Err(e) => {
            Check::missing(GROUP, name, format!("{version}: mkdir in {at}: {e}"), "run as root where it is writable")
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn hybrid_and_pure_hosts_are_told_apart() {
        let hybrid = parse(
            "30 25 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
             31 30 0:27 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
             32 30 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
        );
        assert_eq!(hybrid.len(), 2);
        assert_eq!(hybrid[0].v1.as_deref().unwrap(), ["rw", "cpu", "cpuacct"]);
        assert!(hybrid[1].v1.is_none() && hybrid[1].mount == Path::new("/sys/fs/cgroup/unified"));
        assert!(parse("short\n\n1 2 3\n").is_empty());
    }
}
