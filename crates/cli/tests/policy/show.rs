//! `stockade policy show`.

use crate::{Place, golden, policy};

#[test]
fn pages() {
    let ceiling =
        "version = 1\n[limits]\nmemory = \"64MiB\"\n[fs]\nread = [\"@workspace\"]\nworkspaces = [\"/srv/agents\"]\n";
    let place = Place::with(&[("a.toml", &policy()), ("ceiling.toml", ceiling)]);
    golden("policy-show.txt", &place.policy(&["show", "a.toml"]).ends(0).out);
    let resolved = place.policy(&["show", "--resolved", "a.toml", "--ceiling", "ceiling.toml"]).ends(0);
    golden("policy-show-resolved.txt", &resolved.out);
}

#[test]
fn json_has_every_value_with_its_place() {
    let place = Place::with(&[("a.toml", &policy())]);
    let json = place.policy(&["show", "--resolved", "--json", "a.toml"]).ends(0).json();
    let settings = json["settings"].as_array().unwrap();
    let memory = settings.iter().find(|s| s["key"] == "limits.memory").unwrap();
    assert_eq!((memory["origin"]["file"].as_str(), memory["origin"]["line"].as_u64()), (Some("a.toml"), Some(5)));
    assert!(json["narrowed"].as_array().unwrap().is_empty() && json["unreachable"].is_array());
    let json = place.policy(&["show", "--json", "a.toml"]).ends(0).json();
    assert_eq!(
        (&json["counts"]["fs.read"], &json["counts"]["test"], &json["limits"]["pids"]),
        (&2.into(), &2.into(), &32.into())
    );
    assert!(json.get("settings").is_none());
}

#[test]
fn what_does_not_load_is_not_shown() {
    let place = Place::with(&[("a.toml", "version = 2\n")]);
    let done = place.policy(&["show", "a.toml"]).ends(10).says("a.toml:1");
    assert_eq!(done.out, "");
    let json = place.policy(&["show", "--json", "a.toml"]).ends(10).json();
    assert_eq!((json["ok"].as_bool(), json["diagnostics"][0]["line"].as_u64()), (Some(false), Some(1)));
    place.policy(&["show", "none.toml"]).ends(10).says("none.toml does not exist");
    place.policy(&["show"]).ends(2);
}
