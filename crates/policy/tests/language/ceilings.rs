//! A ceiling only narrows: what is allowed beneath it the policy allows alone, and the ceiling by its own words.

use crate::made::{Made, Rng, attempts, ceiling, loaded, parse_ceiling};
use serde_json::Value;
use stockade_policy::check::check;
use stockade_policy::diff::{Direction, diff};
use stockade_policy::host::{Endpoint, HostPattern};
use stockade_policy::{Access, Attempt, Expect, Judge, Policy, Ruling, seccomp};

fn texts<'v>(value: &'v Value, table: &str, key: &str) -> Option<Vec<&'v str>> {
    value.get(table)?.get(key)?.as_array().map(|list| list.iter().filter_map(Value::as_str).collect())
}

/// Whether a path, as records have it, lies in a tree as policies have it.
fn within(path: &str, trees: &[&str]) -> bool {
    let path = path.strip_prefix("/workspace").map_or_else(|| path.to_owned(), |rest| format!("@workspace{rest}"));
    trees.iter().any(|tree| path.strip_prefix(tree).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

fn path_passes(value: &Value, path: &str, access: Access) -> bool {
    let inside = |key| texts(value, "fs", key).is_none_or(|trees| within(path, &trees));
    let denied = texts(value, "fs", "deny").is_some_and(|trees| within(path, &trees));
    let by_access = match access {
        Access::Read => true,
        Access::Write => inside("write"),
        Access::Execute => inside("execute"),
    };
    // What may only be written in a policy is read there too: `fs.read` of the ceiling bounds both.
    !denied && inside("read") && by_access
}

fn lets_through(value: &Value, attempt: &Attempt, ruling: &Ruling, bare: &Judge<'_>) -> bool {
    match attempt {
        Attempt::Call { tool, approved, .. } => {
            let has = |list: Vec<&str>| list.iter().any(|name| name == tool || *name == "*");
            let tools = texts(value, "tools", "allow").is_none_or(has)
                && !texts(value, "tools", "deny").is_some_and(has)
                && (*approved || !texts(value, "tools", "ask").is_some_and(has));
            let path = ruling.object.starts_with("@workspace");
            let access = if tool == "workspace.write" { Access::Write } else { Access::Read };
            tools && (!path || path_passes(value, &ruling.object, access))
        }
        Attempt::Path { access, .. } => {
            // What every native cell has is not the policy's.
            let (_, path) = ruling.object.split_once(' ').unwrap();
            bare.rule(attempt).verdict == Expect::Allow || path_passes(value, path, *access)
        }
        Attempt::Host { endpoint, http } => {
            let to: Endpoint = endpoint.parse().unwrap();
            value.get("egress").and_then(Value::as_array).is_none_or(|rules| {
                rules.iter().any(|rule| {
                    let host: HostPattern = rule["host"].as_str().unwrap().parse().unwrap();
                    let port = rule.get("port").is_none_or(|port| port.as_u64() == Some(to.port.into()));
                    let method = match (rule.get("methods").and_then(Value::as_array), http) {
                        (None, _) => true,
                        (Some(methods), Some(http)) => {
                            methods.iter().any(|method| method.as_str() == Some(http.method.as_str()))
                        }
                        (Some(_), None) => false,
                    };
                    host.matches(&to.host) && port && method
                })
            })
        }
        Attempt::Syscall { name, args } => {
            let number = seccomp::syscall_number(name).unwrap();
            let own = seccomp::profile("cell-native").unwrap().decide(number.into(), *args).unwrap();
            own == seccomp::Action::Allow
                || texts(value, "syscalls", "allow").is_none_or(|names| names.contains(&name.as_str()))
        }
    }
}

#[test]
fn a_ceiling_only_narrows() {
    let folder = tempfile::tempdir().unwrap();
    let (mut rng, all) = (Rng(31), attempts());
    let bare =
        stockade_policy::parse_policy("t.toml", "version = 1\nid = \"t\"\nextends = [\"preset:base\"]\n").unwrap();
    let bare = Judge::new(&bare).unwrap();
    let (mut narrowed, mut allowed) = (0, 0);
    let mut number = 0;
    while number < 40 {
        let (made, policy) = loaded(&mut rng, folder.path());
        let value = ceiling(&mut rng);
        let Ok(beneath) = parse_ceiling(&value).and_then(|ceiling| made.load_beneath(folder.path(), &ceiling)) else {
            continue;
        };
        number += 1;
        let context = || {
            format!(
                "{}\n{}\n--- ceiling\n{}",
                made.toml(),
                made.cedar.as_deref().unwrap_or(""),
                toml::to_string(&value).unwrap()
            )
        };
        let changes = diff(&policy, &beneath).unwrap();
        let wider: Vec<_> = changes.iter().filter(|change| change.direction == Direction::Widened).collect();
        assert!(wider.is_empty(), "{wider:#?}\n{}", context());
        narrowed += usize::from(!changes.is_empty());
        let (alone, judge) = (Judge::new(&policy).unwrap(), Judge::new(&beneath).unwrap());
        for attempt in &all {
            let ruling = judge.rule(attempt);
            let before = alone.rule(attempt).verdict;
            assert!(
                ruling.verdict >= before,
                "{attempt}: {} became {}\n{}",
                before.name(),
                ruling.verdict.name(),
                context()
            );
            if ruling.verdict == Expect::Allow {
                allowed += 1;
                assert!(
                    lets_through(&value, attempt, &ruling, &bare),
                    "{attempt} is allowed by {}\n{}",
                    ruling.reason,
                    context()
                );
            }
        }
    }
    println!("{number} pairs of {} attempts: {narrowed} narrowed, {allowed} attempts allowed beneath", all.len());
    assert!(narrowed > 15 && allowed > 300, "{narrowed} {allowed}");
}

/// What is found, without the places, which differ.
fn found(policy: &Policy) -> Vec<(&'static str, String)> {
    let said = |message: &str| message.split(" (").next().unwrap_or_default().replace(".json", ".toml");
    let mut found: Vec<_> = check(policy).iter().map(|finding| (finding.code, said(&finding.message))).collect();
    found.sort();
    found
}

#[test]
fn toml_and_json_are_one_language() {
    let folder = tempfile::tempdir().unwrap();
    let (mut rng, all) = (Rng(32), attempts());
    for number in 0..30 {
        let (made, toml) = loaded(&mut rng, folder.path());
        let json = made.load_json(folder.path()).unwrap_or_else(|e| panic!("{e}\n{}", made.json()));
        assert_eq!(toml.digest, json.digest, "{}", made.json());
        assert_eq!(diff(&toml, &json).unwrap(), [], "{}", made.json());
        assert_eq!(diff(&json, &toml).unwrap(), [], "{}", made.json());
        assert_eq!(found(&toml), found(&json), "{}", made.json());
        let (of_toml, of_json) = (Judge::new(&toml).unwrap(), Judge::new(&json).unwrap());
        for attempt in all.iter().skip(number % 4).step_by(4) {
            let said = |ruling: Ruling| (ruling.verdict, ruling.layer, ruling.object, ruling.rules);
            assert_eq!(said(of_toml.rule(attempt)), said(of_json.rule(attempt)), "{attempt}\n{}", made.json());
        }
    }
    // What does not load as one does not load as the other.
    let mut refused = 0;
    for _ in 0..100 {
        let made = Made::policy(&mut rng);
        let (toml, json) = (made.load(folder.path()), made.load_json(folder.path()));
        assert_eq!(toml.is_ok(), json.is_ok(), "{}", made.json());
        refused += usize::from(toml.is_err());
    }
    assert!(refused > 3, "{refused}");
}
