//! Real runs on this kernel: what is refused, what is bounded, what an agent sees, and what is left.
//!
//! Every test has the host for itself, and looks at the end for anything that is left of it.

#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests; unsafe is for system calls that take no pointer"
)]

/// Agents in component text, as the cell's own tests have them.
#[path = "../../crates/cell/tests/common/text.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod text;

mod again;
mod bad_component;
mod bad_policy;
mod bad_surroundings;
mod bad_workspace;
mod ceiling;
mod crashes;
mod fs_agreement;
mod heads;
mod journal;
mod journald;
mod language;
mod limits;
mod mcp;
mod mcp_npm;
mod native;
mod operator;
mod output;
mod reclaim;
mod replay;
mod resume;
mod rig;
mod victims;
