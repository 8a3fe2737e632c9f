//! Attestation: what the kernel says of a process set, read through procfs from outside, held against the plan.
//!
//! Each layer gives one [`Layer`]; the whole is the `enforcement` of the journal's `start` record. One
//! mismatch anywhere and the cell is killed before agent code runs.

mod landlock;
mod limits;
mod mounts;
mod network;
mod process;
mod watch;

pub(crate) use watch::MountWatch;

use std::fs;
use std::path::Path;

use nix::unistd::Pid;
use serde_json::{Map, Value, json};

use crate::cgroup::{CellGroup, Hierarchies};
use crate::error::RunError;
use crate::launch::Newborn;

/// One layer's account.
pub(crate) struct Layer {
    name: &'static str,
    summary: String,
    details: Value,
    mismatches: Vec<String>,
}

impl Layer {
    fn new(name: &'static str) -> Self {
        Self { name, summary: String::new(), details: json!({}), mismatches: Vec::new() }
    }

    /// Records a mismatch unless `found` is what was planned.
    fn expect(&mut self, what: &str, found: &str, planned: &str) {
        if found != planned {
            self.mismatches.push(format!("{}: {what} is {found:?}, planned {planned:?}", self.name));
        }
    }
}

/// Where in its life the process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// All layers closed, the launcher's last instruction before exec.
    BeforeExec,
    /// A program of ours has loaded an agent and closed its own last layer.
    Sealed,
}

/// Reads everything back.
pub(crate) fn attest(
    newborn: &Newborn,
    group: &CellGroup,
    on: &Hierarchies,
    moment: Moment,
) -> Result<Value, RunError> {
    let subject = Subject { pid: newborn.pid };
    let plan = &newborn.plan;
    let layers = [
        process::namespaces(&subject),
        process::uid_map(&subject, plan),
        process::credentials(&subject, plan, moment),
        process::capabilities(&subject),
        process::no_new_privs(&subject),
        process::seccomp(&subject, plan, moment),
        limits::cgroup(&subject, group, on),
        limits::rlimits(&subject, plan),
        mounts::mounts(&subject, plan),
        process::descriptors(&subject, plan, moment),
        network::network(&subject, plan),
        landlock::landlock(newborn),
    ];
    let mut mismatches = Vec::new();
    let mut report = Map::new();
    for layer in layers {
        let mut entry = Map::new();
        entry.insert("summary".into(), layer.summary.into());
        entry.insert("ok".into(), layer.mismatches.is_empty().into());
        if let Value::Object(details) = layer.details {
            entry.extend(details);
        }
        report.insert(layer.name.into(), entry.into());
        mismatches.extend(layer.mismatches);
    }
    // Reads of a dead process give nothing that fits; say so rather than list every layer.
    if !Path::new(&format!("/proc/{}/ns/user", newborn.pid)).exists() {
        let detail = "it died while it was being read back".into();
        return Err(RunError::LaunchLost { what: newborn.what, detail });
    }
    match mismatches.is_empty() {
        true => Ok(report.into()),
        false => Err(RunError::Attestation { what: newborn.what, mismatches }),
    }
}

/// The process that is read.
pub(crate) struct Subject {
    pid: Pid,
}

impl Subject {
    /// A file of its /proc folder; a read error is text that fits no plan.
    fn read(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.pid)).unwrap_or_else(|e| format!("unreadable: {e}"))
    }

    fn link(&self, file: &str) -> String {
        let target = fs::read_link(format!("/proc/{}/{file}", self.pid));
        target.map_or_else(|e| format!("unreadable: {e}"), |t| t.to_string_lossy().into_owned())
    }

    /// A field of /proc/PID/status, its blanks made single.
    fn status(&self, field: &str) -> String {
        let text = self.read("status");
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.map_or_else(|| "absent".to_owned(), |v| v.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}
