//! Decisions that turn on the moment: on an approval, on the clock, on how many calls there were; and what a
//! denial says it would take.

use crate::cedar::{OPEN, with_cedar};
use crate::support::{accept, allowed, decide_with, denied, with_base};
use serde_json::{Value, json};
use stockade_policy::{Approval, Bundle, Counts, Decider, Facts, Fix, Policy, Question, Request, Verdict};

const PROD: &str = "@id(\"prod\") @reason(\"a person looks first\")\n\
    forbid (principal, action == Action::\"workspace.write\", resource in Path::\"@workspace/prod\")\n\
    unless { context.approved };";

fn question(policy: &Policy, tool: &str, args: Value) -> Question {
    match decide_with(policy, tool, args, Facts::default()) {
        Verdict::Ask(question) => question,
        other => panic!("{other:?}"),
    }
}

fn write(path: &str, content: &str) -> Value {
    json!({"path": path, "content": content})
}

fn decider(policy: &Policy) -> Decider {
    Decider::new(policy.bundle()).unwrap()
}

#[test]
fn what_only_an_approval_would_allow_is_asked() {
    let p = with_cedar(OPEN, PROD).unwrap();
    allowed(&p, "workspace.write", write("test/a", ""));
    let q = question(&p, "workspace.write", write("prod/a", "x"));
    assert_eq!(q.rules(), ["prod"]);
    assert_eq!(q.reason(), "prod (tools.cedar:1): a person looks first");
    assert_eq!(q.call().object(), "@workspace/prod/a");
    let denial = q.refused("nobody is there");
    assert_eq!((denial.layer, denial.fixable, denial.object.as_str()), ("approval", true, "@workspace/prod/a"));
    assert!(!denial.for_agent().to_string().contains("tools.cedar"), "{}", denial.for_agent());
    assert!(denial.to_string().contains("prod (tools.cedar:1)"), "{denial}");

    let approval = Approval { hash: q.hash().to_owned() };
    let grant = decider(&p).approve(q, &approval).unwrap();
    assert_eq!((grant.rules(), grant.object().as_str()), (&["tools.allow[0]".to_owned()][..], "@workspace/prod/a"));
    // A permit may ask as well as a forbid.
    let p = with_cedar(
        "[tools]",
        "@id(\"luck\") permit (principal, action == Action::\"random\", resource) when { context.approved };",
    )
    .unwrap();
    assert_eq!(question(&p, "random", json!({"length": 1})).rules(), ["luck"]);
}

#[test]
fn an_approval_opens_one_action_of_one_policy() {
    let p = with_cedar(OPEN, PROD).unwrap();
    let hash = |args| question(&p, "workspace.write", args).hash().to_owned();
    let one = hash(write("prod/a", "x"));
    assert_eq!(one, hash(json!({"content": "x", "path": "prod/a"})), "order of keys does not count");
    for other in
        [write("prod/b", "x"), write("prod/a", "y"), json!({"path": "prod/a", "content": "x", "mode": "append"})]
    {
        assert_ne!(one, hash(other));
    }
    let asked = question(&p, "workspace.write", write("prod/a", "x"));
    let denial = decider(&p).approve(asked, &Approval { hash: hash(write("prod/a", "y")) }).unwrap_err();
    assert!(denial.reason.starts_with("the approval is for another action"), "{denial}");

    let stricter =
        with_cedar(OPEN, &format!("{PROD}\nforbid (principal, action == Action::\"clock\", resource);")).unwrap();
    let asked = question(&p, "workspace.write", write("prod/a", "x"));
    let denial = decider(&stricter).approve(asked, &Approval { hash: one }).unwrap_err();
    assert!(denial.reason.starts_with("the call was asked about under another policy"), "{denial}");
}

#[test]
fn what_an_approval_does_not_mend_is_denied() {
    // Another rule denies as well.
    let p = with_cedar(
        OPEN,
        &format!("{PROD}\n@id(\"keys\") forbid (principal, action, resource in Path::\"@workspace/prod/keys\");"),
    )
    .unwrap();
    assert_eq!(denied(&p, "workspace.write", write("prod/keys/a", "")).rule.as_deref(), Some("keys"));
    // A rule fails, be it only as long as nobody has approved.
    let p = with_cedar(OPEN, &format!("{PROD}\n@id(\"sum\") forbid (principal, action == Action::\"workspace.write\", resource) when {{ !context.approved && context.args.size + 9223372036854775807 > 5 }};")).unwrap();
    let d = denied(&p, "workspace.write", write("prod/a", "x"));
    assert!(d.reason.contains("sum"), "{d}");
    // Who is told to take it for approved is not asked.
    let facts = Facts { approved: true, ..Facts::default() };
    assert!(matches!(decide_with(&p, "workspace.write", write("prod/a", "x"), facts), Verdict::Allow(_)));
}

#[test]
fn the_clock_and_the_counts_are_facts() {
    let office = "forbid (principal, action == Action::\"clock\", resource)\n\
        unless { context.now.weekday <= 5 && context.now.hour >= 9 && (context.now.hour < 17 || context.now.minute < 30) };\n\
        @id(\"rate\") forbid (principal, action == Action::\"random\", resource)\n\
        when { context.calls.minute >= 3 || context.calls.minute_all >= 10 || context.calls.tool >= 20 || context.calls.total >= 100 };";
    let p = with_cedar(OPEN, office).unwrap();
    let bundle = Bundle::decode(&p.bundle().encode()).unwrap();
    let decider = Decider::new(&bundle).unwrap();
    let at = |now| {
        let facts = Facts { now, ..Facts::default() };
        matches!(decider.decide(&Request { tool: "clock", args: &json!({}), facts }), Verdict::Allow(_))
    };
    let monday = 1_795_996_800;
    for (hours, minutes, open) in
        [(8, 59, false), (9, 0, true), (17, 29, true), (17, 30, false), (5 * 24 + 10, 0, false), (7 * 24 + 10, 0, true)]
    {
        assert_eq!(at(monday + hours * 3600 + minutes * 60), open, "{hours}:{minutes}");
    }
    let count = |calls| {
        let facts = Facts { calls, ..Facts::default() };
        matches!(decider.decide(&Request { tool: "random", args: &json!({"length": 1}), facts }), Verdict::Allow(_))
    };
    let free = Counts { total: 99, tool: 19, minute: 2, minute_all: 9 };
    assert!(count(free));
    for full in [
        Counts { total: 100, ..free },
        Counts { tool: 20, ..free },
        Counts { minute: 3, ..free },
        Counts { minute_all: 10, ..free },
        Counts { total: u64::MAX, ..free },
    ] {
        assert!(!count(full), "{full:?}");
    }
}

#[test]
fn a_denial_says_every_change_it_takes() {
    let p = accept(&with_base(
        "[tools]\ndeny = [\"workspace.write\"]\n[fs]\nread = [\"@workspace/docs\"]\ndeny = [\"@workspace/docs/x\"]",
    ));
    let d = denied(&p, "workspace.write", write("docs/x/a", ""));
    let fix = |key: &str, change: &str, line| Fix {
        key: key.into(),
        change: change.into(),
        file: Some("t.toml".into()),
        line,
    };
    assert_eq!(
        d.fixes,
        [
            fix("tools.allow", "add \"workspace.write\"", None),
            fix("fs.deny[0]", "remove or narrow", Some(8)),
            fix("tools.deny[0]", "remove or narrow", Some(5)),
            fix("fs.write", "add it, or a directory above it,", None),
        ]
    );
    assert_eq!(
        d.fix.as_deref(),
        Some(
            "add \"workspace.write\" to tools.allow in t.toml and remove or narrow fs.deny[0] at t.toml:8 and \
             remove or narrow tools.deny[0] at t.toml:5 and add it, or a directory above it, to fs.write in t.toml"
        )
    );
    let record = d.record();
    assert_eq!((&record["rule"], &record["origin"]["line"]), (&json!("fs.deny[0]"), &json!(8)));
    assert_eq!(record["fixes"].as_array().map(Vec::len), Some(4));
    // Applied, they do allow it.
    let p = accept(&with_base(
        "[tools]\nallow = [\"workspace.write\"]\n[fs]\nread = [\"@workspace/docs\"]\nwrite = [\"@workspace/docs/x/a\"]",
    ));
    allowed(&p, "workspace.write", write("docs/x/a", ""));
}
