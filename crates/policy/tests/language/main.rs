//! The policy language, from its text to decisions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod cedar;
mod ceilings;
mod decisions;
mod diagnostics;
mod files;
#[path = "../made/mod.rs"]
mod made;
mod moments;
mod mutations;
mod properties;
mod reference;
mod sealed;
mod shipped;
mod support;
