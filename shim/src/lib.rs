//! The mediator of one agent: check, journal the intent, act, journal the outcome.
//!
//! One thread, one poll loop, no privilege. The supervisor is on one side ([`control`]), the agent's
//! cell on the other ([`channel`] for wasm, seccomp notifications in [`notify`] for every kind), the
//! journal and the workspace are directories that were opened before. [`run`] is the whole program;
//! `docs` of the crates `stockade-wire`, `stockade-policy` and `stockade-journal` say what the
//! messages, decisions and records are.
//!
//! What is received is bounded before it is kept; what can't be recorded does not happen.

pub mod answer;
pub mod channel;
pub mod control;
pub mod doors;
pub mod egress;
pub mod error;
mod exec;
pub mod heads;
mod json;
pub mod ledger;
pub mod logs;
pub mod mcp;
mod mediator;
pub mod notify;
pub mod protocol;
mod random;
pub mod recall;
mod replay;
pub mod script;
pub mod sys;
pub mod tools;
pub mod workspace;

pub use doors::Doors;
pub use error::ShimError;
pub use mediator::run;

/// Tells the operator, on standard error, why the shim stops. One line; what can't be written is lost.
pub fn diagnose(error: &ShimError) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "stockade-shim: {error}");
}
