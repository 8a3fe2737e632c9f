//! The demo's agent, a component made by the Rust toolchain, in the cell: with what its runtime
//! wants of WASI, its probes, and the two programs' filters.
#![cfg(feature = "run")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use std::path::Path;

use common::{Cell, compile, config};
use serde_json::{Value, json};
use stockade_wire::control::Reason;
use stockade_wire::frame::Status;

const LOG: &str =
    "2026-02-01 10:00:00 install a:amd64 <none> 1\n2026-02-01 10:00:01 status half-configured a:amd64 1\n";

/// A shim with one file, which knows no tool but the workspace's.
fn answer(tool: &str, args: &str, report: &mut String) -> (Status, String) {
    let args: Value = serde_json::from_str(args).unwrap();
    let path = args["path"].as_str().unwrap_or_default();
    let body = match tool {
        _ if path.contains("..") || path.starts_with('/') => {
            return (
                Status::Invalid,
                json!({"error": {"code": "path", "message": "not beneath the workspace"}}).to_string(),
            );
        }
        "workspace.list" => {
            json!({"entries": [{"name": "dpkg.log", "kind": "file", "size": LOG.len()}], "truncated": false})
        }
        "workspace.read" => json!({"content": LOG, "size": LOG.len(), "eof": true}),
        "workspace.write" => {
            report.push_str(args["content"].as_str().unwrap());
            json!({"written": 1})
        }
        _ => return (Status::Denied, json!({"layer": "policy", "reason": "no rule allows it"}).to_string()),
    };
    (Status::Ok, body.to_string())
}

#[test]
fn the_log_triage_agent_works_and_is_refused_the_rest() {
    need!("stockade-cell", "stockade-compile");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../agents/target/log-triage.wasm");
    let Ok(component) = std::fs::read(&path) else {
        eprintln!("SKIPPED: {} is not built; run agents/build.sh first", path.display());
        return;
    };
    let compiled = compile(&component);
    assert!(compiled.status.success(), "{}", compiled.message);
    let mut limits = config();
    limits.task = vec!["what failed?".into(), "--probe".into()];
    limits.log_line = 1000;
    let mut report = String::new();
    let ended = Cell::start(&compiled.artifact, &limits).serve(|tool, args| answer(tool, args, &mut report));
    assert_eq!(ended.reason(), Reason::Finished, "{ended:?}");
    for part in [
        "1 packages installed",
        "refused  a tool the policy does not list: denied by policy: no rule allows it",
        "refused  a command on the host: denied",
        "refused  a file above the workspace: invalid",
        "refused  a file by the language's own means",
        "refused  a socket",
        "refused  a process",
    ] {
        assert!(ended.detail().contains(part), "{part}\n{}", ended.detail());
    }
    assert!(report.contains("half-configured"), "{report}");
    let tools: Vec<&str> = ended.calls.iter().map(|c| c.1.as_str()).collect();
    // Built without WASI (agents/build.sh, route build-std) the attempt ends in the language's runtime.
    let has_sockets = component.windows(12).any(|w| w == b"wasi:sockets");
    assert_eq!(tools.contains(&"wasi.socket"), has_sockets, "{tools:?}");
    assert!(!tools.contains(&"random") && !tools.contains(&"clock"), "{tools:?}");
    println!("{}\nfuel {}", ended.detail(), ended.exit.as_ref().unwrap().fuel);
}
