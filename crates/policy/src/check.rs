//! A lint of a valid policy: what it allows by the handful, what can never matter, where secrets can go, and
//! what no test holds. It needs no privilege and asks nothing of the host.

mod outside;
mod tests;
mod wide;

use crate::attempt::Access;
use crate::model::{Origin, Policy};
use crate::native;
pub use outside::unenforced;
use serde::Serialize;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Probably not what was meant, or more than is needed.
    Warning,
    /// `stockade run` refuses the policy for it.
    Error,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A stable name: `wildcard-tools`.
    pub code: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What was found.
    pub message: String,
    /// Where.
    pub origin: Option<Origin>,
    /// What to do.
    pub help: String,
}

/// Findings as they come.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        origin: Option<&Origin>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let (message, help) = (message.into(), help.into());
        self.0.push(Finding { code, severity, message, origin: origin.cloned(), help });
    }
}

/// Everything found, the worst first, then by place.
#[must_use]
pub fn check(policy: &Policy) -> Vec<Finding> {
    let mut found = Findings::default();
    wide::check(policy, &mut found);
    dead(policy, &mut found);
    outside::check(policy, &mut found);
    tests::check(policy, &mut found);
    files(policy, &mut found);
    let mut found = found.0;
    let place = |finding: &Finding| finding.origin.as_ref().map(|origin| (origin.file.clone(), origin.line));
    found.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| place(a).cmp(&place(b))));
    found
}

/// Rules that can never matter.
fn dead(policy: &Policy, found: &mut Findings) {
    for rule in &policy.unreachable {
        let message = format!("{} can never matter: {}", rule.key, rule.why);
        found.add(Severity::Warning, "unreachable", Some(&rule.origin), message, "remove it, or what makes it void");
    }
    let lists = [("fs.read", &policy.fs.read), ("fs.write", &policy.fs.write), ("fs.execute", &policy.fs.execute)];
    for (name, list) in lists {
        for (at, rule) in list.iter().enumerate() {
            let above = list.iter().enumerate().find(|(other, wider)| {
                *other != at && wider.path.covers(&rule.path) && (wider.path != rule.path || *other < at)
            });
            // Presets repeat each other; that is no fault of who stands on them.
            if let Some((_, wider)) = above.filter(|_| !rule.origin.file.starts_with("preset:")) {
                let message = format!("{} ({}) is covered by {} ({})", rule.id, rule.path, wider.id, wider.path);
                found.add(Severity::Note, "redundant", Some(&rule.origin), message, format!("remove it from {name}"));
            }
        }
    }
    let lists_exec = policy.bundle.listed.iter().any(|entry| entry.tool == "*" || entry.tool == "exec");
    for rule in policy.exec.iter().filter(|_| !lists_exec) {
        let message = format!("[[exec]] \"{}\" can never match: no list of tools names exec", rule.id);
        found.add(Severity::Warning, "unreachable", Some(&rule.origin), message, "add \"exec\" to tools.allow");
    }
    for rule in &policy.exec {
        let program = rule.command.first().map(String::as_str).unwrap_or_default();
        if !native::sight(policy, program, Access::Execute).is_ok_and(|sight| sight.allowed) {
            let message = format!("[[exec]] \"{}\" can start nothing: fs.execute does not cover {program}", rule.id);
            let help = "add it, or a directory above it, to fs.read and fs.execute";
            found.add(Severity::Warning, "unreachable", Some(&rule.origin), message, help);
        }
    }
    for entry in policy.bundle.listed.iter().filter(|entry| entry.tool == "exec" && policy.exec.is_empty()) {
        let message = format!("{} names exec, and there is no [[exec]]: no command can be run", entry.id);
        found.add(Severity::Warning, "unreachable", Some(&entry.origin), message, "add an [[exec]] entry");
    }
    let denied = |tool: &str| policy.denied.iter().find(|entry| entry.tool == tool || entry.tool == "*");
    for entry in &policy.bundle.listed {
        if let Some(deny) = denied(&entry.tool) {
            let message =
                format!("{} ({}) can never matter: {} ({}) denies it", entry.id, entry.tool, deny.id, deny.origin);
            found.add(Severity::Warning, "unreachable", Some(&entry.origin), message, "remove one of them");
        }
    }
}

/// What is to be said of the file itself.
fn files(policy: &Policy, found: &mut Findings) {
    for remark in &policy.remarks {
        let help =
            "install it where only root writes: sudo install -D -o root -m 0644 FILE /etc/stockade/policies/FILE";
        found.add(Severity::Warning, "not-trusted", None, format!("a run would refuse the file: {remark}"), help);
    }
    for (preset, origin) in &policy.unpinned {
        let newest =
            crate::presets::preset_names().find(|name| preset.strip_prefix("preset:") == name.split('@').next());
        let message = format!("\"{preset}\" names no version: another release of stockade may mean another text");
        let help = newest.map_or_else(|| "name a version".to_owned(), |name| format!("write \"preset:{name}\""));
        found.add(Severity::Note, "unpinned-preset", Some(origin), message, help);
    }
    for rule in &policy.narrowed {
        let left =
            if rule.left.is_empty() { "nothing of it is left".to_owned() } else { format!("left: {}", rule.left) };
        let message =
            format!("{} asks for {}; the host's ceiling ({}) narrows it, {left}", rule.key, rule.asked, rule.ceiling);
        found.add(
            Severity::Note,
            "narrowed",
            Some(&rule.origin),
            message,
            "ask for less, or have the host's owner widen the ceiling",
        );
    }
}
