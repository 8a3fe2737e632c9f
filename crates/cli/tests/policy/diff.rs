//! `stockade policy diff`.

use crate::{Place, golden, policy};

#[test]
fn groups_by_direction_and_layer() {
    let b = policy()
        .replace("\"256MiB\"", "\"512MiB\"")
        .replace("pids      = 32", "pids      = 8")
        .replace("out\"]", "out\", \"@workspace/log\"]");
    let place = Place::with(&[("a.toml", &policy()), ("b.toml", &b)]);
    golden("policy-diff.txt", &place.policy(&["diff", "a.toml", "b.toml"]).ends(0).out);
    place.policy(&["diff", "--fail-on", "widen", "a.toml", "b.toml"]).ends(17);
    let json = place.policy(&["diff", "--json", "a.toml", "b.toml"]).ends(0).json();
    assert_eq!((&json["widened"], &json["undecided"]), (&true.into(), &false.into()));
    assert_eq!((&json["a"]["file"], &json["b"]["id"]), (&"a.toml".into(), &"agent".into()));
    let memory = json["changes"].as_array().unwrap().iter().find(|c| c["key"] == "limits.memory").unwrap();
    assert_eq!((&memory["direction"], &memory["b"]["line"]), (&"widened".into(), &5.into()));
}

#[test]
fn narrower_and_same_are_no_failure() {
    let b = policy().replace("\"256MiB\"", "\"128MiB\"");
    let place = Place::with(&[("a.toml", &policy()), ("b.toml", &b)]);
    place.policy(&["diff", "--fail-on", "widen", "a.toml", "b.toml"]).ends(0).says("narrowed");
    place.policy(&["diff", "--fail-on", "widen", "a.toml", "a.toml"]).ends(0).says("no difference");
}

#[test]
fn what_cannot_be_decided_has_a_code_of_its_own() {
    let with = |file: &str| policy().replace("ask   =", &format!("cedar = [\"{file}\"]\nask   ="));
    let rule = |size: u32| {
        format!(
            "@id(\"big\")\nforbid(principal, action == Action::\"workspace.write\", resource) when {{ context.args.size * 2 + context.calls.total > {size} }};\n"
        )
    };
    let place = Place::with(&[
        ("a.toml", &with("a.cedar")),
        ("b.toml", &with("b.cedar")),
        ("a.cedar", &rule(100)),
        ("b.cedar", &rule(300)),
    ]);
    let done = place.policy(&["diff", "--fail-on", "widen", "a.toml", "b.toml"]);
    assert!([17, 18].contains(&done.code), "{done:?}");
    let json = place.policy(&["diff", "--json", "a.toml", "b.toml"]).ends(0).json();
    assert_eq!(json["widened"].as_bool().unwrap(), done.code == 17);
    assert!(json["widened"] == true || json["undecided"] == true);
}

#[test]
fn both_must_load() {
    let place = Place::with(&[("a.toml", &policy()), ("bad.toml", "x = 1\n")]);
    place.policy(&["diff", "a.toml", "bad.toml"]).ends(10).says("bad.toml");
    place.policy(&["diff", "bad.toml", "a.toml", "--json"]).ends(10).json();
    place.policy(&["diff", "a.toml"]).ends(2);
}
