//! A journal that can't be written, and a workspace that is full.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;

use common::{POLICY, Rig, outline, tiny_tmpfs};
use serde_json::json;
use stockade_journal::{Reader, Record};
use stockade_shim::ShimError;
use stockade_wire::control::{ToShim, ToSupervisor};
use stockade_wire::frame::{FromCell, Status, ToCell};
use tempfile::TempDir;

/// A running agent whose journal is on a file system with no room left but in its open pages.
fn rig() -> Rig {
    let dirs = TempDir::new().unwrap();
    let journal = dirs.path().join("journal");
    fs::create_dir(&journal).unwrap();
    tiny_tmpfs(&journal, "128k");
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
        let frame = FromCell::Call { id, tool: "workspace.write".into(), args: args.into_bytes() };
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
    let reason = match rig.receive() {
        Some(ToSupervisor::KillCell { reason }) => reason,
        other => panic!("{other:?}"),
    };
    assert!(reason.contains("journal"), "{reason}");
    rig.send(&ToShim::CellExited { end: common::end() });
    assert!(rig.receive().is_none(), "no Bye: the last record is not durable");
    // Each effect has its intent in the journal; the torn line at the end has no effect.
    let intents = Reader::open(&rig.journal)
        .unwrap()
        .map_while(Result::ok)
        .filter(|entry| matches!(&entry.record, Record::Call(_)))
        .count() as u64;
    let effects = fs::read_dir(&rig.workspace).unwrap().count() as u64;
    assert!(effects <= intents, "{effects} effects, {intents} intents");
    assert!(answered <= effects && effects <= answered + 1);
    assert!(!rig.workspace.join(format!("f{}", intents + 1)).exists());
    let error = rig.join().unwrap_err();
    assert!(matches!(error, ShimError::Journal(_)), "{error}");
    assert_eq!(error.exit_code(), 15);
}

#[test]
fn a_payload_that_cannot_be_kept_ends_the_run() {
    let mut rig = rig();
    rig.write("big", vec![b'x'; 200_000]);
    rig.ask("workspace.read", br#"{"path":"big"}"#);
    assert!(matches!(rig.receive(), Some(ToSupervisor::KillCell { .. })));
    assert_eq!(rig.hear(), None, "what was read does not reach the agent");
    // The supervisor may as well die.
    rig.orphan();
    assert_eq!(rig.join().unwrap_err().exit_code(), 15);
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
    use nix::mount::{MsFlags, mount};
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
