//! A server's `tools/list`, read whole or refused.

use super::args_type::{Fields, map};
use super::json::{At, JsonError, kind, strict_json};
use super::shape::{self, Remark, Shape};
use serde_json::{Map, Value};

/// Most tools of one server.
pub const MAX_TOOLS: usize = 256;
/// Arguments that all tools of one server may have for policies, nested ones counted. Cedar's time to load a
/// schema grows with them.
const MAX_SERVER_FIELDS: usize = 8192;
/// Longest name of a tool in bytes (MCP 2025-11-25, Tools, Tool Names).
pub const MAX_TOOL_NAME: usize = 128;
/// Longest name of a tool as calls have it, with its server's, in bytes.
const MAX_CALL_NAME: usize = 128;
/// Longest name of a server in bytes.
pub const MAX_SERVER_NAME: usize = 64;

/// Why a `tools/list` is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadError {
    /// JSON pointer (RFC 6901) into what was read, from `/tools`; empty for the whole.
    pub at: String,
    /// What is wrong, and what to do.
    pub message: String,
}

impl ReadError {
    pub(super) fn at(at: &At<'_>, message: impl Into<String>) -> Self {
        Self { at: at.to_string(), message: message.into() }
    }

    fn whole(message: impl Into<String>) -> Self {
        Self { at: String::new(), message: message.into() }
    }
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.at.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.at, self.message) }
    }
}

impl std::error::Error for ReadError {}

impl From<JsonError> for ReadError {
    fn from(error: JsonError) -> Self {
        Self::whole(error.message)
    }
}

/// One tool of a server.
#[derive(Debug, Clone)]
pub struct McpTool {
    pub(super) name: String,
    /// What its server said of it, for its pin and for agents.
    pub(super) said: Map<String, Value>,
    pub(super) shape: Shape,
    pub(super) fields: Fields,
    pub(super) unmapped: Vec<Remark>,
}

impl McpTool {
    /// Its name, as the server has it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it does, in its server's words: text from outside, to be shown as such.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.said.get("description").and_then(Value::as_str)
    }

    /// What its server said of it, under another name, as an entry of a `tools/list` answer.
    #[must_use]
    pub fn listed_as(&self, name: &str) -> Value {
        let mut said = self.said.clone();
        said.insert("name".to_owned(), name.into());
        said.into()
    }

    /// What its server said of one part: `description`, `inputSchema`, `outputSchema`, `annotations`.
    #[must_use]
    pub fn part(&self, part: &str) -> Option<&Value> {
        self.said.get(part)
    }

    /// The arguments as policies see them.
    #[must_use]
    pub fn args_type(&self) -> &Fields {
        &self.fields
    }

    /// Arguments that no policy sees, because Cedar has no word for their type; by pointer into the arguments.
    #[must_use]
    pub fn unmapped(&self) -> &[Remark] {
        &self.unmapped
    }

    /// Keywords of its `inputSchema` that are not enforced; by pointer into the list.
    #[must_use]
    pub fn unchecked(&self) -> &[Remark] {
        &self.shape.unchecked
    }

    fn read(value: &Value, at: &At<'_>) -> Result<Self, ReadError> {
        let tool =
            value.as_object().ok_or_else(|| ReadError::at(at, format!("a tool is an object, not {}", kind(value))))?;
        let name_at = At::Key(at, "name");
        let name = tool.get("name").and_then(Value::as_str);
        let name = name.ok_or_else(|| ReadError::at(&name_at, "must be a string; a tool needs a name"))?;
        check_name(name, &name_at)?;
        let schema_at = At::Key(at, "inputSchema");
        let schema = tool.get("inputSchema").unwrap_or(&Value::Null);
        let object = schema.as_object().and_then(|s| s.get("type")).and_then(Value::as_str) == Some("object");
        if !object {
            return Err(ReadError::at(&schema_at, "must be a JSON Schema with `\"type\": \"object\"`"));
        }
        for (key, wanted) in [
            ("title", "a string"),
            ("description", "a string"),
            ("outputSchema", "an object"),
            ("annotations", "an object"),
        ] {
            if let Some(found) = tool.get(key).map(kind).filter(|found| *found != wanted) {
                return Err(ReadError::at(&At::Key(at, key), format!("must be {wanted}, not {found}")));
            }
        }
        let shape = shape::read(schema, &schema_at)?;
        let (fields, unmapped) = map(&shape);
        let said = ["name", "title", "description", "inputSchema", "outputSchema", "annotations"];
        let said =
            said.iter().filter_map(|key| tool.get(*key).map(|value| ((*key).to_owned(), value.clone()))).collect();
        Ok(Self { name: name.to_owned(), said, shape, fields, unmapped })
    }
}

fn check_name(name: &str, at: &At<'_>) -> Result<(), ReadError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./".contains(&b);
    if name.is_empty() || name.len() > MAX_TOOL_NAME || !name.bytes().all(plain) {
        let message = format!("a tool's name has 1 to {MAX_TOOL_NAME} of A-Z a-z 0-9 _ - . /; rename it at the server");
        return Err(ReadError::at(at, message));
    }
    Ok(())
}

/// One answer to `tools/list`.
#[derive(Debug, Clone)]
pub struct ToolPage {
    /// The tools, in the server's order.
    pub tools: Vec<McpTool>,
    /// There are more tools; ask again with this cursor.
    pub next_cursor: Option<String>,
}

/// Reads an answer to `tools/list` (MCP 2025-11-25): the result itself, or the JSON-RPC response around it.
/// At most 1 MiB, [`MAX_TOOLS`] tools.
///
/// # Errors
/// [`ReadError`] for the first fault; no tool of a faulty list is taken.
pub fn read_tools(bytes: &[u8]) -> Result<ToolPage, ReadError> {
    let whole = strict_json(bytes)?;
    let of = |key: &str| whole.get(key);
    if let Some(error) = of("error") {
        let text = error.get("message").and_then(Value::as_str).unwrap_or("no message");
        let text: String = text.chars().take(200).collect();
        return Err(ReadError::whole(format!("the server answered with an error: {}", text.escape_debug())));
    }
    if of("jsonrpc").is_some_and(|version| version != "2.0") {
        return Err(ReadError::at(&At::Key(&At::Root, "jsonrpc"), "must be \"2.0\""));
    }
    let result = of("result").unwrap_or(&whole);
    let tools_at = At::Key(&At::Root, "tools");
    let tools = result.get("tools").and_then(Value::as_array);
    let tools = tools.ok_or_else(|| ReadError::at(&tools_at, "must be an array; give the answer to `tools/list`"))?;
    if tools.len() > MAX_TOOLS {
        return Err(ReadError::at(&tools_at, format!("{} tools; at most {MAX_TOOLS} are taken", tools.len())));
    }
    let tools = tools.iter().enumerate().map(|(n, tool)| McpTool::read(tool, &At::Index(&tools_at, n)));
    let tools = tools.collect::<Result<Vec<_>, _>>()?;
    unique(&tools)?;
    let next_cursor = match result.get("nextCursor") {
        None | Some(Value::Null) => None,
        Some(Value::String(cursor)) => Some(cursor.clone()),
        Some(_) => return Err(ReadError::at(&At::Key(&At::Root, "nextCursor"), "must be a string")),
    };
    Ok(ToolPage { tools, next_cursor })
}

fn unique(tools: &[McpTool]) -> Result<(), ReadError> {
    let mut names = std::collections::HashSet::new();
    match tools.iter().position(|tool| !names.insert(tool.name.as_str())) {
        None => Ok(()),
        Some(n) => {
            let at = At::Index(&At::Key(&At::Root, "tools"), n);
            Err(ReadError::at(&At::Key(&at, "name"), "this name comes twice; a call would not say which is meant"))
        }
    }
}

/// A server and its tools.
#[derive(Debug, Clone)]
pub struct McpServer {
    name: String,
    tools: Vec<McpTool>,
}

impl McpServer {
    /// A server under the name a policy gives it, with the tools of all its pages.
    ///
    /// # Errors
    /// [`ReadError`] for a name that is not 1 to 64 of `a-z 0-9 - _`, over [`MAX_TOOLS`] tools, a name that
    /// comes twice, or over 8,192 arguments in all.
    pub fn new(name: &str, tools: Vec<McpTool>) -> Result<Self, ReadError> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        if name.is_empty() || name.len() > MAX_SERVER_NAME || !name.bytes().all(plain) {
            // Without a dot, so that `mcp.SERVER.TOOL` can be read in one way only.
            let message = format!("a server's name has 1 to {MAX_SERVER_NAME} of a-z 0-9 - _");
            return Err(ReadError::whole(message));
        }
        if tools.len() > MAX_TOOLS {
            return Err(ReadError::whole(format!("{} tools; at most {MAX_TOOLS} are taken", tools.len())));
        }
        unique(&tools)?;
        // Names of calls are bounded where they arrive: `mcp.SERVER.TOOL` must fit.
        if let Some(long) = tools.iter().find(|tool| "mcp..".len() + name.len() + tool.name.len() > MAX_CALL_NAME) {
            let message =
                format!("mcp.{name}.{} is over {MAX_CALL_NAME} bytes; give the server a shorter name", long.name);
            return Err(ReadError::whole(message));
        }
        let fields: usize = tools.iter().map(|tool| tool.fields.count()).sum();
        if fields > MAX_SERVER_FIELDS {
            let message = format!("its tools have {fields} arguments; at most {MAX_SERVER_FIELDS} are taken");
            return Err(ReadError::whole(message));
        }
        Ok(Self { name: name.to_owned(), tools })
    }

    /// Its name in policies.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its tools.
    #[must_use]
    pub fn tools(&self) -> &[McpTool] {
        &self.tools
    }

    /// The tool of that name.
    #[must_use]
    pub fn tool(&self, name: &str) -> Option<&McpTool> {
        self.tools.iter().find(|tool| tool.name == name)
    }

    /// The action a call of a tool is: `mcp.SERVER.TOOL`.
    #[must_use]
    pub fn action(&self, tool: &McpTool) -> String {
        format!("mcp.{}.{}", self.name, tool.name)
    }
}
