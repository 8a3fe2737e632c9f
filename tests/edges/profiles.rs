//! A seccomp rule without a reason is a rule nobody dares to remove.

use crate::sources::{text, with_extension};
use toml::Value;

fn without_why(at: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Table(table) => table.iter().for_each(|(k, v)| without_why(&format!("{at}.{k}"), v, found)),
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                let at = format!("{at}[{i}]");
                if let Value::Table(rule) = item
                    && !is_condition(&at)
                {
                    let said = rule.get("why").and_then(Value::as_str).unwrap_or_default();
                    if said.trim().len() < 8 {
                        found.push(format!("{at}: {}", item.to_string().replace('\n', "; ")));
                    }
                }
                without_why(&at, item, found);
            }
        }
        _ => {}
    }
}

/// The conditions of one rule share the rule's reason.
fn is_condition(at: &str) -> bool {
    ["args", "when", "conditions"].iter().any(|key| at.contains(&format!(".{key}[")))
}

#[test]
fn every_seccomp_rule_says_why() {
    let profiles: Vec<_> = with_extension("toml").into_iter().filter(|p| p.starts_with("seccomp-profiles")).collect();
    assert!(!profiles.is_empty(), "no profile in seccomp-profiles/");
    for path in profiles {
        let parsed: Value = toml::from_str(&text(&path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut found = Vec::new();
        without_why("", &parsed, &mut found);
        assert!(found.is_empty(), "{}: rules without a `why` of a few words:\n{}", path.display(), found.join("\n"));
    }
}

#[test]
fn a_rule_without_a_reason_is_found() {
    let parsed: Value =
        toml::from_str("[[rule]]\ncalls=['x']\nwhy='needed to start'\n[[rule]]\ncalls=['y']\n").unwrap();
    let mut found = Vec::new();
    without_why("", &parsed, &mut found);
    assert_eq!(found.len(), 1, "{found:?}");
}
