//! Typed use of the tools that Stockade offers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

/// Bytes asked for in one read. Small next to the memory limit, large next to a call's cost.
pub(crate) const CHUNK: u64 = 256 << 10;

/// Severity of a line for the trajectory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Progress.
    Info,
    /// Something is odd.
    Warn,
}

/// What an agent can do.
pub trait Tools {
    /// Calls a tool; arguments and result are JSON objects.
    ///
    /// # Errors
    /// The tool's or the policy's refusal.
    fn call(&mut self, tool: &str, args: &str) -> Result<String, Refusal>;
    /// Adds a line to the trajectory.
    fn log(&mut self, level: Level, message: &str);
}

/// A call without a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// `denied`, `invalid`, `failed` or `limit`.
    pub kind: &'static str,
    /// JSON.
    pub body: String,
}

impl std::fmt::Display for Refusal {
    /// One line: kind, layer if told, and reason.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body: Value = serde_json::from_str(&self.body).unwrap_or(Value::Null);
        let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
        write!(f, "{}", self.kind)?;
        if let Some(layer) = text("/layer") {
            write!(f, " by {layer}")?;
        }
        match text("/reason").or_else(|| text("/message")).or_else(|| text("/error")) {
            Some(reason) => write!(f, ": {}", crate::text::clean(reason, 300)),
            None => write!(f, ": {}", crate::text::clean(&self.body, 300)),
        }
    }
}

/// An entry of a folder.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Entry {
    /// Its last name.
    pub(crate) name: String,
    /// `file`, `dir` or another.
    pub(crate) kind: String,
}

#[derive(Deserialize)]
struct Listing {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Chunk {
    content: Option<String>,
    content_base64: Option<String>,
    eof: bool,
}

fn odd(tool: &str, why: impl std::fmt::Display) -> Refusal {
    Refusal { kind: "failed", body: json!({ "error": format!("{tool}: {why}") }).to_string() }
}

/// The folder's entries.
pub(crate) fn list(tools: &mut dyn Tools, path: &str) -> Result<Vec<Entry>, Refusal> {
    let body = tools.call("workspace.list", &json!({ "path": path }).to_string())?;
    let listing: Listing = serde_json::from_str(&body).map_err(|e| odd("workspace.list", e))?;
    Ok(listing.entries)
}

/// Bytes from `offset` on, and whether they are the last.
pub(crate) fn read(tools: &mut dyn Tools, path: &str, offset: u64) -> Result<(Vec<u8>, bool), Refusal> {
    let args = json!({ "path": path, "offset": offset, "length": CHUNK });
    let body = tools.call("workspace.read", &args.to_string())?;
    let chunk: Chunk = serde_json::from_str(&body).map_err(|e| odd("workspace.read", e))?;
    let bytes = match (chunk.content, chunk.content_base64) {
        (Some(text), _) => text.into_bytes(),
        (None, Some(text)) => STANDARD.decode(text).map_err(|e| odd("workspace.read", e))?,
        (None, None) => return Err(odd("workspace.read", "no content in the result")),
    };
    Ok((bytes, chunk.eof))
}

/// Writes a file, in parts if it is long.
pub(crate) fn write(tools: &mut dyn Tools, path: &str, content: &str) -> Result<(), Refusal> {
    let mut rest = content;
    let mut mode = "replace";
    loop {
        let (part, tail) = rest.split_at(rest.floor_char_boundary(usize::try_from(CHUNK).unwrap_or(0)));
        tools.call("workspace.write", &json!({ "path": path, "content": part, "mode": mode }).to_string())?;
        if tail.is_empty() {
            return Ok(());
        }
        rest = tail;
        mode = "append";
    }
}
