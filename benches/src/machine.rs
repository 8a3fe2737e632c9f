//! What the numbers were measured on: without it they mean nothing.

use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Facts {
    pub kernel: String,
    pub cpu: String,
    pub cpus: usize,
    /// 1, 5 and 15 minutes, running/all tasks, last pid.
    pub load: String,
    /// `v2`, or `hybrid` where v1 controllers are mounted.
    pub cgroups: &'static str,
}

pub fn facts() -> Facts {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|l| l.strip_prefix("model name")?.split_once(": ").map(|(_, m)| m));
    Facts {
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        cpu: model.unwrap_or("unknown").to_owned(),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        load: read("/proc/loadavg").trim().to_owned(),
        cgroups: if read("/proc/self/mountinfo").contains(" - cgroup ") { "hybrid" } else { "v2" },
    }
}
