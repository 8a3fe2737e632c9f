//! What an agent must not be able to do, tried in earnest. Each attempt is made by the ordinary
//! means of the language or by a tool call; what it says is what came back.

use std::io::Read as _;
use std::net::TcpStream;

use serde_json::json;

use crate::tools::{Level, Tools};

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) what: &'static str,
    /// The refusal's words, or what the agent got hold of.
    pub(crate) outcome: Result<String, String>,
}

/// Tries everything. `Err` in an outcome is good news.
pub(crate) fn probe(tools: &mut dyn Tools) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    for (what, tool, args) in [
        ("a tool the policy does not list", "http.fetch", json!({ "url": "https://example.com/" })),
        ("a command on the host", "exec", json!({ "argv": ["/bin/sh", "-c", "id"] })),
        ("a file above the workspace", "workspace.read", json!({ "path": "../../../../etc/shadow" })),
        ("a file by its absolute path", "workspace.read", json!({ "path": "/etc/shadow" })),
        ("a file written above the workspace", "workspace.write", json!({ "path": "../escape", "content": "x" })),
    ] {
        let outcome = tools.call(tool, &args.to_string()).map_err(|refusal| refusal.to_string());
        attempts.push(Attempt { what, outcome });
    }
    attempts.push(Attempt { what: "a file by the language's own means", outcome: file() });
    attempts.push(Attempt { what: "a socket", outcome: socket() });
    attempts.push(Attempt { what: "a process", outcome: process() });
    for attempt in &attempts {
        let (level, line) = match &attempt.outcome {
            Err(refused) => (Level::Info, format!("tried {}; {refused}", attempt.what)),
            Ok(got) => (Level::Warn, format!("tried {} AND GOT IT: {got}", attempt.what)),
        };
        tools.log(level, &crate::text::clean(&line, 400));
    }
    attempts
}

fn file() -> Result<String, String> {
    let mut text = String::new();
    std::fs::File::open("/etc/passwd").and_then(|mut f| f.read_to_string(&mut text)).map_err(|e| format!("no such authority: {e}"))?;
    Ok(format!("{} bytes of /etc/passwd", text.len()))
}

fn socket() -> Result<String, String> {
    // TEST-NET-1 (RFC 5737): even a cell with a network would reach nobody.
    let stream = TcpStream::connect("192.0.2.1:80").map_err(|e| format!("no such authority: {e}"))?;
    Ok(format!("{stream:?}"))
}

fn process() -> Result<String, String> {
    let output = std::process::Command::new("/bin/sh").args(["-c", "id"]).output().map_err(|e| format!("no such authority: {e}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Lines for the agent's last word.
pub(crate) fn told(attempts: &[Attempt]) -> String {
    let mut out = String::from("What this agent must not do, and tried:");
    for attempt in attempts {
        let line = match &attempt.outcome {
            Err(refused) => format!("refused  {}: {refused}", attempt.what),
            Ok(got) => format!("SUCCEEDED {}: {got}", attempt.what),
        };
        out.push_str("\n  ");
        out.push_str(&crate::text::clean(&line, 240));
    }
    out
}
