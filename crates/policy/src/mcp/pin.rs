//! What a server said of a tool, as one digest, so that a change after approval is seen.

use super::list::{McpServer, McpTool};
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// First bytes of what is hashed; another form gets another line.
const DOMAIN: &str = "stockade mcp tool v1\n";

/// The parts of a tool that are pinned.
const PARTS: [&str; 4] = ["description", "inputSchema", "outputSchema", "annotations"];

/// A tool at one time. `title`, `icons` and `_meta` are not part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// SHA-256 in lower-case hexadecimal of name and parts.
    pub digest: String,
    /// SHA-256 of each part that is there.
    pub parts: BTreeMap<String, String>,
}

/// Pins of one server by the names of its tools.
pub type Pins = BTreeMap<String, Pin>;

/// Pins a tool by its name, description, inputSchema, outputSchema and annotations. The order of keys and
/// the spelling of numbers do not count; every character of a description does.
#[must_use]
pub fn pin(tool: &McpTool) -> Pin {
    let mut parts = BTreeMap::new();
    for part in PARTS {
        if let Some(value) = tool.said.get(part) {
            let mut text = format!("{DOMAIN}{part}\n");
            canonical(value, &mut text);
            parts.insert(part.to_owned(), hex(&text));
        }
    }
    let mut whole = format!("{DOMAIN}{}\n", tool.name);
    for (part, digest) in &parts {
        whole.push_str(&format!("{part} {digest}\n"));
    }
    Pin { digest: hex(&whole), parts }
}

/// Pins all tools of a server.
#[must_use]
pub fn pins(server: &McpServer) -> Pins {
    server.tools().iter().map(|tool| (tool.name().to_owned(), pin(tool))).collect()
}

/// A difference between two sets of pins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drift {
    /// The tool is new.
    Added(String),
    /// The tool is gone.
    Removed(String),
    /// The tool is another; the parts that differ: description, inputSchema, outputSchema, annotations.
    Changed(String, Vec<String>),
}

impl std::fmt::Display for Drift {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Added(name) => write!(f, "{name}: added"),
            Self::Removed(name) => write!(f, "{name}: removed"),
            Self::Changed(name, parts) => write!(f, "{name}: changed: {}", parts.join(", ")),
        }
    }
}

/// What changed from `old` to `new`, by the names of tools.
#[must_use]
pub fn diff_pins(old: &Pins, new: &Pins) -> Vec<Drift> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let one = |name: &&String| match (old.get(*name), new.get(*name)) {
        (None, Some(_)) => Some(Drift::Added((*name).clone())),
        (Some(_), None) => Some(Drift::Removed((*name).clone())),
        (Some(a), Some(b)) if a != b => Some(Drift::Changed((*name).clone(), changed(a, b))),
        _ => None,
    };
    names.iter().filter_map(one).collect()
}

fn changed(old: &Pin, new: &Pin) -> Vec<String> {
    let names: BTreeSet<&String> = old.parts.keys().chain(new.parts.keys()).collect();
    let parts: Vec<String> =
        names.into_iter().filter(|part| old.parts.get(*part) != new.parts.get(*part)).cloned().collect();
    if parts.is_empty() { vec!["digest".to_owned()] } else { parts }
}

fn hex(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
}

/// JSON with sorted keys, no spaces, and whole numbers without fraction or exponent.
pub(super) fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Array(list) => {
            out.push('[');
            for item in list {
                canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Object(map) => {
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            out.push('{');
            for (key, value) in sorted {
                canonical(&Value::String(key.clone()), out);
                out.push(':');
                canonical(value, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Number(n) => out.push_str(&number(n)),
        leaf => out.push_str(&leaf.to_string()),
    }
}

/// `1.0` and `1` are one number.
fn number(n: &Number) -> String {
    match n.as_f64() {
        // Doubles print whole numbers without an exponent; below 2^53 each is exact.
        Some(0.0) => "0".to_owned(),
        Some(f) if n.is_f64() && f.fract() == 0.0 && f.abs() < 9_007_199_254_740_992.0 => format!("{f:.0}"),
        _ => n.to_string(),
    }
}
