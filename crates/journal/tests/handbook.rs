//! `docs/evidence.md` is true: its example is a journal, and its commands print what it says.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use stockade_journal::verify_to;

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

/// Each block of commands with the block of output after it.
fn examples(text: &str) -> Vec<(&str, &str)> {
    let after = |text: &'static str| move |rest: &'_ str| rest.find(text).map(|at| at + text.len());
    let mut examples = Vec::new();
    let mut rest = text;
    while let Some(begin) = after("```sh\n")(rest) {
        let (_, tail) = rest.split_at(begin);
        let (commands, tail) = tail.split_once("```\n```text\n").unwrap();
        let (output, tail) = tail.split_once("```").unwrap();
        examples.push((commands, output));
        rest = tail;
    }
    examples
}

#[test]
fn the_example_verifies_with_the_head_that_the_handbook_gives() {
    let text = std::fs::read_to_string(docs().join("evidence.md")).unwrap();
    let head = examples(&text).into_iter().find(|(commands, _)| commands.starts_with("tail -n 1")).unwrap().1;
    let verified = verify_to(&docs().join("journal-example"), 9, head.trim()).unwrap();
    assert_eq!((verified.records, verified.segments, verified.blobs), (9, 1, 2));
}

#[test]
fn the_commands_print_what_the_handbook_says() {
    let text = std::fs::read_to_string(docs().join("evidence.md")).unwrap();
    let examples = examples(&text);
    assert_eq!(examples.len(), 7);
    if Command::new("jq").arg("--version").stdout(Stdio::null()).status().is_err() {
        eprintln!("jq is not installed: the commands of docs/evidence.md are not tried");
        return;
    }
    for (commands, expected) in examples {
        let done = Command::new("bash")
            .args(["-euo", "pipefail", "-c", commands])
            .current_dir(docs().join("journal-example"))
            .env("LC_ALL", "C.UTF-8")
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success() && errors.is_empty(), "{commands}: {errors}");
        assert_eq!(String::from_utf8_lossy(&done.stdout), expected, "{commands}");
    }
}
