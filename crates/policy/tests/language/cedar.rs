//! The author's own Cedar: strict, named, and denying on any error.

use crate::support::{allowed, denied, lines};
use serde_json::json;
use std::fs;
use stockade_policy::code::Op;
use stockade_policy::{Bundle, Decider, Diagnostics, Facts, Policy, Request, Verdict, load};

pub fn with_cedar(toml: &str, cedar: &str) -> Result<Policy, Diagnostics> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p.toml");
    fs::write(
        &file,
        format!("version = 1\nid = \"t\"\nextends = [\"preset:base\"]\n{toml}\ncedar = [\"tools.cedar\"]\n"),
    )
    .unwrap();
    fs::write(folder.path().join("tools.cedar"), cedar).unwrap();
    load(&file)
}

fn refused(cedar: &str) -> Vec<String> {
    lines(&with_cedar("[tools]", cedar).expect_err("accepted"))
}

pub const OPEN: &str = "[fs]\nwrite = [\"@workspace\"]\n[tools]\nallow = [\"*\"]";

#[test]
fn a_forbid_narrows_and_names_itself() {
    let p = with_cedar(OPEN, "\n@id(\"no-secrets\")\n@reason(\"keys stay here\")\nforbid (principal, action in [Action::\"workspace.read\"], resource)\nwhen { context.args.path like \"*.pem\" };\n\nforbid (principal, action == Action::\"random\", resource) when { context.args.length > 64 };").unwrap();
    allowed(&p, "workspace.read", json!({"path": "a.txt"}));
    let d = denied(&p, "workspace.read", json!({"path": "k/a.pem"}));
    assert_eq!(d.rule.as_deref(), Some("no-secrets"));
    assert_eq!(d.origin.unwrap().to_string(), "tools.cedar:2");
    assert_eq!(d.reason, "rule no-secrets denies it: keys stay here");
    let d = denied(&p, "random", json!({"length": 65}));
    assert_eq!((d.rule.as_deref(), d.origin.as_ref().unwrap().line), (Some("tools.cedar#1"), 7));
    assert_eq!(d.for_agent()["rule"], json!(null), "its id holds a file's name");
    allowed(&p, "random", json!({"length": 64}));
}

#[test]
fn a_permit_allows_a_tool_but_reaches_past_no_gate() {
    let p =
        with_cedar("[fs]\nread = [\"@workspace/docs\"]\n[tools]", "@id(\"all\") permit (principal, action, resource);")
            .unwrap();
    assert_eq!(allowed(&p, "clock", json!({})).rules(), ["all"]);
    allowed(&p, "workspace.read", json!({"path": "docs/a"}));
    assert_eq!(denied(&p, "workspace.read", json!({"path": "a"})).reason, "no fs.read rule covers @workspace/a");
    assert_eq!(
        denied(&p, "workspace.write", json!({"path": "docs/a", "content": ""})).reason,
        "no fs.write rule covers @workspace/docs/a"
    );
    assert_eq!(denied(&p, "exec", json!({"argv": ["/bin/sh"]})).reason, "tools.allow does not list exec");
    let some = with_cedar(
        "[fs]\nread = [\"@workspace\"]\n[tools]",
        "permit (principal, action == Action::\"workspace.read\", resource in Path::\"@workspace/docs\");",
    )
    .unwrap();
    assert_eq!(
        denied(&some, "workspace.read", json!({"path": "x"})).reason,
        "no rule allows this call of workspace.read"
    );
}

#[test]
fn context_is_typed_by_the_tool() {
    let p = with_cedar(
        &format!("[[exec]]\nid = \"git\"\ncommand = [\"/usr/bin/git\"]\nwall = \"1s\"\n{OPEN}"),
        "forbid (principal, action == Action::\"exec\", resource == Program::\"/usr/bin/git\") when { context.args.argv.contains(\"--exec-path\") || context.args.argc > 4 };\n\
         forbid (principal, action == Action::\"exec\", resource) when { context.args has timeout_ms && context.args.timeout_ms > 1000 };\n\
         forbid (principal, action == Action::\"workspace.write\", resource) when { context.args.mode == \"append\" || context.args.size > 10 };",
    )
    .unwrap();
    allowed(&p, "exec", json!({"argv": ["/usr/bin/git", "log"]}));
    denied(&p, "exec", json!({"argv": ["/usr/bin/git", "--exec-path"]}));
    denied(&p, "exec", json!({"argv": ["/usr/bin/git", "1", "2", "3", "4"]}));
    denied(&p, "exec", json!({"argv": ["/usr/bin/git"], "timeout_ms": 1001}));
    denied(&p, "workspace.write", json!({"path": "a", "content": "", "mode": "append"}));
    denied(&p, "workspace.write", json!({"path": "a", "content": "0123456789a"}));
    allowed(&p, "workspace.write", json!({"path": "a", "content": "0123456789"}));
}

#[test]
fn an_evaluation_error_denies() {
    // Strict validation leaves arithmetic: an overflow is an error, and Cedar would skip the policy.
    let p = with_cedar(OPEN, "@id(\"sum\") forbid (principal, action == Action::\"workspace.read\", resource) when { context.args.offset + 9223372036854775807 > 5 && context.args.length == 0 };").unwrap();
    allowed(&p, "workspace.read", json!({"path": "a", "offset": 0}));
    let d = denied(&p, "workspace.read", json!({"path": "a", "offset": 1}));
    assert!(d.reason.starts_with("a rule could not be evaluated, so the call is denied: "), "{}", d.reason);
    assert!(d.reason.contains("sum"), "{}", d.reason);
    assert_eq!(
        (d.rule.as_deref(), d.origin.unwrap().line, d.fix.as_deref()),
        (Some("sum"), 1, Some("correct sum at tools.cedar:1"))
    );
}

#[test]
fn what_is_not_strictly_valid_is_refused_with_its_place() {
    let table = [
        ("permit (principal, action, resource)", "1:", "Cedar syntax"),
        ("permit (principal, action == Action::\"shell\", resource);", "1:", "Action::\"shell\""),
        ("permit (principal, action, resource == File::\"x\");", "1:", "File"),
        (
            "\nforbid (principal, action == Action::\"clock\", resource) when { context.args.path == \"x\" };",
            "2:",
            "path",
        ),
        (
            "forbid (principal, action == Action::\"random\", resource) when { context.args.length == \"1\" };",
            "1:",
            "type",
        ),
        ("forbid (principal, action == Action::\"exec\", resource) when { context.rule == \"x\" };", "1:", "rule"),
        ("forbid (principal, action == Action::\"clock\", resource) when { 1 == 2 };", "1:", ""),
        ("forbid (principal, action, resource in Path::\"@workspace/../x\");", "1:1", "can never be part of a call"),
        ("forbid (principal, action, resource in Path::\"docs\");", "1:1", "can never be part of a call"),
        ("forbid (principal, action, resource == Program::\"git\");", "1:1", "can never be part of a call"),
        ("@id(\"fs.deny[0]\") forbid (principal, action, resource);", "1:1", "is not a name for a rule"),
        ("@id(\"tools.x\") forbid (principal, action, resource);", "1:1", "is not a name for a rule"),
        ("@id(\"a b\") forbid (principal, action, resource);", "1:1", "is not a name for a rule"),
        ("forbid (principal == ?principal, action, resource);", "", "no templates"),
    ];
    for (text, place, word) in table {
        let found = refused(text);
        assert!(found.iter().any(|f| f.starts_with(place) && f.contains(word)), "{text}\n{found:#?}");
    }
    let twice =
        refused("@id(\"a\") forbid (principal, action, resource);\n@id(\"a\") permit (principal, action, resource);");
    assert_eq!(twice, ["the id \"a\" is taken by the rule at tools.cedar:1 | give it another @id"]);
}

#[test]
fn depth_and_size_do_not_bring_it_down() {
    let deep =
        |n: usize| format!("permit (principal, action, resource) when {{ {}true{} }};", "(".repeat(n), ")".repeat(n));
    assert_eq!(refused(&deep(100_000)), ["1:76 brackets are nested deeper than 32 | write several policies"]);
    // Just under the bound everything is still looked at.
    let found = refused(&format!("permit (principal, action, resource) when {{ context{} == 1 }};", ".a".repeat(380)));
    assert!(found[0].contains("attribute"), "{found:?}");
    for text in [
        format!("permit (principal, action, resource) when {{ {}true }};", "!".repeat(100_000)),
        format!("permit (principal, action, resource) when {{ {}true }};", "true && ".repeat(20_000)),
        format!("permit (principal, action, resource) when {{ {} }};", "if true then true else ".repeat(5_000)),
        format!("permit (principal, action, resource) when {{ context{} == 1 }};", ".a".repeat(20_000)),
        format!("permit (principal, action, resource) when {{ 1{} == 1 }};", "+1".repeat(20_000)),
        format!("permit (principal, action, resource) {};", "when { true }".repeat(20_000)),
        "permit (principal, action, resource);".repeat(2_000),
        "\u{0}".to_owned(),
        "@id(\"".to_owned(),
    ] {
        assert!(with_cedar(OPEN, &text).is_err(), "{:.80}", text);
    }
}

#[test]
fn a_bundle_that_was_changed_is_refused() {
    let p = with_cedar(OPEN, "@id(\"a\") forbid (principal, action == Action::\"clock\", resource);").unwrap();
    let mut bundle = p.bundle();
    bundle.rules[0].code.when = vec![Op::Context, Op::And];
    assert_eq!(
        Decider::new(&bundle).unwrap_err().to_string(),
        "rule tools.allow[0]: its code has too few or too many operands"
    );
    let bytes = p.bundle().encode();
    assert_ne!(Bundle::name(&bundle.encode()), Bundle::name(&bytes), "and it has another name");
    assert_eq!(Bundle::name(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert!(Bundle::decode(&bytes[..bytes.len() - 1]).is_err());
    assert!(Bundle::decode(&[]).is_err());
    let other = String::from_utf8(bytes).unwrap().replacen("\"version\":4", "\"version\":5", 1);
    assert_eq!(
        Bundle::decode(other.as_bytes()).unwrap_err().to_string(),
        "policy bundle of version 5; this program reads version 4"
    );
    let decider = Decider::new(p.bundle()).unwrap();
    assert!(matches!(
        decider.decide(&Request { tool: "clock", args: &json!({}), facts: Facts::default() }),
        Verdict::Deny(_)
    ));
}
