//! The policy language's text: TOML with places, and nothing that has not been asked for by name.

pub(crate) mod file;
mod reader;
mod units;
mod values;

pub(crate) use reader::{Located, suggestion};
