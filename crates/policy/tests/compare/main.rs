//! The comparison of two policies against what they decide.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod found;
#[path = "../made/mod.rs"]
mod made;
mod soundness;
