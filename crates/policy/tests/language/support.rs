//! What the tests share.

use serde_json::Value;
use stockade_policy::{Bundle, Decider, Denial, Diagnostics, Facts, Grant, Policy, Request, Verdict, parse_policy};

/// A policy of `body` on top of the base preset.
pub fn with_base(body: &str) -> String {
    format!("version = 1\nid = \"t\"\nextends = [\"preset:base\"]\n{body}")
}

pub fn accept(text: &str) -> Policy {
    parse_policy("t.toml", text).unwrap_or_else(|e| panic!("{e}"))
}

pub fn refuse(text: &str) -> Diagnostics {
    match parse_policy("t.toml", text) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(findings) => findings,
    }
}

/// `line:column message | help` of every finding.
pub fn lines(findings: &Diagnostics) -> Vec<String> {
    let line = |d: &stockade_policy::Diagnostic| {
        let at = d.position.map(|(l, c)| format!("{l}:{c} ")).unwrap_or_default();
        let help = d.help.as_ref().map(|h| format!(" | {h}")).unwrap_or_default();
        format!("{at}{}{help}", d.message)
    };
    findings.iter().map(line).collect()
}

/// Decides as the shim does: from the encoded bundle.
pub fn decide(policy: &Policy, tool: &str, args: Value) -> Verdict {
    decide_with(policy, tool, args, Facts::default())
}

pub fn decide_with(policy: &Policy, tool: &str, args: Value, facts: Facts) -> Verdict {
    let bundle = Bundle::decode(&policy.bundle().encode()).unwrap();
    assert_eq!(bundle, policy.bundle());
    Decider::new(&bundle).unwrap().decide(&Request { tool, args: &args, facts })
}

pub fn allowed(policy: &Policy, tool: &str, args: Value) -> Grant {
    match decide(policy, tool, args) {
        Verdict::Allow(grant) => grant,
        Verdict::Deny(denial) => panic!("{denial}"),
        Verdict::Ask(question) => panic!("{question}"),
    }
}

pub fn denied(policy: &Policy, tool: &str, args: Value) -> Denial {
    match decide(policy, tool, args) {
        Verdict::Allow(grant) => panic!("{}", grant.reason()),
        Verdict::Deny(denial) => denial,
        Verdict::Ask(question) => panic!("{question}"),
    }
}
