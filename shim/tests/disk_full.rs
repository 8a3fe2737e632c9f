//! A journal that can't be written, and a workspace that is full.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;

use common::{POLICY, Rig, lifecycle, loop_ext4, outline, tiny_tmpfs};
use nix::mount::{MsFlags, mount};
use serde_json::json;
use stockade_journal::Record;
use stockade_shim::ShimError;
use stockade_wire::control::{ToShim, ToSupervisor};
use stockade_wire::frame::{FromCell, Status, ToCell};
use tempfile::TempDir;

/// A running agent whose journal is on a file system with no room left but what the journal has reserved.
fn rig() -> Rig {
    let dirs = TempDir::new().unwrap();
    let journal = dirs.path().join("journal");
    fs::create_dir(&journal).unwrap();
    tiny_tmpfs(&journal, "512k");
    let mut rig = Rig::with_journal("wasm", POLICY, dirs, journal);
    rig.start();
    fill(&rig.journal.join("filler"));
    rig
}

fn fill(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
}

/// Sends calls until one is not answered; gives the number that were.
fn calls_until_the_end(rig: &mut Rig) -> u64 {
    for id in 1.. {
        let args = format!(r#"{{"path":"f{id}","content":"x"}}"#);
        let frame = FromCell::Call { id, fuel: 0, tool: "workspace.write".into(), args: args.into_bytes() };
        if rig.cell().write_all(&frame.encode().unwrap()).is_err() {
            return id - 1;
        }
        match rig.hear() {
            Some(ToCell::Reply { status, .. }) => assert_eq!(status, Status::Ok),
            _ => return id - 1,
        }
        assert!(id < 1000, "the journal's disk never filled");
    }
    0
}

#[test]
fn an_effect_that_cannot_be_recorded_does_not_happen() {
    let mut rig = rig();
    let answered = calls_until_the_end(&mut rig);
    assert!(answered > 0);
    condemned(&rig, "disk full");
    let effects = fs::read_dir(&rig.workspace).unwrap().count() as u64;
    let entries = rig.end();
    let count = |what: fn(&Record) -> bool| entries.iter().filter(|entry| what(&entry.record)).count() as u64;
    let intents = count(|record| matches!(record, Record::Call(_)));
    assert_eq!((intents, count(|record| matches!(record, Record::Result(_)))), (effects, effects));
    assert_eq!(answered, effects, "each effect has both its records, and its answer");
    assert_eq!(outline(&entries).last().unwrap(), "exit");
    assert!(lifecycle(&entries, "killed")[0]["reason"].as_str().unwrap().contains("disk full"));
}

#[test]
fn an_answer_that_the_disk_has_no_room_for_is_recorded_in_short() {
    let mut rig = rig();
    rig.write("big", vec![b'x'; 200_000]);
    rig.ask("workspace.read", br#"{"path":"big"}"#);
    condemned(&rig, "disk full");
    let blobs = rig.journal.join("blobs");
    assert_eq!(fs::read_dir(blobs).unwrap().count(), 0, "the half of it is gone");
    let entries = rig.end();
    assert_eq!(outline(&entries), ["start", "call workspace.read allow policy", "result ok", "killed", "exit"]);
    let Record::Result(outcome) = &entries[2].record else { panic!("{entries:?}") };
    let body = serde_json::to_string(&outcome.body).unwrap();
    assert!(body.contains("unrecorded") && body.contains("disk full"), "{body}");
}

#[test]
fn no_agent_runs_where_its_end_could_not_be_recorded() {
    let dirs = TempDir::new().unwrap();
    let journal = dirs.path().join("journal");
    fs::create_dir(&journal).unwrap();
    tiny_tmpfs(&journal, "128k");
    let mut rig = Rig::with_journal("wasm", POLICY, dirs, journal);
    rig.say(&FromCell::Ready { report: b"{}".to_vec() });
    assert!(matches!(rig.receive(), Some(ToSupervisor::CellReady { .. })));
    rig.send(&ToShim::Attested { enforcement: json!({}) });
    condemned(&rig, "disk full");
    assert_eq!(rig.hear(), None, "the agent is not told to start");
    assert_eq!(outline(&rig.end()), ["killed", "exit"]);
}

/// Where blocks can't be reserved, a full disk is met in the middle of a record, and there is no room for more. A
/// file system that an error made read-only takes no record at all.
#[test]
fn a_disk_that_became_read_only_ends_the_run() {
    let dirs = TempDir::new().unwrap();
    let journal = dirs.path().join("journal");
    fs::create_dir(&journal).unwrap();
    if let Err(why) = loop_ext4(dirs.path(), &journal) {
        println!("SKIPPED a_disk_that_became_read_only_ends_the_run: {why}");
        return;
    }
    let mut rig = Rig::with_journal("wasm", POLICY, dirs, journal);
    rig.start();
    assert_eq!(rig.call("workspace.write", json!({ "path": "before", "content": "x" })).0, Status::Ok);
    // What ext4 does at errors=remount-ro (ext4(5), "abort").
    mount(None::<&str>, &rig.journal, None::<&str>, MsFlags::MS_REMOUNT, Some("abort")).unwrap();
    assert_eq!(calls_until_the_end(&mut rig), 0);
    condemned(&rig, "journal: journal 00000001.jsonl: ");
    rig.send(&ToShim::CellExited { end: common::end() });
    assert!(rig.receive().is_none(), "no Bye: the last record is not durable");
    assert_eq!(fs::read_dir(&rig.workspace).unwrap().count(), 1, "only what was recorded was done");
    let error = rig.join().unwrap_err();
    assert!(matches!(error, ShimError::Journal(_)), "{error}");
    assert_eq!(error.exit_code(), 15);
}

fn condemned(rig: &Rig, because: &str) {
    match rig.receive() {
        Some(ToSupervisor::KillCell { reason }) => {
            assert!(reason.starts_with("journal: ") && reason.contains(because), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_full_workspace_keeps_the_old_file() {
    let dirs = TempDir::new().unwrap();
    let (journal, workspace) = (dirs.path().join("journal"), dirs.path().join("workspace"));
    fs::create_dir(&journal).unwrap();
    fs::create_dir(&workspace).unwrap();
    tiny_tmpfs(&workspace, "64k");
    fs::write(workspace.join("f"), "old").unwrap();
    let mut rig = Rig::with_journal("wasm", POLICY, dirs, journal);
    rig.start();
    let big = "x".repeat(100_000);
    for (path, mode) in [("f", "replace"), ("new", "create"), ("new", "replace"), ("new", "append")] {
        let (status, body) = rig.call("workspace.write", json!({ "path": path, "content": big, "mode": mode }));
        assert_eq!((status, &body["error"]), (Status::Failed, &json!("no_space")), "{mode}");
    }
    assert_eq!(fs::read_to_string(workspace.join("f")).unwrap(), "old");
    let names: Vec<_> = fs::read_dir(&workspace).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["f"], "no temporary file is left");
    let (status, body) = rig.call("workspace.write", json!({ "path": "f", "content": big, "mode": "append" }));
    assert_eq!(status, Status::Failed);
    let written = fs::metadata(workspace.join("f")).unwrap().len() - 3;
    assert!(body["message"].as_str().unwrap().contains(&format!("{written} bytes were written")), "{body}");
    assert_eq!(outline(&rig.end()).iter().filter(|line| *line == "result failed").count(), 5);
}

#[test]
fn a_read_only_workspace_says_so() {
    let dirs = TempDir::new().unwrap();
    let (journal, workspace) = (dirs.path().join("journal"), dirs.path().join("workspace"));
    fs::create_dir(&journal).unwrap();
    fs::create_dir(&workspace).unwrap();
    tiny_tmpfs(&workspace, "64k");
    fs::write(workspace.join("f"), "old").unwrap();
    mount(None::<&str>, &workspace, None::<&str>, MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, None::<&str>).unwrap();
    let mut rig = Rig::with_journal("wasm", POLICY, dirs, journal);
    rig.start();
    for mode in ["replace", "create", "append"] {
        let path = if mode == "create" { "g" } else { "f" };
        let (status, body) = rig.call("workspace.write", json!({ "path": path, "content": "x", "mode": mode }));
        assert_eq!((status, &body["error"]), (Status::Failed, &json!("read_only")), "{mode}");
    }
    assert_eq!(rig.call("workspace.read", json!({ "path": "f" })).1["content"], "old");
}
