//! The command line. `--help`, man pages and completions come from here.

pub mod journal;
pub mod mcp;
pub mod notary;
pub mod operator;
pub mod policy;
pub mod replay;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum, ValueHint};

/// Run AI agents you do not trust, under every layer the kernel has, and keep the record.
#[derive(Debug, Parser)]
#[command(
    name = "stockade",
    version,
    max_term_width = 100,
    after_help = "Exit codes are in docs/exit-codes.md and stockade-run(1)."
)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run one agent to its end
    ///
    /// A component of the agent world runs in a wasm cell; without one, the program after -- runs in a
    /// native cell, under the same layers. What the agent may do is written in the policy; what the policy
    /// does not say is denied. Needs root. The agent's output goes to stdout and stderr, what Stockade says
    /// to stderr.
    Run(Run),
    /// Run a recorded agent again, and see whether it does the same
    Replay(replay::Replay),
    /// Go on with a run that a crash ended
    Resume(replay::Resume),
    /// Tell what this host can enforce, layer by layer, and what to do about gaps
    Doctor(Doctor),
    /// See and answer calls that wait for a person's approval
    #[command(subcommand)]
    Approvals(operator::Approvals),
    /// End a run that lives, now
    Stop(operator::Stop),
    /// Refuse every call of a tool from now on, on this host or in one run
    FreezeTool(operator::FreezeTool),
    /// Take a freeze back
    ThawTool(operator::ThawTool),
    /// Read what agents did
    #[command(subcommand)]
    Journal(journal::Journal),
    /// The host's log, its key and its witnesses
    #[command(subcommand)]
    Notary(notary::Notary),
    /// Write, check, compare, test and explain policies
    #[command(subcommand)]
    Policy(policy::Policy),
    /// Look at MCP servers and approve their tools
    #[command(subcommand)]
    Mcp(mcp::Mcp),
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write the man pages
    Man {
        /// An existing folder for them
        #[arg(value_hint = ValueHint::DirPath)]
        dir: PathBuf,
    },
}

/// Run one agent to its end.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "\
stockade run [OPTIONS] --policy <FILE> <COMPONENT> [-- <TASK>...]
       stockade run [OPTIONS] --policy <FILE> -- <PROGRAM> [ARGS]...",
    after_help = "\
Examples:
  stockade run --policy triage.toml --workspace work agent.wasm -- \"summarise the errors\"
  stockade run --policy python.toml --workspace work -- /usr/bin/python3 agent.py

Exit codes:
  0 finished · 20 failed · 21 crashed · 22 ended by a denial · 30 wall, 31 memory, 32 fuel, 33 task,
  34 table, 35 journal limit · 40 killed by stockade · 130 SIGINT · 143 SIGTERM
  no agent code ran: 2 usage · 10 policy · 11 component or program · 12 workspace · 13 host cannot
  enforce · 14 launch or read-back · 15 journal · 1 internal"
)]
pub struct Run {
    /// Policy file; it and the folders above it must be root's and writable by root alone
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub policy: PathBuf,
    /// Folder the agent works in, as the user who owns it
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub workspace: Option<PathBuf>,
    /// Name of the agent in records [default: the component's or program's]
    #[arg(short, long)]
    pub name: Option<String>,
    /// Nobody is there to approve anything: a call that needs it is denied at once
    #[arg(long)]
    pub headless: bool,
    /// Pass the agent's output on as it is, escapes and all (never to a terminal)
    #[arg(long)]
    pub raw_output: bool,
    /// Print when each step was done, in microseconds, as one JSON object on stderr
    #[arg(long)]
    pub timings: bool,
    /// Folder of journals and of compiled components
    #[arg(long, value_name = "DIR", default_value = stockade_supervisor::STATE, value_hint = ValueHint::DirPath)]
    pub state: PathBuf,
    /// A WebAssembly component of the agent world
    #[arg(value_name = "COMPONENT", value_hint = ValueHint::FilePath, required_unless_present = "rest")]
    pub component: Option<PathBuf>,
    /// The component's task; without a component, the program (an absolute path) and its arguments
    #[arg(last = true, value_name = "TASK | PROGRAM ARGS")]
    pub rest: Vec<String>,
}

/// Tell what this host can enforce.
#[derive(Debug, clap::Args)]
pub struct Doctor {
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}
