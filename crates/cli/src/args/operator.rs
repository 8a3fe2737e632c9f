//! `stockade approvals`, `stop`, `freeze-tool`, `thaw-tool`: what an operator says to runs that live.

use clap::Subcommand;

/// See and answer calls that wait for a person.
#[derive(Debug, Subcommand)]
pub enum Approvals {
    /// Which calls wait, in all runs
    #[command(after_help = "Example:\n  stockade approvals list")]
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// What one of them would do, and which rule wants it looked at
    #[command(after_help = "Example:\n  stockade approvals show r-20261122t151500217-269ff896/1")]
    Show {
        /// `RUN/NUMBER`, or the number alone if one run lives
        #[arg(value_name = "APPROVAL")]
        approval: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Let a call happen, once
    #[command(after_help = "\
The approval is for exactly the action that is printed: another one, of the same call or not, is not approved by it. Who \
approved is in the run's journal. Needs root.

Example:
  stockade approvals approve r-20261122t151500217-269ff896/1 --note \"agreed with the release team\"

Exit codes: 28 it does not wait any more, or is another action than --action names · 2 usage, or no such run")]
    Approve {
        /// `RUN/NUMBER`, or the number alone if one run lives
        #[arg(value_name = "APPROVAL")]
        approval: String,
        /// Only if it is this action (the digest that `show` prints, or its beginning)
        #[arg(long, value_name = "SHA256")]
        action: Option<String>,
        #[command(flatten)]
        #[allow(missing_docs)]
        note: Note,
    },
    /// Refuse a call
    #[command(after_help = "\
The agent is told that the operator denied it. Needs root.

Example:
  stockade approvals deny r-20261122t151500217-269ff896/1 --note \"not on a Friday\"

Exit codes: 28 it does not wait any more · 2 usage, or no such run")]
    Deny {
        /// `RUN/NUMBER`, or the number alone if one run lives
        #[arg(value_name = "APPROVAL")]
        approval: String,
        #[command(flatten)]
        #[allow(missing_docs)]
        note: Note,
    },
}

/// End a run that lives.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
All cells of the run are killed, and with them calls in flight; its journal is closed and signed. If its supervisor does not \
answer, the kernel kills the cells by their cgroups. Needs root.

Example:
  stockade stop --now r-20261122t151500217-269ff896

Exit codes: 0 its cells are gone · 2 usage, or no such run lives")]
pub struct Stop {
    /// Kill it; there is no other way to stop a run yet, and the word is there so that nobody is surprised
    #[arg(long, required = true)]
    pub now: bool,
    /// The run's id
    pub run: String,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub note: Note,
}

/// Refuse every call of a tool from now on.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
In all runs of this host that live, and in all to come, across restarts of the machine, until `stockade thaw-tool`. Calls in flight \
are cut short: a command is killed, a call that waits for an approval is refused. With --run it is for that run alone, as long as it \
lives. Needs root.

Examples:
  stockade freeze-tool exec --note \"incident 4711\"
  stockade freeze-tool 'mcp.git.*' --run r-20261122t151500217-269ff896
  stockade freeze-tool --list

Exit codes: 0 done, in every run that lives · 28 a run did not do it · 2 usage, or no such run")]
pub struct FreezeTool {
    /// A tool's name, `mcp.SERVER.*` for all of a server's, or `*` for all
    #[arg(value_name = "TOOL", required_unless_present = "list")]
    pub tool: Option<String>,
    /// One run alone
    #[arg(long, value_name = "RUN")]
    pub run: Option<String>,
    /// What is frozen on this host
    #[arg(long, conflicts_with_all = ["tool", "run"])]
    pub list: bool,
    /// The list as JSON
    #[arg(long, requires = "list")]
    pub json: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub note: Note,
}

/// Take a freeze back.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  stockade thaw-tool exec

Exit codes: 0 done · 28 it was not frozen · 2 usage, or no such run")]
pub struct ThawTool {
    /// As it was frozen
    pub tool: String,
    /// One run alone
    #[arg(long, value_name = "RUN")]
    pub run: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub note: Note,
}

/// The operator's own words.
#[derive(Debug, clap::Args)]
pub struct Note {
    /// Your own words, for the record
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub note: String,
}
