//! The policy language's text: TOML or JSON with places, and nothing that is not in the language.

pub(crate) mod file;
mod json;
mod reader;
mod toml;
mod tree;
pub(crate) mod units;
mod values;

pub(crate) use reader::{Located, suggestion};
