//! Policy text to diagnostics, decisions and filters.
//!
//! [`load`] reads one TOML file with what it names, and gives a [`Policy`]: limits and paths for the
//! kernel's layers, and a [`Bundle`] of Cedar policies with which a [`Decider`] decides tool calls.
//! Absent, empty, unknown and unparsable mean deny. [`seccomp`] holds the filters that were compiled
//! from `seccomp-profiles/` when this crate was built.
//!
//! Nothing here needs a privilege or has an effect other than reading the files named.

pub mod bundle;
mod cedar;
mod cedar_bounds;
mod cedar_file;
pub mod code;
mod context;
mod decide;
mod denial;
mod diagnostic;
mod digest;
mod engine;
mod extends;
mod facts;
mod load;
mod model;
mod path;
mod presets;
#[doc(hidden)]
pub mod reference;
mod refusal;
mod resolve;
mod rules;
pub mod seccomp;
mod source;
mod text;
pub mod tool;
mod verdict;
mod written;

pub use bundle::{Bundle, BundleError};
pub use cedar::{CompileError, SCHEMA};
pub use decide::{Decider, Request};
pub use denial::{Denial, Fix};
pub use diagnostic::{Diagnostic, Diagnostics};
pub use facts::{Counts, Facts};
pub use load::{load, parse_policy};
pub use model::{ExecRule, Fs, FsRule, LAYERS, Limits, Origin, Policy, Require};
pub use path::{PathError, PathRule, WorkspacePath};
pub use presets::{preset, preset_names};
pub use tool::{ArgError, Effect, Tool, ToolCall};
pub use verdict::{Approval, Grant, Question, Verdict};
