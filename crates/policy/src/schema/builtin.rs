//! What a policy can decide on beside MCP tools, as one table: each built-in tool, and each effect that is
//! decided without being a tool.

use crate::tool::{Effect, Tool};

/// The entity a call acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// `Path`
    Path,
    /// `Program`
    Program,
    /// `Tool`
    Tool,
    /// `Host`
    Host,
    /// `Model`
    Model,
}

impl Resource {
    /// The entity type's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Path => "Path",
            Self::Program => "Program",
            Self::Tool => "Tool",
            Self::Host => "Host",
            Self::Model => "Model",
        }
    }
}

/// One argument as policies see it.
#[derive(Debug, Clone, Copy)]
pub struct Arg {
    /// Name in `context.args`.
    pub name: &'static str,
    /// Cedar type.
    pub cedar: &'static str,
    /// Whether it is always there.
    pub required: bool,
}

const fn text(name: &'static str) -> Arg {
    Arg { name, cedar: "String", required: true }
}

const fn long(name: &'static str) -> Arg {
    Arg { name, cedar: "Long", required: true }
}

const fn maybe(name: &'static str) -> Arg {
    Arg { name, cedar: "Long", required: false }
}

/// One action.
#[derive(Debug, Clone, Copy)]
pub struct Action {
    /// The action's id.
    pub name: &'static str,
    /// What it acts on.
    pub resource: Resource,
    /// What the world sees of it; `None` for what leaves this host.
    pub effect: Option<Effect>,
    /// Its arguments.
    pub args: &'static [Arg],
    /// For authors of policies: lines of at most 110 characters.
    pub doc: &'static [&'static str],
}

const READ: Action = Action {
    name: "workspace.read",
    resource: Resource::Path,
    effect: Some(Effect::Read),
    args: &[text("path"), long("offset"), long("length")],
    doc: &["Bytes of a file, from `offset`, at most `length`."],
};
const WRITE: Action = Action {
    name: "workspace.write",
    resource: Resource::Path,
    effect: Some(Effect::Write),
    args: &[text("path"), text("mode"), long("size")],
    doc: &["The content itself is not part of a decision, its size in bytes is. `mode` is create, replace or append."],
};
const LIST: Action = Action {
    name: "workspace.list",
    resource: Resource::Path,
    effect: Some(Effect::Read),
    args: &[text("path"), long("limit")],
    doc: &["Names in a directory, at most `limit`."],
};
const STAT: Action = Action {
    name: "workspace.stat",
    resource: Resource::Path,
    effect: Some(Effect::Read),
    args: &[text("path")],
    doc: &["What a file or directory is: kind, size, times."],
};
const CLOCK: Action =
    Action { name: "clock", resource: Resource::Tool, effect: Some(Effect::Read), args: &[], doc: &["The time."] };
const RANDOM: Action = Action {
    name: "random",
    resource: Resource::Tool,
    effect: Some(Effect::Read),
    args: &[long("length")],
    doc: &["Random bytes."],
};
const EXEC: Action = Action {
    name: "exec",
    resource: Resource::Program,
    effect: Some(Effect::Local),
    args: &[Arg { name: "argv", cedar: "Set<String>", required: true }, long("argc"), maybe("timeout_ms")],
    doc: &["`rule` is the id of the [[exec]] entry the argument vector matches; without one there is none."],
};

/// Every agent may call it, so no policy sees it.
const TOOLS: Action = Action {
    name: "tools.list",
    resource: Resource::Tool,
    effect: Some(Effect::Read),
    args: &[],
    doc: &["The tools that the agent may call."],
};

/// Effects that are decided and are no built-in tools.
pub const EFFECTS: [Action; 3] = [
    Action {
        name: "egress.http",
        resource: Resource::Host,
        effect: None,
        args: &[text("scheme"), text("host"), long("port"), text("method"), text("path")],
        doc: &[
            "One HTTP request, with the host, method and path in their one spelling: lower case without a trailing",
            "dot, upper case, no needless percent encoding. The path is without its query.",
            "`rule` is the id of the [[egress]] entry it matches.",
        ],
    },
    Action {
        name: "egress.tcp",
        resource: Resource::Host,
        effect: None,
        args: &[text("host"), long("port")],
        doc: &["One connection. `rule` is the id of the [[egress]] entry it matches."],
    },
    Action {
        name: "model.chat",
        resource: Resource::Model,
        effect: None,
        args: &[text("model"), maybe("max_tokens")],
        doc: &["One request to a language model."],
    },
];

/// What the table says of a tool.
#[must_use]
pub const fn action(tool: Tool) -> &'static Action {
    match tool {
        Tool::Read => &READ,
        Tool::Write => &WRITE,
        Tool::List => &LIST,
        Tool::Stat => &STAT,
        Tool::Clock => &CLOCK,
        Tool::Random => &RANDOM,
        Tool::Exec => &EXEC,
        Tool::Tools => &TOOLS,
    }
}

/// All built-in tools that a policy decides on, then the other effects.
pub fn actions() -> impl Iterator<Item = &'static Action> {
    Tool::ALL.into_iter().map(action).chain(&EFFECTS)
}
