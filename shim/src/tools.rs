//! The tools that the shim performs itself. Only a [`Grant`] opens them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use stockade_policy::{Grant, ToolCall};
use stockade_wire::frame::Status;

use crate::answer::Answer;
use crate::exec::MAX_ARGV_JSON;
use crate::random::fill;
use crate::workspace::Workspace;

/// Most bytes of content in one `workspace.write`.
pub const MAX_CONTENT: usize = 1024 * 1024;

/// What a call needs besides its typed arguments.
#[derive(Debug, Default)]
pub struct Inputs {
    content: Vec<u8>,
}

impl Inputs {
    /// Takes the parts of the arguments that the typed call leaves in the text, and checks them.
    ///
    /// # Errors
    /// What does not fit, for the agent.
    pub fn of(call: &ToolCall, args: &Value) -> Result<Self, String> {
        match call {
            ToolCall::Write { size, .. } => {
                let content = content(args)?;
                if content.len() > MAX_CONTENT {
                    return Err(format!("workspace.write: /content: over {MAX_CONTENT} bytes; append in parts"));
                }
                // The policy decided on this size.
                if content.len() as u64 != *size {
                    return Err("workspace.write: /content_base64: not canonical".to_owned());
                }
                Ok(Self { content })
            }
            ToolCall::Exec { argv, .. } => {
                let json = serde_json::to_vec(argv).map_or(usize::MAX, |json| json.len());
                if json > MAX_ARGV_JSON {
                    return Err(format!("exec: /argv: over {MAX_ARGV_JSON} bytes as JSON"));
                }
                Ok(Self::default())
            }
            _ => Ok(Self::default()),
        }
    }
}

fn content(args: &Value) -> Result<Vec<u8>, String> {
    let text = |key| args.get(key).and_then(Value::as_str);
    match (text("content"), text("content_base64")) {
        (Some(text), None) => Ok(text.as_bytes().to_vec()),
        (None, Some(text)) => STANDARD.decode(text).map_err(|e| format!("workspace.write: /content_base64: {e}")),
        _ => Err("workspace.write: give either `content` or `content_base64`".to_owned()),
    }
}

/// Does what was granted. `exec` and the tools of servers are not among these: they take cells of their own. `offered`
/// gives the tools that the agent could call.
#[must_use]
pub fn perform(
    grant: &Grant,
    inputs: &Inputs,
    workspace: Option<&Workspace>,
    offered: impl FnOnce() -> Vec<Value>,
) -> Answer {
    let with = |act: &dyn Fn(&Workspace) -> Result<Value, crate::workspace::FsError>| match workspace {
        Some(workspace) => act(workspace).map_or_else(|e| e.answer(), Answer::ok),
        None => Answer::error(Status::Failed, "no_workspace", "this run has no workspace"),
    };
    match grant.call() {
        ToolCall::Read { path, offset, length } => with(&|w| w.read(path, *offset, *length)),
        ToolCall::Write { path, mode, .. } => with(&|w| w.write(path, *mode, &inputs.content)),
        ToolCall::List { path, limit } => with(&|w| w.list(path, *limit)),
        ToolCall::Stat { path } => with(&|w| w.stat(path)),
        ToolCall::Clock => clock(),
        ToolCall::Random { length } => random(*length),
        ToolCall::Tools => Answer::ok(json!({ "tools": offered() })),
        ToolCall::Exec { .. } | ToolCall::Mcp { .. } => {
            Answer::error(Status::Failed, "internal", "it is not performed here")
        }
    }
}

/// A string, since nanoseconds since 1970 are more than a JSON number holds exactly.
fn clock() -> Answer {
    match std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
        Ok(since) => Answer::ok(json!({ "unix_ns": since.as_nanos().to_string() })),
        Err(_) => Answer::error(Status::Failed, "clock", "the host's clock is before 1970"),
    }
}

fn random(length: u64) -> Answer {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    match fill(&mut bytes) {
        Ok(()) => Answer::ok(json!({ "base64": STANDARD.encode(&bytes) })),
        Err(e) => Answer::error(Status::Failed, "random", &format!("getrandom: {}", e.desc())),
    }
}
