//! An agent that reads a Debian host's package logs and writes `report.md`: what was installed,
//! upgraded, removed, what failed and with which words, when, and on which days most happened.
//!
//! It has no files: it lists, reads and writes through tools. Logs are read in chunks and every
//! collection is bounded, so a log of any size fits.
//!
//! With `--probe` it also tries what it must not, and tells how each attempt was refused.

mod apt;
#[cfg(target_family = "wasm")]
mod bindings;
mod dpkg;
mod failures;
mod findings;
mod lines;
mod options;
mod probe;
mod report;
mod term;
mod text;
mod tools;
mod triage;

pub use options::Options;
pub use tools::{Level, Refusal, Tools};
pub use triage::run;
