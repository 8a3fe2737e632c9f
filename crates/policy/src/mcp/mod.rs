//! Tools of MCP servers: their `tools/list` becomes Cedar actions, checks of arguments, and pins.
//!
//! A server is not trusted, and neither is what it says of its tools. [`read_tools`] takes a list whole or
//! refuses it. [`check_args`] holds a call against the tool's `inputSchema` before anything is decided and
//! gives what Cedar sees of it. A policy cannot decide on what it does not see: [`McpTool::unmapped`] names
//! those arguments, [`McpTool::unchecked`] the keywords that are not enforced. [`pin()`] tells whether a tool
//! is still the one that was looked at.
//!
//! The protocol is that of revision 2025-11-25, server features, Tools.

mod args_type;
mod call;
mod check;
mod drift;
mod json;
mod keywords;
mod list;
mod pin;
mod shape;

#[cfg(test)]
mod filesystem;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;

pub use args_type::{ArgType, Fields};
pub(crate) use call::check_schema;
pub use call::{CedarArgs, check_args};
pub use check::ArgError;
pub use drift::drift;
pub use json::{JsonError, MAX_JSON, strict_json};
pub use list::{MAX_TOOLS, McpServer, McpTool, ReadError, ToolPage, read_tools};
pub use pin::{Drift, Pin, Pins, diff_pins, pin, pins};
pub use shape::Remark;
