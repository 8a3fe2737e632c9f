//! `stockade replay` and `stockade resume`.

use std::path::PathBuf;

use clap::ValueHint;

use super::journal::State;
use super::policy::Above;

/// Run a recorded agent again.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The component runs in a full cell, and each of its calls is compared with the record (tool, arguments, fuel) and answered \
from it. Nothing is done, and nothing is written. It ends with \"identical: N calls, M fuel\", or at the first thing that \
the agent does otherwise. A record that a crash or a limit cut short is compared as far as it goes. Of a native agent only \
the decisions on its tool calls are made again. Needs root. What exactly is compared: docs/replay.md.

Examples:
  stockade replay last
  stockade replay r-20261122t151500217-269ff896 --until 120 --step
  stockade replay evidence.tar
  stockade replay last --with fixed.wasm
  stockade replay last --policy stricter.toml

Exit codes: 0 identical · 27 it diverged · 26 settings, component or policy are not as recorded, or not here · \
15 broken journal · 19, 24 the policy given decides a call otherwise · 2 usage · others as of stockade run")]
pub struct Replay {
    /// A run's id, `last`, or a bundle that `journal export` made (a name with a dot or a slash)
    #[arg(value_hint = ValueHint::FilePath)]
    pub run: String,
    /// Stop after the record of this number
    #[arg(long, value_name = "SEQ")]
    pub until: Option<u64>,
    /// Show each call and log line; on a terminal, wait for Enter after each
    #[arg(long)]
    pub step: bool,
    /// Another component: does it behave the same? Fuel is not compared
    #[arg(long, value_name = "COMPONENT", value_hint = ValueHint::FilePath)]
    pub with: Option<PathBuf>,
    /// Also put each call to this policy, and stop before the first that it decides otherwise
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub policy: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub above: Above,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub state: State,
}

/// Go on with a run that a crash ended.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The agent begins anew in a fresh cell and is answered from the journal until it has done all that is recorded; from there on \
its calls act, and the journal goes on. A call that was under way when the crash came is made again if it only reads; any \
other is never repeated: it is recorded as `unknown`, and the agent is told that it failed. Component, policy, engine and \
limits must be those of the run. The wall-clock limit starts anew. Needs root. The rules: docs/replay.md.

Examples:
  stockade resume last
  stockade resume r-20261122t151500217-269ff896

Exit codes: 26 the run cannot go on: it lives, it has ended, or something is not as it was · 15 broken journal · others as of \
stockade run")]
pub struct Resume {
    /// A run's id, or `last`
    pub run: String,
    /// Nobody is there to approve anything: a call that needs it is denied at once
    #[arg(long)]
    pub headless: bool,
    /// Pass the agent's output on as it is, escapes and all (never to a terminal)
    #[arg(long)]
    pub raw_output: bool,
    /// Print when each step was done, in microseconds, as one JSON object on stderr
    #[arg(long)]
    pub timings: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub state: State,
}
