//! The built-in tools: names, effects, and their arguments in typed form.

mod definition;

pub(crate) use definition::checked;
pub use definition::definition;

use crate::path::WorkspacePath;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Most bytes one `workspace.read` returns.
pub const MAX_READ: u64 = 1024 * 1024;
/// Most entries one `workspace.list` returns.
pub const MAX_LIST: u64 = 10_000;
/// Most bytes one `random` returns.
pub const MAX_RANDOM: u64 = 4096;
/// Most arguments of one `exec`, the program included.
pub const MAX_ARGV: usize = 256;
/// Most characters of one argument of `exec`: in UTF-8 never over the kernel's `MAX_ARG_STRLEN` (execve(2)).
pub const MAX_ARG: usize = 32 * 1024 - 1;
/// Longest `exec` in milliseconds that can be asked for: 24 h.
pub const MAX_TIMEOUT_MS: u64 = 86_400_000;

/// A chat with a model: decided here, called by no layer of this version.
pub const MODEL_CHAT: &str = "model.chat";
/// An HTTP request outside: decided here, made by no layer of this version.
pub const EGRESS_HTTP: &str = "egress.http";
/// A TCP connection outside: decided here, made by no layer of this version.
pub const EGRESS_TCP: &str = "egress.tcp";

/// A built-in tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tool {
    /// `workspace.read`
    Read,
    /// `workspace.write`
    Write,
    /// `workspace.list`
    List,
    /// `workspace.stat`
    Stat,
    /// `clock`
    Clock,
    /// `random`
    Random,
    /// `exec`
    Exec,
    /// `tools.list`
    Tools,
}

/// What a call does to the world, as the journal classes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Changes nothing.
    Read,
    /// Changes the workspace; its intent must be durable first.
    Write,
    /// Runs something on this host; its intent must be durable first.
    Local,
    /// May do anything anywhere, whatever the server says of its tool; its intent must be durable first.
    Remote,
}

impl Effect {
    /// The journal's word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Local => "local",
            Self::Remote => "remote",
        }
    }
}

impl Tool {
    /// All that a policy decides on; what `"*"` in a tool list means. `tools.list` is not among them: every agent may
    /// call it, and it tells nothing that calling the tools would not.
    pub const ALL: [Self; 7] = [Self::Read, Self::Write, Self::List, Self::Stat, Self::Clock, Self::Random, Self::Exec];

    /// The name in policies, calls and records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "workspace.read",
            Self::Write => "workspace.write",
            Self::List => "workspace.list",
            Self::Stat => "workspace.stat",
            Self::Clock => "clock",
            Self::Random => "random",
            Self::Exec => "exec",
            Self::Tools => "tools.list",
        }
    }

    /// The tool of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().chain([Self::Tools]).find(|t| t.name() == name)
    }

    /// What its calls do to the world.
    #[must_use]
    pub fn effect(self) -> Effect {
        match self {
            Self::Write => Effect::Write,
            Self::Exec => Effect::Local,
            Self::Read | Self::List | Self::Stat | Self::Clock | Self::Random | Self::Tools => Effect::Read,
        }
    }
}

/// How `workspace.write` treats a file that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteMode {
    /// Fail.
    Create,
    /// Replace it whole.
    Replace,
    /// Add to its end.
    Append,
}

impl WriteMode {
    /// The argument's value.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Replace => "replace",
            Self::Append => "append",
        }
    }
}

/// A call whose arguments fit its tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolCall {
    /// `workspace.read`
    Read {
        /// File.
        path: WorkspacePath,
        /// First byte.
        offset: u64,
        /// Most bytes, at most [`MAX_READ`].
        length: u64,
    },
    /// `workspace.write`; the content stays in the request.
    Write {
        /// File.
        path: WorkspacePath,
        /// What if it exists.
        mode: WriteMode,
        /// Bytes of content, decoded.
        size: u64,
    },
    /// `workspace.list`
    List {
        /// Directory.
        path: WorkspacePath,
        /// Most entries, at most [`MAX_LIST`].
        limit: u64,
    },
    /// `workspace.stat`
    Stat {
        /// File or directory.
        path: WorkspacePath,
    },
    /// `clock`
    Clock,
    /// `random`
    Random {
        /// Bytes, at most [`MAX_RANDOM`].
        length: u64,
    },
    /// `exec`
    Exec {
        /// The program's absolute name, then its arguments.
        argv: Vec<String>,
        /// Longest run in milliseconds, if the call asks for less than its rule allows.
        timeout_ms: Option<u64>,
    },
    /// `tools.list`
    Tools,
    /// A tool of an MCP server; the arguments stay in the request.
    Mcp {
        /// The server's name in the policy.
        server: String,
        /// The tool's name at its server.
        tool: String,
    },
}

/// Why arguments do not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgError {
    /// The tool, if there is one of that name.
    pub tool: Option<Tool>,
    /// JSON pointer (RFC 6901) to what is at fault, if it is a part of them.
    pub at: Option<String>,
    /// What is wrong.
    pub message: String,
}

impl std::fmt::Display for ArgError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(tool) = self.tool {
            write!(f, "{}: ", tool.name())?;
        }
        if let Some(at) = &self.at {
            write!(f, "{at}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for ArgError {}

/// Arguments of one call while they are taken apart.
struct Args<'a> {
    tool: Tool,
    map: &'a Map<String, Value>,
}

impl<'a> Args<'a> {
    fn new(tool: Tool, args: &'a Value, known: &[&str]) -> Result<Self, ArgError> {
        let Some(map) = args.as_object() else {
            let message = "arguments must be a JSON object".to_owned();
            return Err(ArgError { tool: Some(tool), at: None, message });
        };
        let this = Self { tool, map };
        match map.keys().find(|k| !known.contains(&k.as_str())) {
            Some(key) => {
                let bounded: String = key.chars().take(64).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                Err(this.error(&bounded, &format!("unknown argument; known: {known}")))
            }
            None => Ok(this),
        }
    }

    fn error(&self, argument: &str, message: &str) -> ArgError {
        ArgError { tool: Some(self.tool), at: Some(pointer(argument)), message: message.to_owned() }
    }

    fn text(&self, key: &str) -> Result<Option<&'a str>, ArgError> {
        match self.map.get(key) {
            None => Ok(None),
            Some(Value::String(s)) => Ok(Some(s)),
            Some(_) => Err(self.error(key, "must be a string")),
        }
    }

    fn path(&self) -> Result<WorkspacePath, ArgError> {
        let text = self.text("path")?.ok_or_else(|| self.error("path", "missing"))?;
        text.parse().map_err(|e| self.error("path", &format!("{e}")))
    }

    fn number(&self, key: &str, max: u64) -> Result<Option<u64>, ArgError> {
        match self.map.get(key) {
            None => Ok(None),
            Some(v) => match v.as_u64() {
                Some(n) if n <= max => Ok(Some(n)),
                _ => Err(self.error(key, &format!("must be an integer from 0 to {max}"))),
            },
        }
    }

    fn argv(&self) -> Result<Vec<String>, ArgError> {
        let bad = |m: &str| self.error("argv", m);
        let list = self.map.get("argv").and_then(Value::as_array).ok_or_else(|| bad("must be an array of strings"))?;
        if list.is_empty() || list.len() > MAX_ARGV {
            return Err(bad(&format!("must have 1 to {MAX_ARGV} strings")));
        }
        let argv = list.iter().map(|v| match v.as_str() {
            Some(s) if s.contains('\0') => Err(bad("must not contain NUL")),
            Some(s) if s.chars().count() > MAX_ARG => Err(bad(&format!("an argument is over {MAX_ARG} characters"))),
            Some(s) => Ok(s.to_owned()),
            None => Err(bad("must be a string")),
        });
        argv.collect()
    }

    fn content_size(&self) -> Result<u64, ArgError> {
        match (self.text("content")?, self.text("content_base64")?) {
            (Some(text), None) => Ok(text.len() as u64),
            (None, Some(b64)) => {
                let digits = b64.trim_end_matches('=').len() as u64;
                Ok(digits / 4 * 3 + (digits % 4).saturating_sub(1))
            }
            (Some(_), Some(_)) => Err(self.error("content", "give either `content` or `content_base64`, not both")),
            (None, None) => Err(self.error("content", "missing; give `content` or `content_base64`")),
        }
    }
}

/// The JSON pointer of an argument.
fn pointer(argument: &str) -> String {
    format!("/{}", argument.replace('~', "~0").replace('/', "~1").escape_debug())
}

/// Offsets end where `off_t` does.
const MAX_OFFSET: u64 = i64::MAX as u64;

impl ToolCall {
    /// Reads a call; unknown arguments are errors.
    ///
    /// # Errors
    /// [`ArgError`] names the argument and the bound.
    pub fn parse(tool: Tool, args: &Value) -> Result<Self, ArgError> {
        Ok(match tool {
            Tool::Read => {
                let a = Args::new(tool, args, &["path", "offset", "length"])?;
                Self::Read {
                    path: a.path()?,
                    offset: a.number("offset", MAX_OFFSET)?.unwrap_or(0),
                    length: a.number("length", MAX_READ)?.unwrap_or(MAX_READ),
                }
            }
            Tool::Write => {
                let a = Args::new(tool, args, &["path", "content", "content_base64", "mode"])?;
                let mode = match a.text("mode")? {
                    None | Some("replace") => WriteMode::Replace,
                    Some("create") => WriteMode::Create,
                    Some("append") => WriteMode::Append,
                    Some(_) => return Err(a.error("mode", "must be `create`, `replace` or `append`")),
                };
                Self::Write { path: a.path()?, mode, size: a.content_size()? }
            }
            Tool::List => {
                let a = Args::new(tool, args, &["path", "limit"])?;
                Self::List { path: a.path()?, limit: a.number("limit", MAX_LIST)?.unwrap_or(MAX_LIST) }
            }
            Tool::Stat => Self::Stat { path: Args::new(tool, args, &["path"])?.path()? },
            Tool::Clock => {
                Args::new(tool, args, &[])?;
                Self::Clock
            }
            Tool::Random => {
                let a = Args::new(tool, args, &["length"])?;
                let length = a.number("length", MAX_RANDOM)?.ok_or_else(|| a.error("length", "missing"))?;
                Self::Random { length }
            }
            Tool::Exec => {
                let a = Args::new(tool, args, &["argv", "timeout_ms"])?;
                Self::Exec { argv: a.argv()?, timeout_ms: a.number("timeout_ms", MAX_TIMEOUT_MS)? }
            }
            Tool::Tools => {
                Args::new(tool, args, &[])?;
                Self::Tools
            }
        })
    }

    /// The built-in tool it is for; none if a server has the tool.
    #[must_use]
    pub fn tool(&self) -> Option<Tool> {
        Some(match self {
            Self::Read { .. } => Tool::Read,
            Self::Write { .. } => Tool::Write,
            Self::List { .. } => Tool::List,
            Self::Stat { .. } => Tool::Stat,
            Self::Clock => Tool::Clock,
            Self::Random { .. } => Tool::Random,
            Self::Exec { .. } => Tool::Exec,
            Self::Tools => Tool::Tools,
            Self::Mcp { .. } => return None,
        })
    }

    /// The tool's name in policies, calls and records.
    #[must_use]
    pub fn name(&self) -> Cow<'static, str> {
        match self {
            Self::Mcp { server, tool } => Cow::Owned(format!("mcp.{server}.{tool}")),
            own => Cow::Borrowed(own.tool().map_or("", Tool::name)),
        }
    }

    /// What it does to the world. What a server says of its own tools counts for nothing.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.tool().map_or(Effect::Remote, Tool::effect)
    }

    /// The workspace path it is about.
    #[must_use]
    pub fn path(&self) -> Option<&WorkspacePath> {
        match self {
            Self::Read { path, .. } | Self::Write { path, .. } | Self::List { path, .. } | Self::Stat { path } => {
                Some(path)
            }
            Self::Clock | Self::Random { .. } | Self::Exec { .. } | Self::Tools | Self::Mcp { .. } => None,
        }
    }

    /// The object in its one spelling: `@workspace/…`, a command line with each argument escaped
    /// (at most 1,024 characters), or the tool's name.
    #[must_use]
    pub fn object(&self) -> String {
        match self {
            Self::Exec { argv, .. } => {
                let whole = serde_json::to_string(argv).unwrap_or_default();
                if whole.len() <= 1024 { whole } else { whole.chars().take(1023).chain(['…']).collect() }
            }
            _ => self.path().map_or_else(|| self.name().into_owned(), ToString::to_string),
        }
    }
}
