//! `stockade mcp`.

use std::path::PathBuf;

use clap::{Subcommand, ValueHint};

/// Look at MCP servers and approve their tools.
#[derive(Debug, Subcommand)]
pub enum Mcp {
    /// Start a policy's server in its cell, show what its tools are, and approve them
    ///
    /// The server runs as it would in a run, under the policy of its own cell, and is asked for its tools; no agent
    /// runs. What differs from the approved list is shown, `-` as approved and `+` as it is now. A first list is
    /// written at once, another only with --replace: read it before. Needs root.
    Pin(Pin),
}

/// Look at one server.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes:\n  0 the list is the approved one, or is now · 20 it differs, or the server did not show one · others as of run"
)]
pub struct Pin {
    /// Policy file
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub policy: PathBuf,
    /// Name of the [[mcp]] entry
    pub name: String,
    /// Folder the server may work in, as the policy of its cell says
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub workspace: Option<PathBuf>,
    /// Approve a list that differs from the approved one
    #[arg(long)]
    pub replace: bool,
    /// Folder of journals
    #[arg(long, value_name = "DIR", default_value = stockade_supervisor::STATE, value_hint = ValueHint::DirPath)]
    pub state: PathBuf,
}
