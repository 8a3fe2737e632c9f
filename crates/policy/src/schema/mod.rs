//! The Cedar schema, written from tables, and contexts that conform to it.
//!
//! [`HOUSE`] is the schema of everything that needs no MCP server, as a file people can read. A test holds
//! that [`schema_text`] gives it, and that every context [`context()`] makes conforms to it, so that a
//! decision need not validate its own request.

mod builtin;
mod context;
mod text;

#[cfg(test)]
mod tests;

pub use builtin::{Action, Arg, EFFECTS, Resource, action, actions};
pub use context::{Calls, Common, Now, args, chat_args, context, http_args, tcp_args};
pub use text::schema_text;

/// The schema without MCP servers.
pub const HOUSE: &str = include_str!("house.cedarschema");
