//! The command line of `stockade policy`.

use std::path::PathBuf;

use clap::{ArgGroup, Subcommand, ValueEnum, ValueHint};
use stockade_policy::Access;

use super::journal::State;
use crate::moment::Moment;

/// Write, check, compare, test and explain policies.
#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Find what is wrong with policies, and what is more than is needed
    Check(Check),
    /// Show what a policy comes to
    Show(Show),
    /// Tell what one policy allows that another does not
    Diff(Diff),
    /// Run the tests of policies
    Test(Test),
    /// Tell what a policy says of one attempt, why, and what would change it
    ///
    /// It runs the code that enforces: the decider of tool calls, the list that Landlock's rules are made of, the
    /// seccomp filter that is loaded. Nothing is done.
    Explain(Explain),
    /// Put what runs have done to another policy, and tell each decision that would change
    ///
    /// It runs the code that enforces, on what the journals hold: the arguments, the time, and the calls before.
    /// Nothing is done.
    Replay(Replay),
    /// Print the policy language as a JSON Schema, or the Cedar schema
    Schema(Schema),
    /// Write a commented policy to start from
    New(New),
    /// Seal a policy, so that a later edit, cut or flipped bit is refused
    ///
    /// The seal is a digest in the file over the file and over what lies beside it. It says that nothing changed since,
    /// not who wrote it.
    Seal(Seal),
    /// The host's ceiling, above every policy
    #[command(subcommand)]
    Ceiling(Ceiling),
}

/// Which ceiling is above the policy.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Above {
    /// Ceiling to look beneath [default: this host's /etc/stockade/ceiling.toml, if there is one]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, global = true)]
    pub ceiling: Option<PathBuf>,
    /// No ceiling, also where this host has one
    #[arg(long, conflicts_with = "ceiling", global = true)]
    pub no_ceiling: bool,
}

/// How much a finding must matter to count as a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// Everything that is found.
    Note,
    /// Warnings and errors.
    Warning,
    /// Errors.
    Error,
}

/// Find what is wrong with policies.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stockade policy check policies/*.toml
  stockade policy check --no-ceiling --fail-on warning --json ci-agent.toml
  stockade policy check --host /etc/stockade/policies/ci-agent.toml

Exit codes: 0 fine · 10 a file does not load · 16 a finding reaches --fail-on · 2 usage")]
pub struct Check {
    /// Policy files
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
    /// The least that counts as a failure
    #[arg(long, value_enum, value_name = "SEVERITY", default_value_t = FailOn::Error)]
    pub fail_on: FailOn,
    /// Also find what this host cannot enforce or give
    #[arg(long)]
    pub host: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub above: Above,
}

/// Show what a policy comes to.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stockade policy show ci-agent.toml
  stockade policy show --resolved ci-agent.toml

Exit codes: 0 shown · 10 the file does not load · 2 usage")]
pub struct Show {
    /// Policy file
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Every effective value with file and line, what the ceiling took, and rules that never matter
    #[arg(long)]
    pub resolved: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub above: Above,
}

/// Which difference counts as a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Widens {
    /// The second allows, or may allow, something that the first does not.
    Widen,
}

/// Tell what one policy allows that another does not.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stockade policy diff ci-agent.toml ci-agent.new.toml
  git show main:ci-agent.toml > /tmp/main.toml && stockade policy diff --fail-on widen /tmp/main.toml ci-agent.toml

Exit codes: 0 compared · with --fail-on widen: 17 the second allows more, 18 it cannot be decided ·
  10 a file does not load · 2 usage")]
pub struct Diff {
    /// The policy to compare with
    #[arg(value_name = "A", value_hint = ValueHint::FilePath)]
    pub a: PathBuf,
    /// The policy that is compared
    #[arg(value_name = "B", value_hint = ValueHint::FilePath)]
    pub b: PathBuf,
    /// Fail if the second allows more, or may
    #[arg(long, value_enum, value_name = "WHAT")]
    pub fail_on: Option<Widens>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub above: Above,
}

/// Run the tests of policies.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stockade policy test policies/*.toml
  stockade policy test ci-agent.toml --tests house-rules.toml

Exit codes: 0 all pass · 16 a test fails · 10 a file does not load · 2 usage")]
pub struct Test {
    /// Policy files
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
    /// A file of tests alone, put to each policy; may be repeated
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub tests: Vec<PathBuf>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub above: Above,
}

/// Tell what a policy says of one attempt.
#[derive(Debug, clap::Args)]
#[command(
    subcommand_value_name = "ATTEMPT",
    subcommand_help_heading = "Attempts",
    after_help = "\
Examples:
  stockade policy explain ci-agent.toml call workspace.write path=src/main.rs content=x
  stockade policy explain ci-agent.toml call exec 'argv:=[\"/usr/bin/git\",\"push\"]' --agent
  stockade policy explain ci-agent.toml path /etc/shadow read
  stockade policy explain ci-agent.toml host api.github.com:443 GET /repos
  stockade policy explain ci-agent.toml syscall bpf

Exit codes: 0 allowed · 22 denied · 23 allowed if a person approves · 10 the file does not load · 2 usage"
)]
pub struct Explain {
    /// Policy file
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// What is attempted
    #[command(subcommand)]
    pub attempt: Attempted,
    /// As JSON
    #[arg(long, global = true)]
    pub json: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub above: Above,
}

/// What is attempted.
#[derive(Debug, Subcommand)]
pub enum Attempted {
    /// A tool call
    Call {
        /// The tool: workspace.read, exec, mcp.SERVER.TOOL
        tool: String,
        /// Arguments: key=text, key:=JSON, or all of them as one JSON object
        #[arg(value_name = "ARG")]
        args: Vec<String>,
        /// As if a person had approved it
        #[arg(long)]
        approved: bool,
        /// Also print what the agent is told
        #[arg(long)]
        agent: bool,
    },
    /// A path, as a native program meets it
    Path {
        /// Absolute in the cell, or @workspace and beneath
        path: String,
        /// What is done with it
        #[arg(value_parser = access, value_name = "read|write|execute", default_value = "read")]
        access: Access,
    },
    /// A connection, or an HTTP request
    Host {
        /// Where to
        #[arg(value_name = "HOST:PORT")]
        endpoint: String,
        /// HTTP method; without one it is a bare TCP connection
        method: Option<String>,
        /// Path of the URL
        #[arg(value_name = "PATH", default_value = "/")]
        path: String,
        /// HTTP without TLS
        #[arg(long, requires = "method")]
        http: bool,
    },
    /// A syscall of a native program
    Syscall {
        /// Its name
        name: String,
        /// Its argument registers, decimal or 0x…; what is not given is 0
        #[arg(value_name = "ARG", value_parser = register, num_args = 0..=6)]
        args: Vec<u64>,
    },
}

fn access(text: &str) -> Result<Access, String> {
    Access::from_name(text).ok_or_else(|| "one of: read, write, execute".to_owned())
}

fn register(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) if digits.starts_with(['+', '-']) => None,
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    parsed.ok_or_else(|| "a number up to 64 bits, decimal or 0x…".to_owned())
}

/// Which change counts as a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Change {
    /// Something that was allowed is not.
    Deny,
    /// Something that was not allowed is.
    Allow,
}

/// Put what runs have done to another policy.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A call that needs an approval counts as not allowed: nobody's is assumed. A call's time is its record's. Counts of calls \
before it are those of its run, which is read from its beginning, also with --since. What the journal does not hold \
(private or erased arguments, those over a limit) is counted as not replayable.

Examples:
  stockade policy replay --policy ci-agent.new.toml
  stockade policy replay --policy ci-agent.new.toml --since 30d --fail-on deny
  stockade policy replay --policy strict.toml --json last

Exit codes: 0 put · with --fail-on: 19 something allowed would be denied, 24 something denied would be allowed ·
  10 the policy does not load · 15 a journal does not hold together · 2 usage")]
pub struct Replay {
    /// Runs, or `last` [default: all of the state folder]
    #[arg(value_name = "RUN")]
    pub runs: Vec<String>,
    /// The policy that is asked
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub policy: PathBuf,
    /// Not what was before: 2026-11-22T13:30:00Z, 2026-11-22, or how long ago: 90s, 15m, 2h, 30d
    #[arg(long, value_name = "TIME")]
    pub since: Option<Moment>,
    /// What was before
    #[arg(long, value_name = "TIME")]
    pub until: Option<Moment>,
    /// Fail if there is such a change; may be repeated
    #[arg(long, value_enum, value_name = "CHANGE")]
    pub fail_on: Vec<Change>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub above: Above,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub state: State,
}

/// Print the policy language.
#[derive(Debug, clap::Args)]
#[command(
    group = ArgGroup::new("which"),
    after_help = "\
Examples:
  stockade policy schema > stockade-policy.schema.json
  stockade policy schema --cedar ci-agent.toml > ci-agent.cedarschema

Exit codes: 0 printed · 10 the file does not load · 2 usage"
)]
pub struct Schema {
    /// The Cedar schema; with a policy file, also the tools of its MCP servers
    #[arg(long, value_name = "FILE", num_args = 0..=1, value_hint = ValueHint::FilePath, group = "which")]
    #[allow(clippy::option_option)]
    pub cedar: Option<Option<PathBuf>>,
    /// The schema of ceilings
    #[arg(long, group = "which")]
    pub ceiling: bool,
    /// The schema of files of tests
    #[arg(long, group = "which")]
    pub tests: bool,
    /// As JSON, the Cedar schema too
    #[arg(long)]
    pub json: bool,
}

/// Write a commented policy to start from.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stockade policy new --list
  stockade policy new --preset python --id nightly-report --output nightly-report.toml

Exit codes: 0 written · 1 it cannot be written · 2 usage, no such preset, or the file exists")]
pub struct New {
    /// Preset to stand on
    #[arg(long, value_name = "NAME", required_unless_present = "list")]
    pub preset: Option<String>,
    /// The policy's id
    #[arg(long, value_name = "NAME", default_value = "my-agent")]
    pub id: String,
    /// File to write, which must not exist [default: standard output]
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// List the presets
    #[arg(long, conflicts_with_all = ["preset", "output"])]
    pub list: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Seal a policy.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  stockade policy seal ci-agent.toml

Exit codes: 0 sealed · 10 it does not load, so it is not sealed · 1 it cannot be written · 2 usage")]
pub struct Seal {
    /// Policy file; it is replaced as a whole, with the mode and owner it has
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// The host's ceiling.
#[derive(Debug, Subcommand)]
pub enum Ceiling {
    /// Find what is wrong with a ceiling
    #[command(after_help = "Exit codes: 0 fine · 10 it does not load · 2 usage")]
    Check {
        /// Ceiling
        #[arg(value_hint = ValueHint::FilePath, default_value = stockade_policy::CEILING)]
        file: PathBuf,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Compile a ceiling for the launcher, which holds every plan against it
    ///
    /// Writes ceiling.bin, and ceiling.toml beside it if FILE is another file. A run is refused while the two
    /// do not agree. Needs root for /etc/stockade.
    #[command(after_help = "\
Examples:
  sudo stockade policy ceiling install
  stockade policy ceiling install ceiling.toml --output build/

Exit codes: 0 installed · 10 it does not load · 1 it cannot be written · 2 usage, or the folder has another ceiling.toml")]
    Install {
        /// Ceiling; it and the folders above it must be root's or yours, and writable by nobody else
        #[arg(value_hint = ValueHint::FilePath, default_value = stockade_policy::CEILING)]
        file: PathBuf,
        /// Folder to write to
        #[arg(long, value_name = "DIR", default_value = stockade_plan::ceiling::FOLDER, value_hint = ValueHint::DirPath)]
        output: PathBuf,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}
