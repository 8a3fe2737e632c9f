//! `journal erase` and `journal prune`.

use serde_json::json;
use stockade_journal::{Payload, Record, Writer};

use crate::{Place, call, errors, exit, inline, lines, result, start, text};

/// A run with a private value, and a policy that keeps its records for so long.
fn run(place: &Place, name: &str, retention: serde_json::Value) -> Writer {
    let mut first = start(name, "wasm");
    if let Record::Start(start) = &mut first {
        start.settings = json!({"retention": retention});
    }
    let dir = place.journal(name);
    std::fs::create_dir_all(&dir).unwrap();
    let mut writer = Writer::create(std::fs::File::open(&dir).unwrap().into()).unwrap();
    writer.append(first).unwrap();
    let private = writer.private(json!({"path": "diary"}), [3; 32]).unwrap();
    writer.append(call(1, "workspace.read", private, None)).unwrap();
    writer.append(result(1, "ok")).unwrap();
    writer.append(call(2, "exec", inline(json!({"argv": ["rm"]})), Some("policy"))).unwrap();
    writer
}

fn end(mut writer: Writer) {
    writer.append(exit()).unwrap();
    writer.commit().unwrap();
}

#[test]
fn what_was_private_is_erased_and_the_rest_stays() {
    let place = Place::new();
    let writer = run(&place, "r-1", json!({}));
    let output = place.stockade(&["journal", "erase", "r-1"]);
    assert_eq!(output.status.code(), Some(2), "{}", errors(&output));
    assert!(errors(&output).contains("still lives"));
    end(writer);
    let output = place.stockade(&["journal", "erase", "r-1", "--seq", "9"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(errors(&output).contains("no record 9"), "{}", errors(&output));
    let output = place.stockade(&["journal", "erase", "last", "--seq", "2"]);
    assert_eq!((output.status.code(), text(&output)), (Some(0), "run r-1: 1 private value(s) erased\n".to_owned()));
    let verified = &lines(&place.stockade(&["journal", "verify", "r-1", "--json"]))[0];
    assert_eq!((&verified["ok"], &verified["private"], &verified["erased"]), (&json!(true), &json!(0), &json!(1)));
    assert!(text(&place.stockade(&["journal", "verify", "r-1"])).contains("private: 0 value(s) as recorded, 1 erased"));
    assert!(text(&place.stockade(&["journal", "show", "r-1"])).contains("private"));
}

#[test]
fn each_run_is_pruned_as_its_own_policy_said() {
    let place = Place::new();
    end(run(&place, "r-1", json!({"compact_ms": 0})));
    end(run(&place, "r-2", json!({"compact_ms": 86_400_000_u64, "keep_ms": 864_000_000_u64})));
    end(run(&place, "r-3", json!({})));
    end(run(&place, "r-4", json!({"compact_ms": 0, "keep_ms": 0})));
    let living = run(&place, "r-5", json!({"keep_ms": 0}));
    drop(run(&place, "r-6", json!({"keep_ms": 0})));
    let dry = lines(&place.stockade(&["journal", "prune", "--dry-run", "--json"]));
    assert_eq!(
        dry,
        [
            json!({"run": "r-1", "extent": "payloads", "records": 2, "blobs": 0, "private": 1, "dry_run": true}),
            json!({"run": "r-4", "extent": "all", "records": 5, "blobs": 0, "private": 1, "dry_run": true}),
        ]
    );
    let output = place.stockade(&["journal", "prune"]);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    assert_eq!(
        text(&output),
        "run r-1: payloads: pruned: 2 record(s), 0 blob(s), 1 private value(s)\n\
         run r-4: all: pruned: 5 record(s), 0 blob(s), 1 private value(s)\n"
    );
    assert_eq!(text(&place.stockade(&["journal", "prune"])), "", "there is nothing more to take");
    drop(living);
    for (run, tombstones) in [("r-1", 2), ("r-2", 0), ("r-3", 0), ("r-4", 5), ("r-5", 0), ("r-6", 0)] {
        let verified = &lines(&place.stockade(&["journal", "verify", run, "--json"]))[0];
        assert_eq!((&verified["ok"], &verified["tombstones"]), (&json!(true), &json!(tombstones)), "{run}: {verified}");
    }
    // Whoever reads meets the tombstones and goes on.
    let shown = text(&place.stockade(&["journal", "show", "r-1"]));
    assert!(shown.contains("2 of them pruned") && shown.contains("exec"), "{shown}");
    assert!(!shown.contains('?'), "a tombstone has no line of its own: {shown}");
    assert_eq!(place.stockade(&["journal", "show", "r-4"]).status.code(), Some(0));
    let found = lines(&place.stockade(&["journal", "query", "--type", "tombstone", "--json"]));
    assert_eq!(found.len(), 7);
    for format in ["text", "ocsf", "otlp"] {
        let output = place.stockade(&["journal", "query", "--run", "r-1", "--format", format]);
        assert_eq!(output.status.code(), Some(0), "{format}: {}", errors(&output));
    }
    let listed = text(&place.stockade(&["journal", "list"]));
    assert!(listed.contains("r-4"), "{listed}");
}

#[test]
fn a_broken_run_is_told_and_the_others_are_pruned() {
    let place = Place::new();
    end(run(&place, "r-1", json!({"keep_ms": 0})));
    end(run(&place, "r-2", json!({"keep_ms": 0})));
    let path = place.journal("r-1").join("00000001.jsonl");
    let broken = std::fs::read_to_string(&path).unwrap().replacen("exec", "exce", 1);
    std::fs::write(&path, &broken).unwrap();
    let output = place.stockade(&["journal", "prune"]);
    assert_eq!(output.status.code(), Some(15));
    assert!(errors(&output).contains("run r-1: ") && text(&output).contains("run r-2: all: pruned"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), broken);
}

#[test]
fn a_settings_blob_still_says_how_long() {
    let place = Place::new();
    let long = vec![["NAME", "x"]; 2000];
    let mut first = start("r-1", "wasm");
    if let Record::Start(start) = &mut first {
        start.settings = json!({"env": long, "retention": {"keep_ms": 0}});
    }
    let dir = place.journal("r-1");
    std::fs::create_dir_all(&dir).unwrap();
    let mut writer = Writer::create(std::fs::File::open(&dir).unwrap().into()).unwrap();
    writer.append(first).unwrap();
    writer.append(call(1, "exec", Payload::Inline(json!({})), None)).unwrap();
    end(writer);
    let output = place.stockade(&["journal", "prune"]);
    assert_eq!(
        text(&output),
        "run r-1: all: pruned: 3 record(s), 1 blob(s), 0 private value(s)\n",
        "{}",
        errors(&output)
    );
}

#[test]
fn what_an_interrupted_prune_left_goes_with_the_next() {
    let place = Place::new();
    end(run(&place, "r-1", json!({"keep_ms": 0})));
    let launch = place.path().join("runs/r-1/launch.json");
    std::fs::write(&launch, "{\"task\":[\"look\"]}\n").unwrap();
    let private = place.journal("r-1").join("private");
    let value = std::fs::read_dir(&private).unwrap().next().unwrap().unwrap().path();
    let bytes = std::fs::read(&value).unwrap();
    let output = place.stockade(&["journal", "prune"]);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    assert!(!launch.exists(), "the task stands there, too");
    // A machine that stopped after the segments had been renamed.
    std::fs::write(&value, bytes).unwrap();
    std::fs::write(&launch, "{}\n").unwrap();
    let output = place.stockade(&["journal", "prune"]);
    let said = "run r-1: all: pruned: 0 record(s), 0 blob(s), 1 private value(s)\n";
    assert_eq!((output.status.code(), text(&output)), (Some(0), said.to_owned()), "{}", errors(&output));
    assert!(!value.exists() && !launch.exists());
    assert_eq!(text(&place.stockade(&["journal", "prune"])), "");
    // Such a run is told of as what it is.
    let shown = text(&place.stockade(&["journal", "show", "r-1"]));
    assert!(shown.starts_with("RUN        pruned: its start is no longer kept\n"), "{shown}");
    assert!(!shown.contains("never") && !shown.contains('?'), "{shown}");
    assert!(text(&place.stockade(&["journal", "list"])).contains(" pruned\n"));
    let output = place.stockade(&["replay", "r-1"]);
    assert_eq!(output.status.code(), Some(26), "{}", errors(&output));
    assert!(errors(&output).contains("pruned"), "{}", errors(&output));
}

#[test]
fn names_and_files_of_somebody_else_do_no_harm() {
    use std::os::unix::fs::DirBuilderExt;
    let place = Place::new();
    end(run(&place, "r-1", json!({})));
    let odd = place.path().join("runs").join("r-\u{1b}[31m\u{9b}\u{202e}");
    std::fs::DirBuilder::new().mode(0o700).create(odd).unwrap();
    let fifo = place.path().join("runs/r-1/checkpoint");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    let listed = text(&place.stockade(&["journal", "list"]));
    assert!(!listed.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{listed:?}");
    let output = place.stockade(&["journal", "verify", "r-1"]);
    assert_eq!(output.status.code(), Some(15));
    assert!(errors(&output).contains("checkpoint: not a regular file"), "{}", errors(&output));
}
