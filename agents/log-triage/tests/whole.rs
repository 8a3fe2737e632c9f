//! The agent against tools in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeMap;

use log_triage::{Refusal, Tools, run};
use serde_json::{Value, json};

#[derive(Default)]
struct Memory {
    files: BTreeMap<String, Vec<u8>>,
    logs: Vec<String>,
    largest_answer: usize,
}

impl Tools for Memory {
    fn call(&mut self, tool: &str, args: &str) -> Result<String, Refusal> {
        let args: Value = serde_json::from_str(args).unwrap();
        let path = args["path"].as_str().unwrap_or_default().to_owned();
        if path.starts_with('/') || path.contains("..") {
            return Err(Refusal { kind: "denied", body: json!({"layer": "policy", "reason": "outside"}).to_string() });
        }
        let answer = match tool {
            "workspace.list" => {
                let prefix = if path == "." { String::new() } else { format!("{path}/") };
                let mut entries = BTreeMap::new();
                for file in self.files.keys().filter_map(|f| f.strip_prefix(&prefix)) {
                    let (name, kind) = file.split_once('/').map_or((file, "file"), |(dir, _)| (dir, "dir"));
                    entries.insert(name.to_owned(), kind);
                }
                json!({ "entries": entries.iter().map(|(n, k)| json!({"name": n, "kind": k})).collect::<Vec<_>>(), "truncated": false })
            }
            "workspace.read" => {
                let file = &self.files[&path];
                let from = args["offset"].as_u64().unwrap() as usize;
                let to = file.len().min(from + args["length"].as_u64().unwrap() as usize);
                let part = &file[from..to];
                let eof = to == file.len();
                match std::str::from_utf8(part) {
                    Ok(text) => json!({ "content": text, "size": file.len(), "eof": eof }),
                    Err(_) => {
                        use base64::Engine as _;
                        json!({ "content_base64": base64::engine::general_purpose::STANDARD.encode(part), "size": file.len(), "eof": eof })
                    }
                }
            }
            "workspace.write" => {
                let file = self.files.entry(path).or_default();
                if args["mode"] == "replace" {
                    file.clear();
                }
                file.extend_from_slice(args["content"].as_str().unwrap().as_bytes());
                json!({ "written": file.len() })
            }
            _ => return Err(Refusal { kind: "denied", body: json!({"layer": "policy", "reason": "no rule"}).to_string() }),
        };
        let answer = answer.to_string();
        self.largest_answer = self.largest_answer.max(answer.len());
        Ok(answer)
    }

    fn log(&mut self, _: log_triage::Level, message: &str) {
        self.logs.push(message.to_owned());
    }
}

fn task(words: &[&str]) -> Vec<String> {
    words.iter().map(|w| (*w).to_owned()).collect()
}

fn host() -> Memory {
    let mut memory = Memory::default();
    let mut dpkg = String::new();
    for day in 1..=28 {
        for n in 0..200 {
            dpkg += &format!("2026-02-{day:02} 10:00:00 install p{n}-ä:amd64 <none> {day}\n2026-02-{day:02} 10:00:01 status installed p{n}-ä:amd64 {day}\n");
        }
    }
    dpkg += "2026-02-28 11:00:00 status half-configured stuck|pkg:amd64 1\n";
    memory.files.insert("logs/dpkg.log".into(), dpkg.into_bytes());
    memory.files.insert("logs/dpkg.log.2.gz".into(), vec![0x1f, 0x8b, 0xff]);
    memory.files.insert("logs/apt/history.log".into(), b"Start-Date: 2026-02-01  10:00:00\nCommandline: apt install x\nInstall: x:amd64 (1)\nEnd-Date: 2026-02-01  10:00:01\n".to_vec());
    memory.files.insert("logs/apt/term.log".into(), b"Log started: 2026-02-03  10:00:00\nE: \x1b[2Jbroken \xff\nLog ended: x\n".to_vec());
    memory
}

#[test]
fn logs_become_a_report() {
    let mut memory = host();
    let said = run(&task(&["what failed?"]), &mut memory).unwrap();
    assert!(said.contains("5600 packages installed"), "{said}");
    assert!(said.contains("stuck|pkg:amd64"), "{said}");
    let report = String::from_utf8(memory.files["report.md"].clone()).unwrap();
    for part in ["# Package logs", "Asked: what failed?", "| 2026-02-28 | 200 |", "stuck\\|pkg:amd64", "E: ·\\[2Jbroken", "dpkg.log.2.gz | | | not read"] {
        assert!(report.contains(part), "{part}\n{report}");
    }
    assert!(!report.contains('\x1b'));
    // Chunks, not files.
    assert!(memory.files["logs/dpkg.log"].len() > 500_000 && memory.largest_answer < 400_000);
}

#[test]
fn a_probe_tells_what_succeeded() {
    // This test runs on a host, where files and processes are within reach: the agent says so and fails.
    let mut memory = host();
    let said = run(&task(&["--probe"]), &mut memory).unwrap_err();
    assert!(said.contains("refused  a tool the policy does not list: denied by policy: no rule"), "{said}");
    assert!(said.contains("refused  a file above the workspace: denied by policy: outside"), "{said}");
    assert!(said.contains("SUCCEEDED a file by the language's own means"), "{said}");
    assert!(memory.logs.iter().any(|l| l.contains("AND GOT IT")));
}

#[test]
fn an_empty_workspace_and_a_wrong_option_are_failures() {
    assert!(run(&task(&[]), &mut Memory::default()).unwrap_err().contains("no dpkg.log"));
    assert!(run(&task(&["--prob"]), &mut host()).unwrap_err().contains("unknown option"));
}
