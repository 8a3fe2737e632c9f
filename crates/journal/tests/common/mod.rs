//! What the journal's tests share.
#![allow(dead_code, clippy::unwrap_used, missing_docs)]

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use stockade_journal::{Call, Entry, Outcome, Payload, Reader, Record, Start, Syscall, VERSION, Writer};

/// A descriptor of a directory, as a writer wants it.
pub fn open_dir(path: &Path) -> OwnedFd {
    File::open(path).unwrap().into()
}

pub fn segment(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:08}.jsonl"))
}

pub fn entries(dir: &Path) -> Vec<Entry> {
    Reader::open(dir).unwrap().collect::<Result<_, _>>().unwrap()
}

pub fn call(id: u64, args: Value) -> Record {
    Record::Call(Call {
        id,
        fuel: Some(1234),
        tool: "workspace.read".into(),
        args: Payload::Inline(args),
        effect: "read".into(),
        decision: "allow".into(),
        rules: vec!["tools.allow".into()],
        reason: "listed in [tools] allow, line 12".into(),
        layer: "policy".into(),
        policy_digest: "ab".repeat(32),
        denial: None,
    })
}

pub fn log(message: &str) -> Record {
    Record::Log { level: "info".into(), message: message.into(), dropped: 0 }
}

pub fn start() -> Record {
    Record::Start(Box::new(Start {
        version: VERSION,
        run: "r-20261122T133000-ab12cd".into(),
        kind: "wasm".into(),
        agent: "log-triage".into(),
        task: vec!["summarise the errors".into()],
        policy: "log-triage".into(),
        policy_digest: "ab".repeat(32),
        plan_digest: "cd".repeat(32),
        component_digest: "ef".repeat(32),
        workspace: "/srv/work".into(),
        settings: json!({"engine": "wasmtime", "fuel": 1000}),
        enforcement: json!({"seccomp": {"ok": true, "summary": "filter, 2 programs"}}),
    }))
}

/// One record of each kind that a run writes.
pub fn one_of_each() -> Vec<Record> {
    vec![
        start(),
        call(1, json!({"path": "dpkg.log", "offset": 0, "z": [1.5, -0.0, 1e300, u64::MAX, i64::MIN, null, true]})),
        Record::Result(Outcome {
            id: 1,
            status: "ok".into(),
            body: Payload::Inline(json!({"content": "a\nb\u{1b}[31m\u{202e}é😀", "eof": true})),
            micros: 120,
        }),
        Record::Syscall(Syscall {
            cell: 0,
            nr: 41,
            name: "socket".into(),
            arch: "x86_64".into(),
            args: vec!["0x2".into(), "0x1".into(), "0x0".into()],
            pid: 4711,
            verdict: "deny".into(),
            errno: "EPERM".into(),
            call: Some(1),
            repeated: 3,
        }),
        log("done"),
        Record::Lifecycle { event: "exit".into(), detail: json!({"reason": "finished", "status": null}) },
    ]
}

/// A journal with `records`, in a directory of its own, and its head.
pub fn journal(records: Vec<Record>) -> (tempfile::TempDir, u64, String) {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(open_dir(dir.path())).unwrap();
    for record in records {
        writer.append(record).unwrap();
    }
    writer.commit().unwrap();
    let (seq, head) = writer.head();
    (dir, seq, head)
}
