//! Whatever an agent sends, the record is written, within its bound, and read again.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use common::{entries, open_dir, segment, start};
use serde_json::{Value, json};
use stockade_journal::{
    Call, MAX_INLINE, MAX_LINE, Outcome, Payload, Record, Start, Syscall, VERSION, Writer, verify_to,
};

fn nested(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, level| if level % 2 == 0 { json!([inner]) } else { json!({"k": inner}) })
}

/// All fields of all records filled with `text`, and all values `value`.
fn filled(text: &str, value: &Value) -> Vec<Record> {
    let s = || text.to_owned();
    let many = || vec![s(); 200];
    vec![
        Record::Start(Box::new(Start {
            version: VERSION,
            run: s(),
            kind: s(),
            agent: s(),
            task: many(),
            policy: s(),
            policy_digest: s(),
            plan_digest: s(),
            component_digest: s(),
            workspace: s(),
            settings: value.clone(),
            enforcement: value.clone(),
        })),
        Record::Call(Call {
            id: u64::MAX,
            fuel: Some(1234),
            tool: s(),
            args: Payload::Inline(value.clone()),
            effect: s(),
            decision: s(),
            rules: many(),
            reason: s(),
            layer: s(),
            policy_digest: s(),
            denial: Some(value.clone()),
        }),
        Record::Result(Outcome { id: 0, status: s(), body: Payload::Inline(value.clone()), micros: u64::MAX }),
        Record::Syscall(Syscall {
            cell: u32::MAX,
            nr: i64::MIN,
            name: s(),
            arch: s(),
            args: many(),
            pid: u32::MAX,
            verdict: s(),
            errno: s(),
            call: Some(u64::MAX),
            repeated: u64::MAX,
        }),
        Record::Log { level: s(), message: s(), dropped: 7 },
        Record::Lifecycle { event: s(), detail: value.clone() },
    ]
}

#[test]
fn no_text_or_value_makes_a_line_too_long_or_unreadable() {
    let texts = [
        String::new(),
        "\0".repeat(100_000),
        "\u{1b}]0;pwned\u{7}\u{202e}\u{9b}31m\r\n\u{2028}\u{feff}".repeat(9_000),
        "\"\\".repeat(70_000),
        "😀".repeat(40_000),
        "\",\"type\":\"log\"}\n{\"seq\":1".repeat(4_000),
        "x".repeat(300_000),
        "…[+12 bytes]".into(),
    ];
    let values = [
        json!(null),
        json!("x".repeat(2_000_000)),
        json!("\u{1}".repeat(MAX_INLINE)),
        json!(vec![0; 300_000]),
        nested(64),
        nested(65),
        nested(120),
        json!({"\u{0}\n\"": {"": [1e-320, 1.797e308, -0.0, 0.1, 5e-324, 123_456_789.123_456_79, u64::MAX, i64::MIN]}}),
        json!({"blob": {"sha256": "../../../etc/passwd", "size": 1}}),
        json!({"blob": {"sha256": "00".repeat(32), "size": 1}}),
        json!({"z": 1, "a": {"z": 1, "a": 2}, "é": 3, "Z": 4}),
    ];
    for (text, value) in texts.iter().flat_map(|t| values.iter().map(move |v| (t, v))) {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::create(open_dir(dir.path())).unwrap();
        for record in filled(text, value) {
            writer.append(record).unwrap();
        }
        writer.commit().unwrap();
        let (seq, head) = writer.head();
        assert_eq!(seq, 6);
        let file = std::fs::read(segment(dir.path(), 1)).unwrap();
        assert!(file.split_inclusive(|b| *b == b'\n').all(|line| line.len() <= MAX_LINE));
        assert_eq!(entries(dir.path()).len(), 6);
        verify_to(dir.path(), seq, &head).unwrap();
    }
}

#[test]
fn an_enforcement_that_is_too_long_still_says_what_held() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(open_dir(dir.path())).unwrap();
    let layer = json!({"ok": true, "summary": "as planned", "details": vec!["x".repeat(100); 300]});
    let mut record = start();
    if let Record::Start(start) = &mut record {
        start.enforcement = json!({"mounts": layer, "seccomp": layer});
    }
    writer.append(record).unwrap();
    writer.commit().unwrap();
    let Record::Start(start) = &entries(dir.path())[0].record else { panic!() };
    let short = json!({"ok": true, "summary": "as planned"});
    assert_eq!((&start.enforcement["mounts"], &start.enforcement["seccomp"]), (&short, &short));
    let blob = dir.path().join("blobs").join(start.enforcement["blob"]["sha256"].as_str().unwrap());
    let whole: Value = serde_json::from_slice(&std::fs::read(blob).unwrap()).unwrap();
    assert_eq!(whole, json!({"mounts": layer, "seccomp": layer}));
    assert_eq!(verify_to(dir.path(), 1, &writer.head().1).unwrap().blobs, 1);
}

#[test]
fn what_is_cut_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(open_dir(dir.path())).unwrap();
    let message = "é".repeat(50_000);
    writer.append(Record::Log { level: "info".into(), message: message.clone(), dropped: 11 }).unwrap();
    let Record::Log { message: kept, dropped, .. } = &entries(dir.path())[0].record else { panic!() };
    assert!(message.starts_with(kept.as_str()));
    assert_eq!(kept.len() as u64 + dropped, message.len() as u64 + 11);
}

#[test]
fn the_order_of_keys_is_the_same_in_every_build() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(open_dir(dir.path())).unwrap();
    let value = json!({"z": 1, "a": {"z": 1, "a": 2}, "é": 3, "Z": [{"b": 1, "a": 2}]});
    writer.append(Record::Lifecycle { event: "e".into(), detail: value }).unwrap();
    let text = std::fs::read_to_string(segment(dir.path(), 1)).unwrap();
    assert!(text.ends_with("{\"Z\":[{\"a\":2,\"b\":1}],\"a\":{\"a\":2,\"z\":1},\"z\":1,\"é\":3}}\n"), "{text}");
}
