//! What is recorded of a run: the read-back first, every refusal by its name, and an end.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::rig::{Rig, list, records_of};
use crate::text::{NOTHING, body, module};

#[test]
fn the_first_record_is_the_read_back() {
    let Some(rig) = Rig::new("the_first_record_is_the_read_back", &["python3"]) else { return };
    let native = rig.native_policy("");
    let wasm = rig.wasm_policy("");
    for (kind, count) in [("native", "2 records"), ("wasm", "3 records")] {
        let ran = if kind == "native" { rig.python(&native, "pass") } else { rig.wasm(&wasm, &body(NOTHING)) };
        ran.expect(kind, 0, &[count]);
        let records = rig.records();
        let start = &records[0];
        assert_eq!((&start["type"], &start["kind"], &start["seq"]), (&"start".into(), &kind.into(), &1.into()));
        for digest in ["policy_digest", "plan_digest", "component_digest"] {
            assert_eq!(start[digest].as_str().unwrap().len(), 64, "{digest}");
        }
        let layers = start["enforcement"].as_object().unwrap();
        println!("{kind}: {:?}", layers.keys().collect::<Vec<_>>());
        assert!(layers.len() >= 11, "{kind}: {:?}", layers.keys());
        for (name, layer) in layers {
            assert_eq!(layer["ok"], true, "{kind}: {name}: {layer}");
        }
        assert!(layers["shim"]["layers"].as_object().unwrap().values().all(|layer| layer["ok"] == true));
        let end = records.last().unwrap();
        assert_eq!(
            (&end["type"], &end["event"], &end["detail"]["reason"]),
            (&"lifecycle".into(), &"exit".into(), &"finished".into())
        );
        assert!(ran.stderr.contains("head "));
        rig.forget_runs();
    }
    rig.clean("recorded runs");
}

#[test]
fn what_is_refused_is_recorded_by_its_name() {
    let Some(rig) = Rig::new("what_is_refused_is_recorded_by_its_name", &["python3"]) else { return };
    let policy = rig.native_policy("");
    let calls = [
        ("unshare", 272),
        ("mount", 165),
        ("ptrace", 101),
        ("bpf", 321),
        ("keyctl", 250),
        ("io_uring_setup", 425),
        ("shmget", 29),
        ("kexec_load", 246),
    ];
    let numbers: Vec<i32> = calls.iter().map(|c| c.1).collect();
    let program = format!(
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nfor n in {numbers:?}:\n  r = libc.syscall(n, 0, 0, 0, 0, 0); print(n, r, ctypes.get_errno())"
    );
    let ran = rig.python(&policy, &program);
    ran.expect("refused calls", 0, &[&format!("{} syscalls denied by the shim", calls.len())]);
    for (name, number) in calls {
        assert!(ran.text().contains(&format!("{number} -1 1\n")), "{name} was not refused: {}", ran.text());
        let records = rig.records();
        let found = records.iter().find(|r| r["type"] == "syscall" && r["name"] == name);
        let found = found.unwrap_or_else(|| panic!("no record of {name}: {records:?}"));
        assert_eq!(
            (&found["nr"], &found["verdict"], &found["errno"], &found["cell"]),
            (&number.into(), &"deny".into(), &"EPERM".into(), &0.into())
        );
    }
    // A flood is folded into counts, and the counts are right.
    let ran =
        rig.python(&policy, "import ctypes\nlibc = ctypes.CDLL(None)\nfor i in range(5000): libc.syscall(272, 0)");
    ran.expect("a flood", 0, &["5000 syscalls denied"]);
    let records = rig.records();
    assert!(records.len() < 1000, "{} records", records.len());
    let told: u64 =
        records.iter().filter(|r| r["name"] == "unshare").map(|r| 1 + r["repeated"].as_u64().unwrap_or(0)).sum();
    assert_eq!(told, 5000);
    rig.clean("refused calls");
}

#[test]
fn a_call_is_recorded_before_and_after() {
    let Some(rig) = Rig::new("a_call_is_recorded_before_and_after", &[]) else { return };
    let policy = rig.wasm_policy("");
    let ask = |tool: &str| {
        let data = format!("(data (i32.const 1000) \"{tool}\") (data (i32.const 2000) \"{{}}\")");
        module(
            &data,
            &format!(
                "(call $call (i32.const 1000) (i32.const {}) (i32.const 2000) (i32.const 2) (i32.const 1024)) {NOTHING}",
                tool.len()
            ),
        )
    };
    for (tool, decision, status) in
        [("clock", "allow", "ok"), ("exec", "deny", "invalid"), ("no.such.tool", "deny", "denied")]
    {
        rig.wasm(&policy, &ask(tool)).expect(tool, 0, &["1 tool call, "]);
        let records = rig.records();
        let at = records.iter().position(|r| r["type"] == "call").unwrap();
        assert_eq!(
            (&records[at]["tool"], &records[at]["decision"]),
            (&tool.into(), &decision.into()),
            "{}",
            records[at]
        );
        assert_eq!(
            (&records[at + 1]["type"], &records[at + 1]["status"]),
            (&"result".into(), &status.into()),
            "{}",
            records[at + 1]
        );
        assert_eq!(records[at]["policy_digest"], records[0]["policy_digest"]);
    }
    rig.clean("calls");
}

#[test]
fn runs_at_the_same_time_keep_their_records_apart() {
    let Some(rig) = Rig::new("runs_at_the_same_time_keep_their_records_apart", &["python3"]) else { return };
    let native = rig.native_policy("");
    let wasm = rig.wasm_policy("");
    let component = rig.component("agent", &body(NOTHING));
    let running: Vec<_> = (0..16)
        .map(|i| {
            let mut command = rig.command(if i % 2 == 0 { &native } else { &wasm });
            match i % 2 {
                0 => command.args(["--", "/bin/sh", "-c", &format!("echo {i}")]),
                _ => command.arg(&component).args(["--", &i.to_string()]),
            };
            rig.begin(&mut command)
        })
        .collect();
    for (i, running) in running.into_iter().enumerate() {
        running.end().expect(&format!("run {i}"), 0, &["finished"]);
    }
    let runs = list(&rig.path("state/runs"));
    let tasks: BTreeSet<String> = runs
        .iter()
        .map(|run| {
            let records = records_of(run);
            assert_eq!(records.last().unwrap()["event"], "exit");
            assert_eq!(records[0]["run"], Value::from(run.file_name().unwrap().to_str().unwrap()));
            records[0]["task"].as_array().unwrap().last().unwrap().as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!((runs.len(), tasks.len()), (16, 16));
    rig.clean("sixteen runs at once");
}
