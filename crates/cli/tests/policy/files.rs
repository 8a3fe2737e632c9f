//! `stockade policy new` and `seal`: what is written, and what is not.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use crate::{Place, policy};

#[test]
fn every_preset_has_a_starter_that_loads() {
    let place = Place::new();
    let json = place.policy(&["new", "--list", "--json"]).ends(0).json();
    let presets = json["presets"].as_array().unwrap();
    assert!(presets.len() >= 6);
    for preset in presets {
        let name = preset["preset"].as_str().unwrap();
        assert!(!preset["about"].as_str().unwrap().is_empty(), "{name}");
        let file = format!("{name}.toml");
        place.policy(&["new", "--preset", name, "--id", "mine", "--output", &file]).ends(0).says("wrote");
        place.policy(&["check", &file]).ends(0);
        assert_eq!(place.policy(&["new", "--preset", name, "--id", "mine"]).ends(0).out, place.text(&file));
    }
    place.policy(&["new", "--list"]).ends(0).says("base@1");
}

#[test]
fn nothing_is_written_over() {
    let place = Place::with(&[("a.toml", "mine")]);
    symlink("nowhere.toml", place.path("link.toml")).unwrap();
    for file in ["a.toml", "link.toml"] {
        place.policy(&["new", "--preset", "base", "--output", file]).ends(2).says("exists and is not written over");
    }
    assert_eq!(place.text("a.toml"), "mine");
    assert!(!place.path("nowhere.toml").exists());
    place.policy(&["new", "--preset", "base", "--output", "no/such/folder.toml"]).ends(1);
    place.policy(&["new", "--preset", "bass"]).ends(2).says("known: base@1");
    place.policy(&["new", "--preset", "base", "--id", "a\"\nb"]).ends(2);
    place.policy(&["new"]).ends(2);
}

#[test]
fn a_seal_holds_until_the_file_changes() {
    let place = Place::with(&[("a.toml", &policy())]);
    std::fs::set_permissions(place.path("a.toml"), std::fs::Permissions::from_mode(0o640)).unwrap();
    let owner = std::fs::metadata(place.path("a.toml")).unwrap().uid();
    place.policy(&["seal", "a.toml"]).ends(0).says("sealed a.toml");
    let sealed = place.text("a.toml");
    assert!(sealed.contains("seal    = \"sha256:") && sealed.ends_with(policy().split_once('\n').unwrap().1));
    let meta = std::fs::metadata(place.path("a.toml")).unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.uid()), (0o640, owner));
    assert_eq!(std::fs::read_dir(place.path(".")).unwrap().count(), 1, "nothing is left over");
    place.policy(&["show", "a.toml"]).ends(0).says("holds");
    let json = place.policy(&["seal", "--json", "a.toml"]).ends(0).json();
    assert_eq!((&json["changed"], place.text("a.toml")), (&false.into(), sealed.clone()));
    place.put("a.toml", &sealed.replace("pids      = 32", "pids      = 33"));
    place.policy(&["check", "a.toml"]).ends(10).says("the seal does not match");
    place.policy(&["seal", "a.toml"]).ends(0);
    place.policy(&["check", "a.toml"]).ends(0);
}

#[test]
fn what_does_not_load_or_is_a_link_is_not_sealed() {
    let bad = policy().replace("pids", "pigs");
    let place = Place::with(&[("bad.toml", &bad), ("a.toml", &policy())]);
    place.policy(&["seal", "bad.toml"]).ends(10);
    assert_eq!(place.text("bad.toml"), bad);
    symlink("a.toml", place.path("link.toml")).unwrap();
    place.policy(&["seal", "link.toml"]).ends(1).says("symbolic link");
    assert_eq!(place.text("a.toml"), policy());
    place.policy(&["seal", "none.toml"]).ends(10).says("does not exist");
    place.policy(&["seal", "/"]).ends(1);
}
