//! What reads the journals of a state folder: `policy replay`, `journal query`, `journal tail`, on journals that a
//! writer makes here.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod bundle;
mod ocsf;
mod otlp;
mod query;
mod replay;
mod retention;
mod tail;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use stockade_journal::{Call, Outcome, Payload, Record, Start, Syscall, Writer};

/// A state folder.
pub struct Place(tempfile::TempDir);

#[allow(clippy::new_without_default, reason = "it makes a folder on the disk")]
impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn journal(&self, run: &str) -> PathBuf {
        self.path().join("runs").join(run).join("journal")
    }

    /// Begins a run's journal with its start.
    pub fn begin(&self, run: &str, kind: &str) -> Writer {
        let dir = self.journal(run);
        fs::create_dir_all(&dir).unwrap();
        let mut writer = Writer::create(File::open(&dir).unwrap().into()).unwrap();
        writer.append(start(run, kind)).unwrap();
        writer
    }

    pub fn stockade(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stockade"));
        command.args(args).arg("--state").arg(self.path()).env("NO_COLOR", "1").env_remove("COLUMNS");
        command
    }
}

pub fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn errors(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub fn lines(output: &Output) -> Vec<Value> {
    text(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn start(run: &str, kind: &str) -> Record {
    Record::Start(Box::new(Start {
        version: stockade_journal::VERSION,
        run: run.into(),
        kind: kind.into(),
        agent: "triage".into(),
        task: vec!["look".into()],
        policy: "agent".into(),
        policy_digest: "1f".repeat(32),
        plan_digest: "2e".repeat(32),
        component_digest: "3d".repeat(32),
        workspace: "/srv/triage".into(),
        settings: json!({}),
        enforcement: json!({"seccomp": {"ok": true, "summary": "mode 2"}}),
    }))
}

/// A call as a shim records it: `denied` is the layer that said no.
pub fn call(id: u64, tool: &str, args: Payload, denied: Option<&str>) -> Record {
    let rules = if denied.is_none() { vec!["tools.allow[0]".into()] } else { Vec::new() };
    Record::Call(Call {
        id,
        fuel: Some(id * 100),
        tool: tool.into(),
        args,
        effect: "read".into(),
        decision: if denied.is_none() { "allow" } else { "deny" }.into(),
        rules,
        reason: "as it was".into(),
        layer: denied.unwrap_or("policy").into(),
        policy_digest: "1f".repeat(32),
        denial: denied.map(|layer| json!({"fixable": false, "layer": layer, "rule": null})),
    })
}

pub fn result(id: u64, status: &str) -> Record {
    Record::Result(Outcome { id, status: status.into(), body: Payload::Inline(json!({})), micros: 5 })
}

pub fn syscall(name: &str, repeated: u64) -> Record {
    Record::Syscall(Syscall {
        cell: 0,
        nr: 1,
        name: name.into(),
        arch: "x86_64".into(),
        args: ["0x0"; 6].map(str::to_owned).to_vec(),
        pid: 0,
        verdict: "deny".into(),
        errno: "EPERM".into(),
        call: None,
        repeated,
    })
}

pub fn exit() -> Record {
    Record::Lifecycle { event: "exit".into(), detail: json!({"reason": "finished", "status": {"code": 0}}) }
}

pub fn inline(value: Value) -> Payload {
    Payload::Inline(value)
}
