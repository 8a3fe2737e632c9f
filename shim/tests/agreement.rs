//! What `stockade policy explain` says of a call is what the shim does and records.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;
#[path = "../../crates/policy/tests/made/mod.rs"]
mod made;

use std::os::fd::AsFd;

use common::{Rig, send};
use made::{Rng, attempts, loaded};
use serde_json::{Value, json};
use stockade_journal::{Call, Entry, Payload, Record};
use stockade_policy::{Attempt, Counts, Decider, Expect, Facts, Judge, Request, Ruling, Verdict, parse_policy};
use stockade_wire::control::{ExitStatus, ToShim, ToSupervisor};

const POLICIES: usize = 25;
const CALLS: usize = 40;

/// One call, up to its answer; an `exec` that is allowed runs and says nothing.
fn call(rig: &mut Rig, tool: &str, args: &Value, allowed: bool) {
    let id = rig.ask(tool, &serde_json::to_vec(args).unwrap());
    if allowed && tool == "exec" {
        let Some(ToSupervisor::LaunchTool { cell, .. }) = rig.receive() else { panic!("no launch of {args}") };
        let (out, out_w) = std::io::pipe().unwrap();
        let (err, err_w) = std::io::pipe().unwrap();
        send(&rig.control, &ToShim::ToolStarted { cell, enforcement: json!({}) }, &[out.as_fd(), err.as_fd()]);
        drop((out_w, err_w));
        rig.send(&ToShim::ToolExited { cell, status: ExitStatus::Code(0) });
    }
    rig.answer(id);
}

fn calls(entries: &[Entry]) -> Vec<Call> {
    let call = |entry: &Entry| match &entry.record {
        Record::Call(call) => Some(call.clone()),
        _ => None,
    };
    entries.iter().filter_map(call).collect()
}

/// Tools that are none, and arguments and paths that fit none.
fn odd(rng: &mut Rng) -> (String, Value) {
    let long = "x".repeat(300);
    let tools = [
        "workspace.read",
        "workspace.write",
        "workspace.list",
        "workspace.stat",
        "clock",
        "random",
        "exec",
        "",
        "*",
        "Workspace.read",
        "http.get",
        "clock ",
        "mcp.git.log",
        "mcp.",
        "\u{1b}[2J",
        "\u{202e}",
        // The longest that a frame takes is little more.
        &long[..120],
    ];
    let deep = (0..12).fold(json!("x"), |inner, _| json!([inner]));
    let args = [
        json!({}),
        json!([]),
        json!(null),
        json!("x"),
        json!(1e300),
        deep,
        json!({ "path": "/etc/passwd" }),
        json!({ "path": "" }),
        json!({ "path": "a/../b" }),
        json!({ "path": "a\u{0}b" }),
        json!({ "path": "./a//b/./" }),
        json!({ "path": "é\u{202e}" }),
        json!({ "path": long }),
        json!({ "path": 1 }),
        json!({ "path": "a", "offset": -1 }),
        json!({ "path": "a", "length": 0 }),
        json!({ "path": "a", "content": "x", "mode": "create" }),
        json!({ "path": "a", "content_base64": "QUI=" }),
        json!({ "path": "a", "content": "x", "content_base64": "QUI=" }),
        json!({ "length": 4097 }),
        json!({ "length": "1" }),
        json!({ "argv": [] }),
        json!({ "argv": ["git"] }),
        json!({ "argv": ["/usr/bin/../bin/git"] }),
        json!({ "argv": ["/usr/bin/git", "\u{0}"] }),
        json!({ "argv": ["/usr/bin/git"], "timeout_ms": 1 }),
        json!({ "tz": "UTC" }),
        json!({ "path": "a", "\u{1b}": 1 }),
    ];
    ((*rng.one(&tools)).to_owned(), rng.one(&args).clone())
}

fn assert_same(ruling: &Ruling, call: &Call, context: &str) {
    let verdict = if ruling.verdict == Expect::Allow { "allow" } else { "deny" };
    assert_eq!(call.decision, verdict, "{context}");
    match &ruling.denial {
        None => {
            assert_eq!(
                (call.layer.as_str(), &call.rules, &call.reason),
                (ruling.layer, &ruling.rules, &ruling.reason),
                "{context}"
            );
            assert_eq!(call.denial, None, "{context}");
        }
        // All of it: layer, rule, file and line, object, reason, and what would allow it.
        Some(denial) => {
            // A policy alone knows of no approval; a run without an operator says why there is none.
            let run = |text: &str| text.replace("and there is none", "and the run was started with nobody to give one");
            let record = serde_json::from_str(&run(&denial.record().to_string())).unwrap();
            assert_eq!(call.denial, Some(record), "{context}");
            assert_eq!(call.layer, denial.layer, "{context}");
            assert_eq!(call.rules, denial.rule.iter().cloned().collect::<Vec<_>>(), "{context}");
            assert_eq!(call.reason, run(&denial.to_string()), "{context}");
            if ruling.verdict == Expect::Deny {
                let said = (ruling.layer, &ruling.object, &ruling.reason, &ruling.origin);
                assert_eq!(said, (denial.layer, &denial.object, &denial.reason, &denial.origin), "{context}");
            }
        }
    }
}

#[test]
fn explain_and_the_running_shim_agree_on_a_thousand_calls() {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = Rng(21);
    let near: Vec<Attempt> =
        attempts().into_iter().filter(|attempt| matches!(attempt, Attempt::Call { approved: false, .. })).collect();
    let mut seen = [0; 3];
    for number in 0..POLICIES {
        // The shim counts calls and has a clock; explain starts at nought. Limits of calls are low in some.
        let (made, policy) = loop {
            let (made, policy) = loaded(&mut rng, folder.path());
            let moving =
                made.cedar.as_ref().is_some_and(|text| text.contains("context.calls") || text.contains("context.now"));
            if !moving && policy.limits.calls >= CALLS as u64 {
                break (made, policy);
            }
        };
        let judge = Judge::new(&policy).unwrap();
        let mut rig = Rig::running_bundle(&policy.bundle().encode());
        let mut said = Vec::new();
        // Random calls of a random policy are mostly denied; half are of those that are not, where there are any.
        let open: Vec<Attempt> =
            near.iter().filter(|attempt| judge.rule(attempt).verdict != Expect::Deny).cloned().collect();
        for _ in 0..CALLS {
            let chosen = if open.is_empty() || rng.below(2) == 0 { rng.one(&near) } else { rng.one(&open) };
            let (tool, args) = match chosen {
                Attempt::Call { tool, args, .. } if rng.below(4) > 0 => (tool.clone(), args.clone()),
                _ => odd(&mut rng),
            };
            let ruling = judge.rule(&Attempt::Call { tool: tool.clone(), args: args.clone(), approved: false });
            call(&mut rig, &tool, &args, ruling.verdict == Expect::Allow);
            seen[ruling.verdict as usize] += 1;
            said.push((tool, args, ruling));
        }
        let calls = calls(&rig.end());
        assert_eq!(calls.len(), CALLS);
        for ((tool, args, ruling), call) in said.iter().zip(&calls) {
            let context = || {
                format!("policy {number}, {tool:?} {args}\n{}\n{}", made.toml(), made.cedar.as_deref().unwrap_or(""))
            };
            assert_eq!(&call.tool, tool);
            assert!(matches!(&call.args, Payload::Inline(recorded) if recorded == args), "{}", context());
            assert_eq!(call.policy_digest, policy.digest);
            assert_same(ruling, call, &context());
        }
    }
    println!("{} calls: {} allowed, {} to be approved, {} denied", POLICIES * CALLS, seen[0], seen[1], seen[2]);
    assert!(seen.iter().all(|n| *n > 10), "{seen:?}");
}

#[test]
fn rates_and_counts_are_decided_by_the_same_code() {
    let text = r#"
version = 1
id = "test"
extends = ["preset:base"]
[limits]
calls_per_minute = { clock = 3, "*" = 9 }
[tools]
allow = ["clock", "random"]
"#;
    let policy = parse_policy("test.toml", text).unwrap();
    let decider = Decider::new(policy.bundle()).unwrap();
    let mut rig = Rig::running_with(text);
    let script =
        ["clock", "random", "clock", "?", "clock", "clock", "random", "clock", "random", "random", "clock", "random"];
    let (mut said, mut limited) = (Vec::new(), 0);
    for (number, tool) in script.iter().enumerate() {
        let args = if *tool == "random" { json!({ "length": 1 }) } else { json!({}) };
        let all = number as u64;
        let own = if *tool == "?" { 0 } else { script[..number].iter().filter(|t| *t == tool).count() as u64 };
        // The script takes no minute.
        let calls = Counts { total: all, tool: own, minute: own, minute_all: all };
        said.push(decider.decide(&Request { tool, args: &args, facts: Facts { calls, ..Facts::default() } }));
        rig.call(tool, args);
    }
    let calls = calls(&rig.end());
    assert_eq!(calls.len(), script.len());
    for (verdict, call) in said.iter().zip(&calls) {
        match verdict {
            Verdict::Allow(grant) => {
                assert_eq!((call.decision.as_str(), call.rules.as_slice()), ("allow", grant.rules()))
            }
            Verdict::Deny(denial) => {
                assert_eq!(call.denial, Some(denial.record()));
                limited += usize::from(denial.rule.as_ref().is_some_and(|rule| rule.contains("calls_per_minute")));
            }
            Verdict::Ask(question) => panic!("{question}"),
        }
    }
    assert_eq!(limited, 5, "two of the clock's own, three beyond nine");
}
