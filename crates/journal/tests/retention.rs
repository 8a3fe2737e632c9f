//! What may be forgotten, and what then still holds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::fs;
use std::path::Path;

use common::{call, entries, journal, log, one_of_each, open_dir, segment, start};
use serde_json::json;
use stockade_journal::tree::Frontier;
use stockade_journal::{
    Extent, JournalError, Options, Outcome, Payload, Pruned, ReadError, Record, Writer, erase, prune, verify,
    verify_each, verify_to,
};
use tempfile::TempDir;

fn result(id: u64, body: Payload) -> Record {
    Record::Result(Outcome { id, status: "ok".into(), body, micros: 1 })
}

fn denied(id: u64) -> Record {
    let Record::Call(mut denied) = call(id, json!({"path": "secret"})) else { panic!() };
    denied.decision = "deny".into();
    Record::Call(denied)
}

fn exit() -> Record {
    Record::Lifecycle { event: "exit".into(), detail: json!({"reason": "finished"}) }
}

/// A run in several segments, with blobs and private values.
fn run() -> (TempDir, u64, String) {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::create_with(open_dir(dir.path()), Options { segment_bytes: 2500 }).unwrap();
    let mut first = start();
    if let Record::Start(start) = &mut first {
        let value = writer.private(json!("hunter2"), [1; 32]).unwrap();
        start.settings = json!({"env": [["TOKEN", value], ["LANG", "C.UTF-8"]]});
    }
    writer.append(first).unwrap();
    for id in 1..6 {
        writer.append(call(id, json!({"path": "a"}))).unwrap();
        let body = match id {
            1 => writer.payload(json!("b".repeat(20_000))).unwrap(),
            _ => writer.private(json!({"password": "swordfish"}), [u8::try_from(id).unwrap(); 32]).unwrap(),
        };
        writer.append(result(id, body)).unwrap();
        writer.append(denied(100 + id)).unwrap();
        writer.append(log("said")).unwrap();
    }
    writer.append(Record::Lifecycle { event: "long".into(), detail: json!("d".repeat(20_000)) }).unwrap();
    writer.append(exit()).unwrap();
    writer.commit().unwrap();
    let (seq, head) = writer.head();
    (dir, seq, head)
}

fn root(dir: &Path) -> [u8; 32] {
    let mut tree = Frontier::new();
    verify_each(dir, |line| tree.push(line.hash).unwrap()).unwrap();
    tree.root()
}

fn files(dir: &Path, store: &str) -> usize {
    fs::read_dir(dir.join(store)).unwrap().count()
}

fn text(dir: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).filter(|path| path.is_file()) {
        all += &fs::read_to_string(entry).unwrap();
    }
    all
}

#[test]
fn a_private_value_is_nowhere_in_the_record_and_may_be_erased() {
    let (dir, seq, head) = run();
    let verified = verify_to(dir.path(), seq, &head).unwrap();
    assert_eq!((verified.private, verified.erased, verified.blobs), (5, 0, 2));
    let before = text(dir.path());
    assert!(!before.contains("swordfish") && !before.contains("hunter2"));
    // The same value twice looks like two.
    assert_eq!(files(dir.path(), "private"), 5);
    // One record's.
    let third =
        entries(dir.path()).iter().position(|e| matches!(&e.record, Record::Result(r) if r.id == 3)).unwrap() as u64;
    assert_eq!(erase(open_dir(dir.path()), Some(third + 1)).unwrap(), 1);
    assert_eq!(erase(open_dir(dir.path()), Some(third + 1)).unwrap(), 0);
    let verified = verify_to(dir.path(), seq, &head).unwrap();
    assert_eq!((verified.private, verified.erased), (4, 1));
    // The environment's stands in the start.
    assert_eq!(erase(open_dir(dir.path()), Some(1)).unwrap(), 1);
    assert!(matches!(erase(open_dir(dir.path()), Some(999)), Err(JournalError::NoRecord { seq: 999 })));
    // All.
    assert_eq!(erase(open_dir(dir.path()), None).unwrap(), 3);
    assert_eq!(erase(open_dir(dir.path()), None).unwrap(), 0);
    let verified = verify_to(dir.path(), seq, &head).unwrap();
    assert_eq!((verified.private, verified.erased), (0, 5));
    assert_eq!(text(dir.path()), before, "the journal itself is as it was");
}

#[test]
fn an_environment_in_a_blob_is_checked_and_erased_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(open_dir(dir.path())).unwrap();
    let env: Vec<_> = (0..100_u8)
        .map(|n| json!([format!("TOKEN_{n}"), writer.private(json!("hunter2"), [n; 32]).unwrap()]))
        .collect();
    let mut first = start();
    if let Record::Start(start) = &mut first {
        start.settings = json!({"env": env});
    }
    writer.append(first).unwrap();
    writer.commit().unwrap();
    drop(writer);
    assert!(text(dir.path()).contains("\"settings\":{\"blob\":"));
    let verified = verify(dir.path()).unwrap();
    assert_eq!((verified.blobs, verified.private, verified.erased), (1, 100, 0));
    let path = fs::read_dir(dir.path().join("private")).unwrap().next().unwrap().unwrap().path();
    let good = fs::read(&path).unwrap();
    fs::write(&path, b"changed").unwrap();
    assert!(matches!(verify(dir.path()), Err(ReadError::Blob { store: "private", .. })));
    fs::write(&path, good).unwrap();
    assert_eq!(erase(open_dir(dir.path()), Some(1)).unwrap(), 100);
    assert_eq!((verify(dir.path()).unwrap().erased, files(dir.path(), "private")), (100, 0));
}

#[test]
fn a_changed_private_value_is_found() {
    let (dir, ..) = run();
    let path = fs::read_dir(dir.path().join("private")).unwrap().next().unwrap().unwrap().path();
    let good = fs::read(&path).unwrap();
    for index in 0..good.len() {
        let mut bad = good.clone();
        bad[index] ^= 1;
        fs::write(&path, bad).unwrap();
        assert!(matches!(verify(dir.path()), Err(ReadError::Blob { store: "private", .. })), "{index}");
    }
    fs::write(&path, &good[1..]).unwrap();
    assert!(matches!(verify(dir.path()), Err(ReadError::Blob { store: "private", .. })));
}

#[test]
fn a_run_without_private_values_has_no_folder_for_them() {
    let (dir, ..) = journal(one_of_each());
    assert!(!dir.path().join("private").exists());
    assert_eq!(erase(open_dir(dir.path()), None).unwrap(), 0);
}

#[test]
fn what_is_pruned_leaves_the_tree() {
    let (dir, seq, head) = run();
    let before = root(dir.path());
    let whole = entries(dir.path());
    let would = prune(open_dir(dir.path()), Extent::Payloads, true).unwrap();
    assert_eq!(would, Pruned { records: 15, blobs: 1, private: 5 });
    assert_eq!(entries(dir.path()), whole, "a dry run changes nothing");

    assert_eq!(prune(open_dir(dir.path()), Extent::Payloads, false).unwrap(), would);
    let verified = verify_to(dir.path(), seq, &head).unwrap();
    assert_eq!((verified.records, verified.tombstones, verified.blobs, verified.erased), (seq, 15, 1, 1));
    assert!(verified.segments > 2);
    assert_eq!(root(dir.path()), before);
    for (was, is) in whole.iter().zip(entries(dir.path())) {
        match &was.record {
            Record::Call(call) if call.decision == "allow" => assert!(matches!(is.record, Record::Tombstone { .. })),
            Record::Result(_) | Record::Log { .. } => assert!(matches!(is.record, Record::Tombstone { .. })),
            _ => assert_eq!(*was, is),
        }
        assert_eq!((was.seq, &was.prev), (is.seq, &is.prev));
    }
    // Again there is nothing to do.
    assert_eq!(prune(open_dir(dir.path()), Extent::Payloads, false).unwrap(), Pruned::default());

    let rest = prune(open_dir(dir.path()), Extent::All, false).unwrap();
    assert_eq!(rest, Pruned { records: seq - 15, blobs: 1, private: 0 });
    let verified = verify_to(dir.path(), seq, &head).unwrap();
    assert_eq!((verified.tombstones, verified.blobs, verified.erased), (seq, 0, 0));
    assert_eq!(root(dir.path()), before);
    assert_eq!(prune(open_dir(dir.path()), Extent::All, false).unwrap(), Pruned::default());
    let said = text(dir.path());
    assert!(!said.contains("log-triage") && !said.contains("secret"));
    let first = fs::read_to_string(segment(dir.path(), 1)).unwrap();
    assert_eq!(first.lines().next().unwrap().len(), r#"{"tombstone":{"seq":1,"leaf":""}}"#.len() + 64);
}

#[test]
fn a_run_that_has_not_ended_or_does_not_hold_together_is_left_alone() {
    let (dir, ..) = journal(vec![start(), call(1, json!({}))]);
    let before = fs::read(segment(dir.path(), 1)).unwrap();
    assert!(matches!(prune(open_dir(dir.path()), Extent::All, false), Err(JournalError::NotEnded)));
    let writer = stockade_journal::recover(open_dir(dir.path())).unwrap().writer;
    assert!(matches!(prune(open_dir(dir.path()), Extent::All, false), Err(JournalError::Locked)));
    assert!(matches!(erase(open_dir(dir.path()), None), Err(JournalError::Locked)));
    drop(writer);
    assert_eq!(fs::read(segment(dir.path(), 1)).unwrap(), before);
    let (dir, ..) = run();
    let path = segment(dir.path(), 2);
    let mut bad = fs::read(&path).unwrap();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    fs::write(&path, &bad).unwrap();
    let first = fs::read(segment(dir.path(), 1)).unwrap();
    assert!(matches!(prune(open_dir(dir.path()), Extent::All, false), Err(JournalError::Damaged(_))));
    assert_eq!((fs::read(segment(dir.path(), 1)).unwrap(), fs::read(&path).unwrap()), (first, bad));
}

#[test]
fn tombstones_are_held_by_the_tree() {
    let (dir, seq, head) = run();
    let signed = root(dir.path());
    prune(open_dir(dir.path()), Extent::Payloads, false).unwrap();
    let path = segment(dir.path(), 1);
    let good = fs::read_to_string(&path).unwrap();
    let stone = good.lines().find(|line| line.starts_with("{\"tombstone\"")).unwrap().to_owned();
    for index in 0..stone.len() {
        let mut bad = stone.clone().into_bytes();
        bad[index] ^= 1;
        let bad = String::from_utf8(bad).unwrap();
        fs::write(&path, good.replacen(&stone, &bad, 1)).unwrap();
        // Between two of them there is no `prev` left to hold it; the root of the tree does.
        assert!(verify_to(dir.path(), seq, &head).is_err() || root(dir.path()) != signed, "{bad}");
    }
    for bad in [
        stone.replace("seq\":", "seq\": "),
        stone.replace("leaf", "Leaf"),
        stone.replace("}}", ",\"x\":1}}"),
        stone.to_uppercase(),
        stone.replace("}}", "}}{}"),
        String::new(),
    ] {
        fs::write(&path, good.replacen(&stone, &bad, 1)).unwrap();
        assert!(verify_to(dir.path(), seq, &head).is_err(), "{bad}");
    }
    fs::write(&path, &good).unwrap();
    verify_to(dir.path(), seq, &head).unwrap();
}

#[test]
fn no_writer_writes_a_tombstone() {
    let (dir, ..) = journal(vec![start()]);
    let mut writer = stockade_journal::recover(open_dir(dir.path())).unwrap().writer;
    let refused = writer.append(Record::Tombstone { leaf: "00".repeat(32) });
    assert!(matches!(refused, Err(JournalError::Encode { .. })));
    let path = segment(dir.path(), 1);
    let mut text = fs::read_to_string(&path).unwrap();
    text += "{\"seq\":2,\"time\":\"\",\"prev\":\"\",\"type\":\"tombstone\",\"leaf\":\"\"}\n";
    fs::write(&path, text).unwrap();
    assert!(matches!(verify(dir.path()), Err(ReadError::Malformed { .. })));
}
