//! A journal with a number of bytes that it may have.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use std::fs;

use common::{POLICY, Rig, lifecycle, outline};
use serde_json::json;
use stockade_journal::Record;
use stockade_policy::Bundle;
use stockade_policy::bundle::MIN_JOURNAL;
use stockade_wire::control::ToSupervisor;
use stockade_wire::frame::{FromCell, Status, ToCell};
use tempfile::TempDir;

fn rig(limit: u64) -> Rig {
    let bundle = Bundle { journal: limit, ..Bundle::decode(&common::bundle(POLICY)).unwrap() };
    let dirs = TempDir::new().unwrap();
    let journal = dirs.path().join("journal");
    fs::create_dir(&journal).unwrap();
    let mut rig = Rig::with_bundle("wasm", &bundle.encode(), dirs, journal);
    rig.start();
    rig
}

fn bytes(rig: &Rig) -> u64 {
    let sizes = |dir| {
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().metadata().unwrap()).filter(|m| m.is_file()).map(|m| m.len())
    };
    sizes(rig.journal.clone()).chain(sizes(rig.journal.join("blobs"))).sum()
}

fn full(rig: &Rig) -> String {
    match rig.receive() {
        Some(ToSupervisor::JournalFull { detail }) => detail,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_call_that_finds_no_room_does_not_happen() {
    let mut rig = rig(MIN_JOURNAL);
    let mut answered = 0;
    for id in 1..1000 {
        let args = json!({ "path": format!("f{id}"), "content": "x".repeat(2000) }).to_string();
        let frame = FromCell::Call { id, fuel: 0, tool: "workspace.write".into(), args: args.into_bytes() };
        rig.say(&frame);
        match rig.hear() {
            Some(ToCell::Reply { status, .. }) => assert_eq!(status, Status::Ok),
            _ => break,
        }
        answered = id;
    }
    assert!((50..900).contains(&answered), "{answered}");
    let said = full(&rig);
    assert!(said.contains("limits.journal") && said.contains(&MIN_JOURNAL.to_string()), "{said}");
    let used = bytes(&rig);
    assert!(used > MIN_JOURNAL / 2 && used < MIN_JOURNAL, "{used}");
    let effects = fs::read_dir(&rig.workspace).unwrap().count();
    let entries = rig.end();
    let intents = entries.iter().filter(|e| matches!(e.record, Record::Call(_))).count();
    let outcomes = entries.iter().filter(|e| matches!(e.record, Record::Result(_))).count();
    assert_eq!((intents, outcomes), (effects, effects), "each effect has both its records");
    assert_eq!(outline(&entries).last().unwrap(), "exit");
    assert!(lifecycle(&entries, "killed")[0]["reason"].as_str().unwrap().contains("limits.journal"));
}

#[test]
fn an_answer_that_finds_no_room_is_recorded_in_short() {
    let mut rig = rig(MIN_JOURNAL);
    rig.write("big", vec![b'x'; 600 * 1024]);
    rig.ask("workspace.read", br#"{"path":"big"}"#);
    let said = full(&rig);
    assert!(said.contains("limits.journal"), "{said}");
    assert!(bytes(&rig) < MIN_JOURNAL);
    let entries = rig.end();
    assert_eq!(outline(&entries), ["start", "call workspace.read allow policy", "result ok", "killed", "exit"]);
    match &entries[2].record {
        Record::Result(outcome) => {
            assert!(serde_json::to_string(&outcome.body).unwrap().contains("unrecorded"), "{outcome:?}")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_limit_with_no_room_for_an_end_is_refused() {
    let bundle = Bundle { journal: MIN_JOURNAL - 1, ..Bundle::decode(&common::bundle(POLICY)).unwrap() };
    let dirs = TempDir::new().unwrap();
    let journal = dirs.path().join("journal");
    fs::create_dir(&journal).unwrap();
    let refused = std::panic::catch_unwind(|| Rig::with_bundle("native", &bundle.encode(), dirs, journal));
    let said = refused.err().and_then(|e| e.downcast::<String>().ok()).expect("it is refused");
    assert!(said.contains("limits.journal"), "{said}");
}
