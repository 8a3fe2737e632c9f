//! How fast records are written and read here: `cargo run --release -p stockade-journal --example throughput [DIR]`.
//!
//! Prints; asserts nothing. The directory must be on the file system that is meant.

use std::error::Error;
use std::fs::File;
use std::time::Instant;

use serde_json::json;
use stockade_journal::{Call, Payload, Reader, Record, Writer, verify_to};

const RECORDS: u32 = 100_000;
const COMMITS: u32 = 1_000;

fn record(id: u64) -> Record {
    Record::Call(Call {
        id,
        fuel: Some(1234),
        tool: "workspace.read".into(),
        args: Payload::Inline(json!({"path": format!("var/log/dpkg.log.{id}"), "offset": 0, "length": 65536})),
        effect: "read".into(),
        decision: "allow".into(),
        rules: vec!["tools.allow".into()],
        reason: "listed in [tools] allow, log-triage.toml:12".into(),
        layer: "policy".into(),
        policy_digest: "ab".repeat(32),
        denial: None,
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let base = std::env::args_os().nth(1).unwrap_or_else(|| std::env::temp_dir().into());
    let dir = tempfile::tempdir_in(base)?;
    let mut writer = Writer::create(File::open(dir.path())?.into())?;

    let started = Instant::now();
    for id in 0..RECORDS {
        writer.append(record(id.into()))?;
    }
    writer.commit()?;
    report("append", RECORDS, started);

    let started = Instant::now();
    for id in 0..COMMITS {
        writer.append(record(id.into()))?;
        writer.commit()?;
    }
    report("append + commit", COMMITS, started);

    let started = Instant::now();
    let read = Reader::open(dir.path())?.try_fold(0u32, |n, entry| entry.map(|_| n + 1))?;
    report("read and check", read, started);

    let (seq, head) = writer.head();
    let started = Instant::now();
    let verified = verify_to(dir.path(), seq, &head)?;
    report("verify", RECORDS + COMMITS, started);
    println!("{} records, {} bytes", verified.records, std::fs::metadata(dir.path().join("00000001.jsonl"))?.len());
    Ok(())
}

fn report(what: &str, count: u32, started: Instant) {
    let each = started.elapsed() / count.max(1);
    println!("{what:16} {:9.2} µs each, {:8.0} a second", each.as_secs_f64() * 1e6, 1.0 / each.as_secs_f64());
}
