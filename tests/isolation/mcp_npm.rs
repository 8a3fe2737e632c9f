//! MCP servers of others, unchanged, in cells: their results through the shim are those without it, byte for byte.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::mcp::AGENT;
use crate::rig::Rig;

/// Where `packaging/install-deps.sh test` puts them.
const SERVERS: &str = "/opt/stockade-tests/mcp";

fn program(server: &str) -> String {
    format!("{SERVERS}/node_modules/@modelcontextprotocol/{server}/dist/index.js")
}

/// A server without anything between.
struct Bare {
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    child: std::process::Child,
}

impl Bare {
    fn start(server: &str, args: &[&str]) -> Self {
        let mut command = Command::new("/usr/bin/node");
        command.arg(program(server)).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut bare = Self { stdin, stdout, child };
        bare.ask("initialize", &json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "test", "version": "1" } }));
        writeln!(bare.stdin, "{}", json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).unwrap();
        bare
    }

    /// The result in the server's own bytes, which writes it first.
    fn ask(&mut self, method: &str, params: &Value) -> String {
        writeln!(self.stdin, "{}", json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params })).unwrap();
        loop {
            let mut line = String::new();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "the server ended");
            if let Some(rest) = line.strip_prefix("{\"result\":") {
                return rest.trim_end().strip_suffix(",\"jsonrpc\":\"2.0\",\"id\":7}").unwrap().to_owned();
            }
            // What it tells on its own.
            assert!(!line.contains("\"id\":7"), "{line}");
        }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

#[test]
fn results_of_npm_servers_are_the_same_byte_for_byte() {
    let name = "results_of_npm_servers_are_the_same_byte_for_byte";
    if !Path::new(&program("server-filesystem")).exists() {
        println!(
            "SKIPPED {name}: no {SERVERS}; packaging/install-deps.sh test installs it, where npm and a registry are"
        );
        return;
    }
    let Some(rig) = Rig::new(name, &["python3", "node"]) else { return };
    let work = rig.path("work");
    fs::create_dir(work.join("folder")).unwrap();
    fs::write(work.join("a.txt"), "one\ntwo\né\u{1F600}\n").unwrap();
    fs::write(work.join("untouched"), "x".repeat(3000)).unwrap();
    let outside = work.to_str().unwrap();
    let asks: Vec<(&str, &str, Value)> = vec![
        ("fs", "read_text_file", json!({ "path": "@/a.txt" })),
        ("fs", "read_text_file", json!({ "path": "@/a.txt", "head": 1 })),
        ("fs", "list_directory", json!({ "path": "@" })),
        ("fs", "list_directory_with_sizes", json!({ "path": "@", "sortBy": "size" })),
        ("fs", "directory_tree", json!({ "path": "@" })),
        ("fs", "get_file_info", json!({ "path": "@/untouched" })),
        ("every", "echo", json!({ "message": "a \"quoted\" \\ line\n" })),
        ("every", "get-sum", json!({ "a": 0.1, "b": 2 })),
        ("every", "get-tiny-image", json!({})),
        ("every", "get-annotated-message", json!({ "messageType": "error", "includeImage": true })),
        ("every", "get-structured-content", json!({ "location": "Chicago" })),
        ("every", "get-resource-links", json!({ "count": 3 })),
    ];
    let at = |args: &Value, place: &str| -> Value {
        serde_json::from_str(&args.to_string().replace("\"@", &format!("\"{place}"))).unwrap()
    };

    let mut bare = Bare::start("server-filesystem", &[outside]);
    let mut every = Bare::start("server-everything", &[]);
    rig.file("fs.tools.json", bare.ask("tools/list", &json!({})));
    rig.file("every.tools.json", every.ask("tools/list", &json!({})));
    let wanted: Vec<String> = asks
        .iter()
        .map(|(server, tool, args)| {
            let params = json!({ "name": tool, "arguments": at(args, outside) });
            if *server == "fs" { bare.ask("tools/call", &params) } else { every.ask("tools/call", &params) }
        })
        .collect();
    drop((bare, every));

    rig.file(
        "server.toml",
        format!(
            "version = 1\nid = \"npm\"\nextends = [\"preset:node@1\"]\n[fs]\nread = [\"{SERVERS}\", \"@workspace\"]\n"
        ),
    );
    let mcp = |name: &str, server: &str, args: &str| {
        let command = format!("[\"/usr/bin/node\", \"{}\"{args}]", program(server));
        format!(
            "[[mcp]]\nname = \"{name}\"\ncommand = {command}\npolicy = \"server.toml\"\ntools = \"{name}.tools.json\"\n"
        )
    };
    let servers = mcp("fs", "server-filesystem", ", \"/workspace\"") + &mcp("every", "server-everything", "");
    let policy = rig.native_policy(&format!(
        "[fs]\nread = [\"@workspace\"]\n[tools]\nallow = [\"mcp.fs.*\", \"mcp.every.*\"]\n{servers}"
    ));
    let mut program = format!("{AGENT}\nagent = Agent()\n");
    for (server, tool, args) in &asks {
        let args = at(args, "/workspace").to_string();
        let text = serde_json::to_string(&args).unwrap();
        writeln!(program, "agent.send('tools/call', name='mcp.{server}.{tool}', arguments=json.loads({text}))\nprint(agent.line(), end='')").unwrap();
    }
    let ran = rig.python(&policy, &program);
    ran.expect("the agent", 0, &[]);
    let said = ran.text();
    let lines: Vec<&str> = said.split('\n').filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.len(), asks.len(), "{said}");
    for ((line, wanted), (_, tool, _)) in lines.iter().zip(&wanted).zip(&asks) {
        let found = line.split_once("\"result\":").and_then(|(_, rest)| rest.strip_suffix('}'));
        assert_eq!(found, Some(wanted.as_str()), "{tool}: {line}");
    }
    rig.clean("npm servers");
}

#[test]
fn a_client_of_others_speaks_with_the_shim() {
    let name = "a_client_of_others_speaks_with_the_shim";
    if !Path::new(&program("server-filesystem")).exists() {
        println!(
            "SKIPPED {name}: no {SERVERS}; packaging/install-deps.sh test installs it, where npm and a registry are"
        );
        return;
    }
    let Some(rig) = Rig::new(name, &["node"]) else { return };
    fs::write(rig.path("work/a.txt"), "hello\n").unwrap();
    fs::write(rig.path("work/client.mjs"), include_str!("mcp_client.mjs")).unwrap();
    let sections = format!("[fs]\nread = [\"@workspace\", \"{SERVERS}\"]\n[tools]\nallow = [\"workspace.read\"]\n");
    let ran = rig.native(&rig.policy("node@1", &sections), &["/usr/bin/node", "/workspace/client.mjs"]);
    ran.expect("the client", 0, &["3 tool calls, 1 denied"]);
    assert_eq!(ran.text(), "workspace.read,tools.list\nhello false\ntrue denied\n");
    rig.clean("a client of others");
}
