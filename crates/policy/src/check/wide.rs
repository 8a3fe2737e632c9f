//! What is allowed by the handful, and what an agent could leave for others to trust.

use super::{Findings, Severity};
use crate::model::{FsRule, Policy, SyscallAction};
use crate::path::PathRule;

/// Places of a workspace that programs outside of it run or obey: who writes there acts as who works there.
const TRUSTED_LATER: [&str; 4] = [".git", ".envrc", ".vscode", ".github"];

pub(super) fn check(policy: &Policy, found: &mut Findings) {
    for entry in policy.bundle.listed.iter().filter(|entry| entry.tool == "*") {
        let message = format!("{} allows every tool, those of later versions too", entry.id);
        found.add(Severity::Warning, "wildcard-tools", Some(&entry.origin), message, "name the tools the agent needs");
    }
    for entry in policy.bundle.listed.iter().filter(|entry| entry.tool.ends_with(".*")) {
        let message = format!("{} allows every tool of the server's approved list", entry.id);
        found.add(Severity::Note, "wildcard-tools", Some(&entry.origin), message, "name the tools the agent needs");
    }
    for rule in
        policy.bundle.rules.iter().filter(|rule| rule.author && !rule.code.forbid && rule.code.actions.is_none())
    {
        let message = format!("the Cedar policy {} permits every action, those of later versions too", rule.id);
        found.add(Severity::Warning, "wildcard-tools", rule.origin.as_ref(), message, "name the actions it is for");
    }
    workspace(policy, found);
    executables(policy, found);
    for rule in &policy.syscalls {
        if rule.action == SyscallAction::Allow {
            let names: Vec<&str> = rule.calls.iter().map(|(_, name)| name.as_str()).collect();
            let message = format!("syscalls beyond the profile: {}", names.join(", "));
            found.add(Severity::Note, "more-syscalls", Some(&rule.origin), message, "keep the reason in `why` current");
        }
    }
    for name in &policy.env_pass {
        let upper = name.to_ascii_uppercase();
        if ["TOKEN", "SECRET", "PASSWORD", "PASSWD", "API_KEY", "APIKEY", "CREDENTIAL", "PRIVATE"]
            .iter()
            .any(|word| upper.contains(word))
        {
            let message = format!("env.pass hands {name} to the agent, and by its name it is a secret");
            let help = "use a [[secret]], which never enters the cell";
            found.add(Severity::Warning, "credential-in-env", None, message, help);
        }
    }
}

/// Files that somebody outside would later trust.
fn workspace(policy: &Policy, found: &mut Findings) {
    let whole = |rule: &&FsRule| rule.path == PathRule::Workspace(String::new());
    let Some(rule) = policy.fs.write.iter().find(whole) else { return };
    let open: Vec<&str> = TRUSTED_LATER
        .into_iter()
        .filter(|place| {
            let tree = PathRule::Workspace((*place).to_owned());
            let part = |denied: &PathRule| denied.covers(&tree) || tree.covers(denied);
            !policy.fs.deny.iter().any(|deny| part(&deny.path))
        })
        .collect();
    if !open.is_empty() {
        let message = format!(
            "{} lets the agent write all of the workspace, also what others run or obey later: {}",
            rule.id,
            open.join(", ")
        );
        let help = "add them to fs.deny, as in deny = [\"@workspace/.git/hooks\"], or name narrower trees";
        found.add(Severity::Note, "trusted-later", Some(&rule.origin), message, help);
    }
}

/// Trees in which the agent can both write and execute.
fn executables(policy: &Policy, found: &mut Findings) {
    for rule in &policy.fs.execute {
        let written =
            policy.fs.write.iter().find(|write| write.path.covers(&rule.path) || rule.path.covers(&write.path));
        if let Some(write) = written {
            let message = format!("{} and {} overlap: the agent can execute what it writes", rule.id, write.id);
            let help = "keep them apart if the agent builds nothing that it runs";
            found.add(Severity::Note, "write-execute", Some(&rule.origin), message, help);
        }
    }
}
