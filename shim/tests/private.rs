//! Tools whose values a policy calls private, and what a policy says of keeping records.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use std::fs;

use common::{POLICY, Rig};
use serde_json::{Value, json};
use stockade_journal::{Payload, Reader, Record, verify};
use stockade_wire::frame::Status;
use tempfile::TempDir;

#[test]
fn arguments_and_answers_are_recorded_as_digests() {
    let policy = format!("{POLICY}\n[journal]\nprivate = [\"workspace.read\"]\ncompact = \"7d\"\nkeep = \"30d\"\n");
    let kept = TempDir::new().unwrap();
    let journal = kept.path().to_owned();
    let mut rig = Rig::with_journal("wasm", &policy, TempDir::new().unwrap(), journal.clone());
    rig.start();
    rig.write("letter", "dear swordfish");
    let (status, body) = rig.call("workspace.read", json!({ "path": "letter" }));
    assert_eq!((status, &body["content"]), (Status::Ok, &json!("dear swordfish")), "the agent is answered as ever");
    rig.call("workspace.stat", json!({ "path": "letter" }));
    let (status, _) = rig.call("workspace.read", json!({ "path": "secret" }));
    assert_eq!(status, Status::Denied);
    let entries = rig.end();
    let verified = verify(&journal).unwrap();
    assert_eq!((verified.private, verified.erased), (4, 0));
    let text = fs::read_to_string(journal.join("00000001.jsonl")).unwrap();
    assert!(!text.contains("swordfish"));
    let reader = Reader::open(&journal).unwrap();
    let mut seen = Vec::new();
    for entry in Reader::open(&journal).unwrap().map(Result::unwrap) {
        if let Record::Call(call) = entry.record {
            seen.push((call.tool, matches!(call.args, Payload::Private { .. }), reader.value(call.args).unwrap()));
        }
    }
    let letter = json!({ "path": "letter" });
    let expected: [(String, bool, Value); 3] = [
        ("workspace.read".into(), true, letter.clone()),
        ("workspace.stat".into(), false, letter),
        ("workspace.read".into(), true, json!({ "path": "secret" })),
    ];
    assert_eq!(seen, expected);
    assert_eq!(stockade_journal::erase(fs::File::open(&journal).unwrap().into(), None).unwrap(), 4);
    assert_eq!(verify(&journal).unwrap().erased, 4);
    let Record::Start(start) = &entries[0].record else { panic!() };
    assert_eq!(start.settings["retention"], json!({ "compact_ms": 604_800_000_u64, "keep_ms": 2_592_000_000_u64 }));
}
