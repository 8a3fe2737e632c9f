//! Membership and limits.

use serde_json::{Map, json};
use stockade_plan::Plan;

use super::{Layer, Subject};
use crate::cgroup::{CellGroup, Hierarchies};

pub(super) fn cgroup(subject: &Subject, group: &CellGroup, on: &Hierarchies) -> Layer {
    let mut layer = Layer::new("cgroup");
    let text = subject.read("cgroup");
    // `0::PATH` is v2, `N:CONTROLLERS:PATH` is v1; paths are relative to our own cgroup namespace.
    let path_of = |wanted: &str| {
        text.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let controllers = parts.next()?;
            (controllers.split(',').any(|c| c == wanted)).then(|| parts.next().unwrap_or_default().to_owned())
        })
    };
    let mut expect_tail = |what: &str, found: Option<String>, dir: &std::path::Path| {
        let tail: std::path::PathBuf = dir.components().rev().take(2).collect::<Vec<_>>().into_iter().rev().collect();
        let found = found.unwrap_or_else(|| "absent".into());
        if !std::path::Path::new(&found).ends_with(&tail) {
            layer.mismatches.push(format!("cgroup: {what} is {found:?}, planned …/{}", tail.display()));
        }
    };
    expect_tail("v2", path_of(""), &group.v2);
    for (controller, dir) in &group.v1 {
        expect_tail(controller, path_of(controller), dir);
    }
    let mut limits = Map::new();
    let mut words = Vec::new();
    for (path, wanted, found) in group.read_back(on) {
        if !same(&wanted, &found) {
            layer.mismatches.push(format!("cgroup: {} is {found:?}, planned {wanted:?}", path.display()));
        }
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if ["memory.max", "memory.limit_in_bytes", "pids.max", "cpu.max", "cpu.cfs_quota_us", "io.max"]
            .contains(&file.as_str())
        {
            words.push(format!("{file} {found}"));
        }
        limits.insert(file, found.into());
    }
    layer.summary = if words.is_empty() { "own group, killed as one".into() } else { words.join(", ") };
    layer.details = json!({"membership": text.lines().collect::<Vec<_>>(), "limits": limits});
    layer
}

/// Memory limits are rounded down to whole pages by the kernel.
fn same(wanted: &str, found: &str) -> bool {
    const PAGE: u64 = 4096;
    match (wanted.parse::<u64>(), found.parse::<u64>()) {
        (Ok(wanted), Ok(found)) => wanted == found || (wanted > PAGE && wanted / PAGE * PAGE == found),
        _ => wanted == found,
    }
}

/// Names in /proc/PID/limits by `RLIMIT_*` number (getrlimit(2)).
const NAMES: [&str; 16] = [
    "Max cpu time",
    "Max file size",
    "Max data size",
    "Max stack size",
    "Max core file size",
    "Max resident set",
    "Max processes",
    "Max open files",
    "Max locked memory",
    "Max address space",
    "Max file locks",
    "Max pending signals",
    "Max msgqueue size",
    "Max nice priority",
    "Max realtime priority",
    "Max realtime timeout",
];

pub(super) fn rlimits(subject: &Subject, plan: &Plan) -> Layer {
    let mut layer = Layer::new("rlimits");
    let text = subject.read("limits");
    let mut details = Map::new();
    for limit in &plan.rlimits {
        let name = NAMES.get(usize::from(limit.resource)).copied().unwrap_or("unknown");
        let line = text.lines().find_map(|l| l.strip_prefix(name)).unwrap_or("absent");
        let found: Vec<_> = line.split_whitespace().take(2).collect();
        let planned = if limit.value == u64::MAX { "unlimited".to_owned() } else { limit.value.to_string() };
        layer.expect(name, &found.join(" "), &format!("{planned} {planned}"));
        details.insert(name.into(), found.first().copied().unwrap_or("absent").into());
    }
    let files = details.get("Max open files").and_then(|v| v.as_str()).unwrap_or("?").to_owned();
    layer.summary =
        format!("{} set: {files} open files, no core dump, nothing locked, no priority", plan.rlimits.len());
    layer.details = details.into();
    layer
}
