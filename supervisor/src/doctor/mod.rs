//! What this host can enforce, layer by layer.
//!
//! A probe does the thing wherever that is cheap and leaves nothing behind: it unshares in a thread
//! of its own, restricts a thread with Landlock and shows that an open then fails, makes a control
//! group and removes it. A version number is read only where the kernel offers nothing better.

mod cgroups;
mod installation;
mod kernel;
mod landlock;
mod mounts;
mod namespaces;
mod render;
mod settings;

pub use render::render_text;

use serde::Serialize;

/// First host id that Stockade hands to cells.
pub const ID_BASE: u32 = 1_900_000_000;
/// Number of host ids from [`ID_BASE`] on: 2,048 cells of 65,536.
pub const ID_COUNT: u32 = 167_772_160;

/// What became of one probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Enforceable here.
    Ok,
    /// A run is refused unless its policy names this layer in `[require] degrade_ok`; or, for a
    /// check that is not required, something an operator may want to better.
    Degraded,
    /// Not enforceable here: no run starts.
    Missing,
}

/// One layer, or one setting that bears on the layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Stable name, e.g. `landlock.net`; the name `degrade_ok` takes.
    pub name: &'static str,
    /// The heading it stands under.
    pub group: &'static str,
    /// What became of the probe.
    pub status: Status,
    /// Whether a run needs it.
    pub required: bool,
    /// What was tried and what the kernel said.
    pub evidence: String,
    /// What to do about it; only if `status` is not [`Status::Ok`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// `uname -r`.
    pub kernel: String,
    /// True if every required check is [`Status::Ok`].
    pub enforceable: bool,
    /// In the order in which a cell is built.
    pub checks: Vec<Check>,
}

impl Report {
    /// 0 if everything a run needs is enforceable, else 13 (docs/exit-codes.md).
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if self.enforceable { 0 } else { 13 }
    }
}

/// Probes the host. Takes some tens of milliseconds, most of it the network namespace; needs root
/// to say more than that root is missing.
#[must_use]
pub fn examine() -> Report {
    let mut checks = kernel::checks();
    checks.extend(namespaces::checks());
    checks.extend(cgroups::checks());
    checks.extend(mounts::checks());
    checks.extend(landlock::checks());
    checks.extend(installation::checks());
    checks.extend(settings::checks());
    let enforceable = checks.iter().all(|c| !c.required || c.status == Status::Ok);
    Report { kernel: kernel::release(), enforceable, checks }
}

impl Check {
    fn ok(group: &'static str, name: &'static str, evidence: impl Into<String>) -> Self {
        Self { name, group, status: Status::Ok, required: true, evidence: evidence.into(), advice: None }
    }

    fn missing(
        group: &'static str,
        name: &'static str,
        evidence: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let (evidence, advice) = (evidence.into(), Some(advice.into()));
        Self { name, group, status: Status::Missing, required: true, evidence, advice }
    }

    fn degraded(self) -> Self {
        Self { status: if self.status == Status::Ok { Status::Ok } else { Status::Degraded }, ..self }
    }

    /// For what only bears on the layers: it never makes a host unfit.
    fn advisory(self) -> Self {
        Self { required: false, ..self.degraded() }
    }
}

/// A short file of /proc or /sys as one trimmed line, at most 4 KiB of it.
fn read_line(path: impl AsRef<std::path::Path>) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path)?.take(4096).read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn names_are_unique_and_gaps_come_with_advice() {
        let report = examine();
        let mut names: Vec<_> = report.checks.iter().map(|c| c.name).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all, "a check's name is used twice");
        for check in &report.checks {
            assert_eq!(check.status == Status::Ok, check.advice.is_none(), "{check:?}");
            assert!(!check.evidence.is_empty(), "{check:?}");
        }
    }

    #[test]
    fn examining_leaves_the_process_as_it_was() {
        let view = || {
            let ns = ["user", "pid", "mnt", "net", "ipc", "uts", "cgroup", "time"]
                .map(|n| std::fs::read_link(format!("/proc/thread-self/ns/{n}")).unwrap());
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let held: Vec<String> = status
                .lines()
                .filter(|l| l.starts_with("NoNewPrivs") || l.starts_with("Cap"))
                .map(Into::into)
                .collect();
            (ns, held, std::fs::read_to_string("/proc/self/mountinfo").unwrap())
        };
        let before = view();
        let first = examine();
        assert_eq!(view(), before);
        std::fs::read_to_string("/etc/passwd").expect("this thread is not restricted");
        assert_eq!(first.kernel, examine().kernel);
    }

    #[test]
    fn one_gap_in_a_required_layer_makes_the_host_unfit_and_an_advisory_one_does_not() {
        let gap = Check::missing("g", "x", "e", "a");
        assert!(gap.required && gap.status == Status::Missing);
        let soft = gap.clone().advisory();
        assert!(!soft.required && soft.status == Status::Degraded);
        let report = |checks: Vec<Check>| {
            let enforceable = checks.iter().all(|c| !c.required || c.status == Status::Ok);
            Report { kernel: "k".into(), enforceable, checks }.exit_code()
        };
        assert_eq!(report(vec![soft.clone()]), 0);
        assert_eq!(report(vec![soft, gap]), 13);
    }
}
