//! `stockade policy test`.

use crate::{Place, golden, policy};

#[test]
fn a_line_a_test_and_why_it_failed() {
    let failing = policy().replace("path = \"a.txt\", content", "path = \"out/a.txt\", content");
    let place = Place::with(&[("a.toml", &policy()), ("b.toml", &failing)]);
    place.policy(&["test", "a.toml"]).ends(0).says("2 passed, 0 failed");
    let done = place.policy(&["test", "a.toml", "b.toml"]).ends(16);
    golden("policy-test.txt", &done.out);
    let json = place.policy(&["test", "--json", "a.toml", "b.toml"]).ends(16).json();
    assert_eq!((&json["passed"], &json["failed"]), (&3.into(), &1.into()));
    assert_eq!((&json["files"][0]["ok"], &json["files"][1]["ok"]), (&true.into(), &false.into()));
    let test = &json["files"][1]["tests"][1];
    assert_eq!(
        (&test["passed"], &test["ruling"]["verdict"], &test["expect"]),
        (&false.into(), &"allow".into(), &"deny".into())
    );
}

#[test]
fn a_file_of_tests_is_put_to_each_policy() {
    let tests = "version = 1\n[[test]]\nsyscall = \"bpf\"\nexpect = \"deny\"\n[[test]]\npath = \"/etc/shadow\"\nexpect = \"allow\"\n";
    let place = Place::with(&[("a.toml", &policy()), ("house.toml", tests)]);
    let done = place.policy(&["test", "a.toml", "--tests", "house.toml"]).ends(16);
    assert!(done.out.contains("pass  house.toml:2") && done.out.contains("FAIL  house.toml:5"), "{}", done.out);
    place.put("house.toml", "version = 1\n[[tset]]\n");
    place.policy(&["test", "a.toml", "--tests", "house.toml"]).ends(10).says("tset");
}

#[test]
fn no_tests_are_said_and_a_bad_file_refused() {
    let place = Place::with(&[("a.toml", crate::LIMITS), ("bad.toml", "version = 1\n")]);
    place.policy(&["test", "a.toml"]).ends(0).says("has no tests");
    place.policy(&["test", "a.toml", "bad.toml"]).ends(10).says("1 refused");
    let json = place.policy(&["test", "bad.toml", "--json"]).ends(10).json();
    assert!(!json["files"][0]["diagnostics"].as_array().unwrap().is_empty());
}
