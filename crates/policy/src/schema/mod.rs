//! The Cedar schema, written from tables, and contexts that conform to it.
//!
//! [`HOUSE`] is the schema of everything that needs no MCP server, as a file people can read. A test holds
//! that [`schema_text`] gives it, and that every context the decider makes conforms to it, so that a
//! decision need not validate its own request.

mod builtin;
mod text;

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use tests::request_conforms;

pub use builtin::{Action, Arg, EFFECTS, Resource, action, actions};
pub use text::schema_text;

/// The schema without MCP servers.
pub const HOUSE: &str = include_str!("house.cedarschema");
