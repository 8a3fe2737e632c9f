//! `stockade policy ceiling …`, in another folder than the host's.

use std::os::unix::fs::{MetadataExt, symlink};

use stockade_plan::Ceiling;

use crate::Place;

const CEILING: &str = "version = 1\n[limits]\nmemory = \"1GiB\"\npids = 64\n[fs]\nread = [\"/usr\"]\n";

#[test]
fn installed_is_what_was_checked() {
    let place = Place::with(&[("c.toml", CEILING)]);
    std::fs::create_dir(place.path("etc")).unwrap();
    let digest = place.policy(&["ceiling", "check", "c.toml", "--json"]).ends(0).json()["digest"].clone();
    place.policy(&["ceiling", "check", "c.toml"]).ends(0).says("fine");
    place.policy(&["ceiling", "install", "c.toml", "--output", "etc"]).ends(0).says("wrote etc/ceiling.bin");
    assert_eq!(place.text("etc/ceiling.toml"), CEILING);
    let compiled = Ceiling::decode(&std::fs::read(place.path("etc/ceiling.bin")).unwrap()).unwrap();
    assert_eq!((compiled.memory, compiled.pids, compiled.read), (1 << 30, 64, Some(vec!["/usr".to_owned()])));
    let hex: String = compiled.source_digest.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(digest, hex);
    assert_eq!(std::fs::metadata(place.path("etc/ceiling.bin")).unwrap().mode() & 0o7777, 0o644);
    assert_eq!(std::fs::read_dir(place.path("etc")).unwrap().count(), 2, "nothing is left over");
    let json = place.policy(&["ceiling", "install", "etc/ceiling.toml", "--output", "etc", "--json"]).ends(0).json();
    assert_eq!((&json["ok"], &json["digest"]), (&true.into(), &digest));
}

#[test]
fn another_text_is_not_written_over_and_a_bad_one_not_installed() {
    let place = Place::with(&[("c.toml", CEILING), ("bad.toml", "version = 1\n[limits]\nmemory = 3\n")]);
    std::fs::create_dir(place.path("etc")).unwrap();
    place.put("etc/ceiling.toml", "version = 1\n");
    place.policy(&["ceiling", "install", "c.toml", "--output", "etc"]).ends(2).says("says something else");
    place.policy(&["ceiling", "install", "bad.toml", "--output", "etc"]).ends(10).says("bad.toml:3");
    place.policy(&["ceiling", "check", "bad.toml"]).ends(10).says("bad.toml:3");
    place.policy(&["ceiling", "check", "bad.toml", "--json"]).ends(10).json();
    place.policy(&["ceiling", "check", "none.toml"]).ends(10);
    place.policy(&["ceiling", "install", "c.toml", "--output", "none"]).ends(1);
    assert!(!place.path("etc/ceiling.bin").exists());
    assert_eq!(place.text("etc/ceiling.toml"), "version = 1\n");
}

#[test]
fn links_are_not_written_through() {
    let place = Place::with(&[("c.toml", CEILING), ("precious", "x")]);
    std::fs::create_dir(place.path("etc")).unwrap();
    symlink("../precious", place.path("etc/ceiling.bin")).unwrap();
    place.policy(&["ceiling", "install", "c.toml", "--output", "etc"]).ends(1).says("symbolic link");
    assert_eq!(place.text("precious"), "x");
    symlink("etc", place.path("link")).unwrap();
    place.policy(&["ceiling", "install", "c.toml", "--output", "link"]).ends(1);
}
