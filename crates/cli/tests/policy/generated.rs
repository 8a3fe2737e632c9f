//! Completions, man pages and help, from the same definitions.

use crate::{Done, Place};

#[test]
fn nested_commands_have_man_pages_and_completions() {
    let place = Place::new();
    Done::of(place.command(&["man", "."]).output().unwrap()).ends(0);
    for name in [
        "policy",
        "policy-check",
        "policy-explain",
        "policy-explain-call",
        "policy-explain-host",
        "policy-ceiling-install",
        "policy-seal",
    ] {
        let page = place.text(&format!("stockade-{name}.1"));
        assert!(page.contains(".SH NAME"), "{name}");
    }
    assert!(place.text("stockade-policy-diff.1").contains("17 the second allows more"));
    for shell in ["bash", "zsh", "fish"] {
        let done = Done::of(place.command(&["completions", shell]).output().unwrap()).ends(0);
        for word in ["policy", "explain", "syscall", "install"] {
            assert!(done.out.contains(word), "{shell} {word}");
        }
    }
}

#[test]
fn every_command_has_help_with_its_exit_codes() {
    let place = Place::new();
    for command in ["check", "show", "diff", "test", "explain", "schema", "new", "seal"] {
        let done = Done::of(place.command(&["policy", command, "--help"]).output().unwrap()).ends(0);
        assert!(
            done.out.contains("Exit codes: 0") && done.out.contains("Example") && done.out.contains("--json"),
            "{}",
            done.out
        );
    }
}
