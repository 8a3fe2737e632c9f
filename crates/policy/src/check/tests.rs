//! What no test of the policy holds.

use super::{Findings, Severity};
use crate::attempt::{Attempt, Expect};
use crate::model::Policy;

pub(super) fn check(policy: &Policy, found: &mut Findings) {
    if policy.tests.is_empty() {
        let message = "the policy has no test: nothing tells when a change of it, or of a preset, allows more";
        let help = "add [[test]] entries: one for what must work, one for what must never";
        return found.add(Severity::Warning, "no-tests", None, message, help);
    }
    if !policy.tests.iter().any(|test| test.expect == Expect::Deny) {
        let message = "no test expects a denial";
        found.add(Severity::Note, "no-deny-test", None, message, "add a [[test]] for what must never be allowed");
    }
    let called = |tool: &str| {
        let names = |attempt: &Attempt| matches!(attempt, Attempt::Call { tool: called, .. } if called == tool);
        policy.tests.iter().any(|test| names(&test.attempt) && test.expect != Expect::Deny)
    };
    for entry in policy.bundle.listed.iter().filter(|entry| !entry.origin.file.starts_with("preset:")) {
        if !entry.tool.ends_with('*') && !called(&entry.tool) {
            let message = format!("no test holds that {} ({}) works", entry.id, entry.tool);
            found.add(
                Severity::Note,
                "untested-rule",
                Some(&entry.origin),
                message,
                "add a [[test]] that expects allow",
            );
        }
    }
}
