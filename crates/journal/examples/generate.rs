//! A state folder full of journals, for measuring what reads them:
//! `cargo run --release -p stockade-journal --example generate DIR RUNS CALLS`.
//!
//! Each run has a start, CALLS calls with their results, a refused system call for every 100 of them, and an end. The
//! calls are of a mix of tools and decisions, as `policies/ci-agent.toml` would have made them.

use std::error::Error;
use std::fs::{self, File};
use std::path::Path;

use serde_json::{Value, json};
use stockade_journal::{Call, Outcome, Payload, Record, Start, Syscall, Writer};

const POLICY: &str = "8c5f7ac2f9bd4a8d31f5f7d1a2ab1ec4b1fd9d66d3d7f0e9fbb0f3c9a4d21e07";

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [dir, runs, calls] = args.as_slice() else { return Err("usage: generate DIR RUNS CALLS".into()) };
    let (runs, calls): (u64, u64) = (runs.parse()?, calls.parse()?);
    for run in 0..runs {
        let id = format!("r-20261101T{:06}-{run:06x}", run % 240_000);
        let dir = Path::new(dir).join("runs").join(&id).join("journal");
        fs::create_dir_all(&dir)?;
        write(Writer::create(File::open(&dir)?.into())?, &id, calls)?;
    }
    println!("{runs} runs of {calls} calls");
    Ok(())
}

fn write(mut writer: Writer, run: &str, calls: u64) -> Result<(), Box<dyn Error>> {
    writer.append(start(run))?;
    for id in 1..=calls {
        let (tool, args, effect, allowed) = call(id);
        writer.append(Record::Call(Call {
            id,
            fuel: Some(id * 48_113),
            tool: tool.to_owned(),
            args: Payload::Inline(args),
            effect: effect.to_owned(),
            decision: if allowed { "allow" } else { "deny" }.to_owned(),
            rules: if allowed { vec![format!("tools.allow[{}]", id % 3)] } else { Vec::new() },
            reason: if allowed { "allowed by tools.allow[0] (ci-agent.toml:21)" } else { "denied by policy (no rule)" }
                .to_owned(),
            layer: "policy".to_owned(),
            policy_digest: POLICY.to_owned(),
            denial: None,
        }))?;
        let (status, body) =
            if allowed { ("ok", json!({"size": 4096})) } else { ("denied", json!({"error": "denied"})) };
        let body = Payload::Inline(body);
        writer.append(Record::Result(Outcome { id, status: status.to_owned(), body, micros: 87 }))?;
        if id % 100 == 0 {
            writer.append(syscall(id))?;
        }
    }
    let detail = json!({"detail": "", "reason": "finished", "status": {"code": 0}});
    writer.append(Record::Lifecycle { event: "exit".to_owned(), detail })?;
    Ok(writer.commit()?)
}

fn call(id: u64) -> (&'static str, Value, &'static str, bool) {
    let path = format!("src/module_{}/file_{}.rs", id % 97, id % 1009);
    match id % 10 {
        0..5 => ("workspace.read", json!({"length": 65536, "offset": 0, "path": path}), "read", true),
        5 | 6 => ("workspace.write", json!({"content": "x".repeat(128), "path": path}), "write", true),
        7 => ("workspace.list", json!({"path": format!("src/module_{}", id % 97)}), "read", true),
        8 => ("exec", json!({"argv": ["/usr/bin/git", "status", "--short"]}), "local", true),
        _ => ("shell.exec", json!({"argv": ["curl", "https://example.net/"]}), "remote", false),
    }
}

fn syscall(id: u64) -> Record {
    Record::Syscall(Syscall {
        cell: 1,
        nr: 41,
        name: "socket".to_owned(),
        arch: "x86_64".to_owned(),
        args: ["0x2", "0x1", "0x0", "0x0", "0x0", "0x0"].map(str::to_owned).to_vec(),
        pid: 0,
        verdict: "deny".to_owned(),
        errno: "EPERM".to_owned(),
        call: Some(id),
        repeated: 0,
    })
}

fn start(run: &str) -> Record {
    Record::Start(Box::new(Start {
        version: stockade_journal::VERSION,
        run: run.to_owned(),
        kind: "wasm".to_owned(),
        agent: "ci-agent".to_owned(),
        task: vec!["build".to_owned()],
        policy: "ci-agent".to_owned(),
        policy_digest: POLICY.to_owned(),
        plan_digest: "5d".repeat(32),
        component_digest: "e3".repeat(32),
        workspace: "/srv/ci".to_owned(),
        settings: json!({"fuel": 1_000_000_000u64}),
        enforcement: json!({"seccomp": {"ok": true, "summary": "mode 2, 2 filters"}}),
    }))
}
