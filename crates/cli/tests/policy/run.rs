//! What `stockade run` refuses of a policy before anything is made.

use crate::{Done, LIMITS, Place};

#[test]
fn a_section_that_no_part_enforces_is_refused_with_its_line() {
    if !nix::unistd::geteuid().is_root() {
        return; // one-shot mode refuses earlier
    }
    for (section, what, at) in [
        (
            "[[model]]\nname = \"m\"\nurl = \"https://llm.example/v1\"\nmodels = [\"*\"]\ntokens = 5\n",
            "[[model]] \"m\"",
            "a.toml:17",
        ),
        ("[sockets]\nunix = [\"/run/x.sock\"]\n", "sockets.unix \"/run/x.sock\"", "a.toml:18"),
    ] {
        let place = Place::with(&[("a.toml", &format!("{LIMITS}\n{section}"))]);
        let done = Done::of(
            place.command(&["run", "--policy", "a.toml", "--state", "state", "--", "/bin/true"]).output().unwrap(),
        );
        let done = done.ends(10).says("no part of this version").says(what).says(at);
        assert_eq!(done.out, "");
        assert!(!place.path("state").exists());
    }
}

#[test]
fn a_policy_that_does_not_load_is_refused() {
    let place = Place::with(&[("a.toml", "version = 1\nid = \"\u{9b}2J\"\n")]);
    let done = Done::of(place.command(&["run", "--policy", "a.toml", "--", "/bin/true"]).output().unwrap()).ends(10);
    assert!(done.err.chars().all(|c| c == '\n' || !c.is_control()), "{}", done.err);
}
