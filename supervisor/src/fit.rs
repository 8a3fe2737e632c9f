//! What a policy asks that this host, or this version, does not enforce.
//!
//! `stockade run` refuses at the first of these; `stockade policy check --host` lists them all. Both ask the same
//! functions.

use stockade_policy::{Origin, Policy};

use crate::cgroup::Hierarchies;
use crate::error::RunError;
use crate::landlock_abi;
use crate::planner;

/// One thing that would keep the policy from running here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// A stable name: `unenforced`, `landlock`, `cgroup-io`, `host-path`, `syscall`.
    pub code: &'static str,
    /// What is missing, and what to do.
    pub message: String,
    /// Where the policy asks for it.
    pub origin: Option<Origin>,
}

impl Gap {
    pub(crate) fn at(code: &'static str, origin: &Origin, message: String) -> Self {
        Self { code, message, origin: Some(origin.clone()) }
    }

    fn of(code: &'static str, error: &RunError) -> Self {
        Self { code, message: error.to_string(), origin: None }
    }
}

impl From<Gap> for RunError {
    fn from(gap: Gap) -> Self {
        Self::Policy(match gap.origin {
            Some(origin) => format!("{origin}: {}", gap.message),
            None => gap.message,
        })
    }
}

/// Everything that would keep the policy from running here, in the order of the policy's sections.
#[must_use]
pub fn gaps(policy: &Policy) -> Vec<Gap> {
    let mut found = Vec::new();
    if let Err(error) = landlock_abi::choose(&policy.require.degrade_ok) {
        found.push(Gap::of("landlock", &error));
    }
    if let Err(error) = Hierarchies::can_limit_io(policy) {
        found.push(Gap::of("cgroup-io", &error));
    }
    found.extend(planner::host_gaps(policy));
    found.extend(unenforced(policy));
    found
}

/// Sections that are decided, tested and explained, and that no part of this version enforces.
pub(crate) fn unenforced(policy: &Policy) -> Vec<Gap> {
    let gap = |what: String, lacks: &str, origin: &Origin| {
        Gap::at("unenforced", origin, format!("{what}: no part of this version {lacks}; take it out of what is run"))
    };
    let mut found = Vec::new();
    for rule in &policy.sockets {
        found.push(gap(format!("sockets.unix {:?}", rule.path), "tells one Unix socket from another", &rule.origin));
    }
    for rule in &policy.exec {
        let own = policy.of_exec(&rule.id);
        if !std::ptr::eq(own, policy) {
            let of = |gap: Gap| Gap::at(gap.code, &rule.origin, format!("[[exec]] {:?}: {}", rule.id, gap.message));
            found.extend(unenforced(own).into_iter().chain(unreached(own)).map(of));
        }
    }
    for rule in &policy.mcp {
        // What its cell is to have is enforced like any native cell's, or not at all.
        let own =
            policy.of_server(&rule.name).map(|own| [unenforced(own), unreached(own)].concat()).unwrap_or_default();
        let of = |gap: Gap| Gap::at(gap.code, &rule.origin, format!("[[mcp]] {:?}: {}", rule.name, gap.message));
        found.extend(own.into_iter().map(of));
    }
    for rule in &policy.models {
        found.push(gap(format!("[[model]] {:?}", rule.name), "calls models", &rule.origin));
    }
    found
}

/// Places outside of a cell under another policy than the run's, by which connections are decided.
fn unreached(policy: &Policy) -> Vec<Gap> {
    let one = |rule: &stockade_policy::EgressRule| {
        let message =
            format!("[[egress]] {:?}: only cells under the run's own policy reach anything; take it out", rule.id);
        Gap::at("unenforced", &rule.origin, message)
    };
    policy.egress.iter().map(one).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use stockade_policy::parse_policy;

    #[test]
    fn what_no_part_enforces_is_named_with_its_line() {
        let text = "version = 1\nid = \"t\"\nextends = [\"preset:base@1\"]\n\n[sockets]\nunix = [\"/run/x\"]\n";
        let policy = parse_policy("t.toml", text).unwrap();
        let found = unenforced(&policy);
        assert_eq!(found.len(), 1);
        let error = RunError::from(found.into_iter().next().unwrap());
        assert_eq!(error.exit_code(), 10);
        assert!(error.to_string().starts_with("t.toml:6: sockets.unix \"/run/x\": no part"), "{error}");
    }

    #[test]
    fn a_host_path_that_is_not_there_is_a_gap() {
        let text = "version = 1\nid = \"t\"\nextends = [\"preset:base@1\"]\n[fs]\nread = [\"/nowhere/at/all\"]\n";
        let policy = parse_policy("t.toml", text).unwrap();
        let found: Vec<Gap> = gaps(&policy).into_iter().filter(|gap| gap.code == "host-path").collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found.first().unwrap().origin.as_ref().unwrap().line, 5);
    }
}
