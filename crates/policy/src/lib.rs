//! Policy text to diagnostics, decisions and filters.
//!
//! [`load`] reads one TOML file with what it names, and gives a [`Policy`]: limits and paths for the
//! kernel's layers, and a [`Bundle`] of Cedar policies with which a [`Decider`] decides tool calls.
//! Absent, empty, unknown and unparsable mean deny. [`seccomp`] holds the filters that were compiled
//! from `seccomp-profiles/` when this crate was built.
//!
//! Nothing here needs a privilege or has an effect other than reading the files named.

mod attempt;
mod beside;
pub mod bundle;
mod cedar;
mod cedar_bounds;
mod cedar_file;
pub mod check;
pub mod code;
mod compile_ceiling;
mod context;
mod decide;
mod denial;
mod diagnostic;
pub mod diff;
mod digest;
mod egress;
mod engine;
mod extends;
mod facts;
mod fix;
pub mod host;
pub mod language;
mod load;
pub mod mcp;
mod model;
pub mod native;
mod offer;
mod path;
mod places;
mod presets;
mod rates;
#[doc(hidden)]
pub mod reference;
mod refusal;
mod resolve;
mod rules;
mod ruling;
pub mod schema;
pub mod seal;
pub mod seccomp;
mod source;
pub mod starter;
pub mod testing;
mod text;
pub mod tool;
mod verdict;
mod written;

pub use attempt::{Access, Attempt, Expect, Http};
pub use bundle::{Bundle, BundleError};
pub use cedar::CompileError;
pub use compile_ceiling::compile_ceiling;
pub use decide::{Decider, Request};
pub use denial::{Denial, Fix};
pub use diagnostic::{Diagnostic, Diagnostics};
pub use egress::{EgressGrant, Spoken, Tunnel, check_address};
pub use facts::{Counts, Facts};
pub use fix::{Checked, check_fix};
pub use load::{CEILING, Ceiling, Options, Unpinned, load, load_with, parse_policy, parse_policy_beneath, unpinned};
pub use model::{
    CeilingEgress, EgressRule, ExecRule, Fs, FsRule, HostPatterns, LAYERS, Limits, McpRule, ModelRule, Narrowed,
    Origin, Policy, RateRule, Require, Scheme, SecretRule, Setting, SocketRule, SyscallAction, SyscallRule, ToolLimit,
    Unreachable,
};
pub use path::{PathError, PathRule, WorkspacePath};
pub use presets::{preset, preset_names};
pub use rates::Rates;
pub use ruling::{Judge, Ruling};
pub use source::Trust;
pub use text::file::surprising;
pub use tool::{ArgError, Effect, Tool, ToolCall};
pub use verdict::{Approval, Grant, NOBODY_TO_ASK, Question, Verdict};
