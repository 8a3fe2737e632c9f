//! The group of one process set.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::hierarchy::{Hierarchies, make};
use crate::error::{Doing, RunError};

/// What a group may use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of memory of every kind; no swap.
    pub memory: u64,
    /// Tasks: processes and threads.
    pub pids: u32,
    /// Thousandths of one CPU.
    pub cpu_millis: u32,
}

/// Period of the CPU quota in microseconds (the kernel's default).
const PERIOD: u64 = 100_000;

/// A group that exists, with its limits set.
#[derive(Debug)]
pub(crate) struct CellGroup {
    pub v2: PathBuf,
    pub v1: Vec<(&'static str, PathBuf)>,
    limits: Option<Limits>,
}

/// What a group ran into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Events {
    /// Processes killed for memory.
    pub oom_kills: u64,
    /// Forks refused for the task limit.
    pub pids_max: u64,
}

impl CellGroup {
    /// Makes `name` beneath the run's v2 group and, for each controller that is on v1, there. Without
    /// limits only the v2 group is made, for killing.
    pub(crate) fn create(on: &Hierarchies, run: &str, name: &str, limits: Option<Limits>) -> Result<Self, RunError> {
        let v2 = on.v2.join(run).join(name);
        make(&v2)?;
        let mut group = Self { v2, v1: Vec::new(), limits };
        let Some(limits) = limits else { return Ok(group) };
        for (controller, dir) in &on.on_v1 {
            let dir = dir.join(format!("{run}.{name}"));
            make(&dir)?;
            group.v1.push((controller, dir));
        }
        for (dir, file, value) in group.settings(on, limits) {
            let path = dir.join(&file);
            // Swap accounting is a boot option on v1 (swapaccount=1); without it there is no such file.
            if file == "memory.memsw.limit_in_bytes" && !path.exists() {
                continue;
            }
            fs::write(&path, &value).doing("set limit", &path)?;
        }
        Ok(group)
    }

    /// What the group was given, as its files have it.
    pub(crate) fn limits(&self) -> Option<Limits> {
        // The kernel takes no quota below a millisecond a period.
        self.limits.map(|limits| Limits { cpu_millis: limits.cpu_millis.max(10), ..limits })
    }

    fn settings(&self, on: &Hierarchies, limits: Limits) -> Vec<(PathBuf, String, String)> {
        let quota = (u64::from(limits.cpu_millis) * PERIOD / 1000).max(1000);
        let mut all = Vec::new();
        let mut set = |dir: &Path, file: &str, value: String| all.push((dir.to_path_buf(), file.to_owned(), value));
        for controller in &on.on_v2 {
            match *controller {
                "memory" => {
                    set(&self.v2, "memory.max", limits.memory.to_string());
                    set(&self.v2, "memory.swap.max", "0".into());
                    set(&self.v2, "memory.oom.group", "1".into());
                }
                "pids" => set(&self.v2, "pids.max", limits.pids.to_string()),
                _ => set(&self.v2, "cpu.max", format!("{quota} {PERIOD}")),
            }
        }
        for (controller, dir) in &self.v1 {
            match *controller {
                "memory" => {
                    set(dir, "memory.limit_in_bytes", limits.memory.to_string());
                    set(dir, "memory.memsw.limit_in_bytes", limits.memory.to_string());
                }
                "pids" => set(dir, "pids.max", limits.pids.to_string()),
                _ => {
                    set(dir, "cpu.cfs_period_us", PERIOD.to_string());
                    set(dir, "cpu.cfs_quota_us", quota.to_string());
                }
            }
        }
        all
    }

    /// Directory of the v2 group, for `CLONE_INTO_CGROUP`.
    pub(crate) fn open_v2(&self) -> Result<OwnedFd, RunError> {
        fs::File::open(&self.v2).map(OwnedFd::from).doing("open cgroup", &self.v2)
    }

    /// `tasks` files of the v1 groups.
    pub(crate) fn open_v1(&self) -> Result<Vec<OwnedFd>, RunError> {
        let open = |(_, dir): &(_, PathBuf)| {
            let path = dir.join("tasks");
            fs::File::options().write(true).open(&path).map(OwnedFd::from).doing("open cgroup", path)
        };
        self.v1.iter().map(open).collect()
    }

    /// Every limit as the kernel now has it: file, wanted, found.
    pub(crate) fn read_back(&self, on: &Hierarchies) -> Vec<(PathBuf, String, String)> {
        let Some(limits) = self.limits else { return Vec::new() };
        let read = |(dir, file, wanted): (PathBuf, String, String)| {
            let path = dir.join(file);
            let found = fs::read_to_string(&path).map_or_else(|e| e.to_string(), |t| t.trim().to_owned());
            (path, wanted, found)
        };
        let missing_swap = |dir: &Path, file: &str| file == "memory.memsw.limit_in_bytes" && !dir.join(file).exists();
        let own = self.settings(on, limits).into_iter().filter(|(d, f, _)| !missing_swap(d, f)).map(read);
        // That of the disk is the whole run's, one group up.
        let run = on.io.as_ref().zip(self.v2.parent()).map(|(io, run)| io.read_back(run));
        own.chain(run).collect()
    }

    /// What the group ran into so far.
    pub(crate) fn events(&self) -> Events {
        let memory = self.dir_of("memory");
        let oom_kills = field(&memory.join("memory.events"), "oom_kill")
            .or_else(|| field(&memory.join("memory.oom_control"), "oom_kill"));
        let pids_max = field(&self.dir_of("pids").join("pids.events"), "max");
        Events { oom_kills: oom_kills.unwrap_or(0), pids_max: pids_max.unwrap_or(0) }
    }

    fn dir_of(&self, controller: &str) -> &Path {
        self.v1.iter().find(|(c, _)| *c == controller).map_or(&self.v2, |(_, dir)| dir)
    }
}

fn field(path: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}
