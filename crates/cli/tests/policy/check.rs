//! `stockade policy check`.

use crate::{LIMITS, Place, golden, policy};

#[test]
fn a_good_policy_has_no_errors() {
    let place = Place::with(&[("a.toml", &policy())]);
    let done = place.policy(&["check", "a.toml"]).ends(0);
    assert_eq!(done.err, "");
    golden("policy-check.txt", &done.out);
    let json = place.policy(&["check", "--json", "a.toml"]).ends(0).json();
    let file = &json["files"][0];
    assert_eq!(
        (file["file"].as_str(), file["ok"].as_bool(), file["id"].as_str()),
        (Some("a.toml"), Some(true), Some("agent"))
    );
    assert_eq!(file["digest"].as_str().unwrap().len(), 64);
    assert!(file["findings"].is_array() && file["diagnostics"].as_array().unwrap().is_empty());
}

#[test]
fn what_does_not_load_is_shown_with_its_place_and_goes_before_findings() {
    let bad = policy().replace("memory ", "memroy ");
    let place = Place::with(&[("bad.toml", &bad), ("a.toml", &policy())]);
    let done = place.policy(&["check", "a.toml", "bad.toml", "--fail-on", "note"]).ends(10);
    assert!(done.out.contains("bad.toml:5") && done.out.contains("memroy") && done.out.contains('^'), "{}", done.out);
    assert!(done.out.contains("2 files, 1 refused"), "{}", done.out);
    let json = place.policy(&["check", "--json", "bad.toml"]).ends(10).json();
    let found = &json["files"][0]["diagnostics"][0];
    assert_eq!(
        (found["file"].as_str(), found["line"].as_u64(), found["column"].as_u64()),
        (Some("bad.toml"), Some(5), Some(1))
    );
    assert!(found["message"].as_str().unwrap().contains("memroy") && found["help"].is_string());
    assert_eq!(json["files"][0]["ok"], false);
}

#[test]
fn findings_fail_from_the_severity_that_is_asked() {
    let place = Place::with(&[("a.toml", &format!("{LIMITS}[tools]\nallow = [\"*\"]\n"))]);
    let json = place.policy(&["check", "--json", "a.toml"]).ends(0).json();
    let findings = json["files"][0]["findings"].as_array().unwrap();
    let wild = findings.iter().find(|f| f["code"] == "wildcard-tools").expect("a finding");
    assert_eq!(wild["origin"]["line"], 17);
    place.policy(&["check", "--fail-on", "warning", "a.toml"]).ends(16);
    place.policy(&["check", "--fail-on", "error", "a.toml"]).ends(0);
    place.policy(&["check", "--fail-on", "nothing", "a.toml"]).ends(2);
    place.policy(&["check"]).ends(2);
}

#[test]
fn a_failing_test_of_its_own_keeps_a_policy_from_loading() {
    let place = Place::with(&[("a.toml", &policy().replace("expect = \"allow\"", "expect = \"deny\""))]);
    place.policy(&["check", "a.toml"]).ends(10).says("test failed: expected deny");
}

#[test]
fn a_host_says_what_it_cannot_give() {
    let model = "\n[[model]]\nname = \"m\"\nurl = \"https://llm.example/v1\"\nmodels = [\"*\"]\ntokens = 5\n";
    let text = policy().replace("\"/usr\"]", "\"/usr\", \"/nowhere/at/all\"]") + model;
    let place = Place::with(&[("a.toml", &text)]);
    place.policy(&["check", "a.toml"]).ends(0);
    let json = place.policy(&["check", "--host", "--json", "a.toml"]).ends(16).json();
    let findings = json["files"][0]["findings"].as_array().unwrap();
    let of = |code: &str| findings.iter().find(|f| f["code"] == code).cloned().unwrap_or_default();
    assert!(of("host-path")["message"].as_str().unwrap().contains("/nowhere/at/all"));
    assert_eq!(of("host-path")["origin"]["line"], 18);
    assert!(of("unenforced")["message"].as_str().unwrap().contains("no part of this version calls models"));
    assert_eq!(findings[0]["severity"], "error");
}

#[test]
fn what_the_ceiling_takes_is_a_finding() {
    let ceiling = "version = 1\n[limits]\nmemory = \"64MiB\"\n";
    let place = Place::with(&[("a.toml", &policy()), ("ceiling.toml", ceiling)]);
    let done = place.policy(&["check", "--ceiling", "ceiling.toml", "--json", "a.toml"]).ends(0);
    assert!(done.out.contains("\"narrowed\""), "{}", done.out);
    place.put("ceiling.toml", "version = 1\nlimit = 3\n");
    place.policy(&["check", "--ceiling", "ceiling.toml", "a.toml"]).ends(10).says("ceiling.toml");
    let json = place.policy(&["check", "--ceiling", "ceiling.toml", "--json", "a.toml"]).ends(10).json();
    assert_eq!(json["diagnostics"][0]["file"], "ceiling.toml");
}
