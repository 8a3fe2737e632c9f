//! The policy language, from its text to decisions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod cedar;
mod decisions;
mod diagnostics;
mod files;
mod moments;
mod mutations;
mod reference;
mod shipped;
mod support;
