//! The command line of `stockade journal`.

use std::path::PathBuf;

use clap::{Subcommand, ValueHint};

use super::Colour;
use crate::moment::Moment;
use crate::trail::{Format, Glob};

/// Read, check and hand over what agents did.
#[derive(Debug, Subcommand)]
pub enum Journal {
    /// List runs, newest first
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
        /// State folder: runs, the components and policies they had, the host's log
        #[arg(long, value_name = "DIR", default_value = stockade_supervisor::STATE)]
        state: PathBuf,
    },
    /// Show one run's trajectory: calls, decisions, denials, enforcement, end
    Show {
        /// A run's id, `last`, or a bundle that `journal export` made (a name with a dot or a slash)
        run: String,
        /// The journal's lines as they are
        #[arg(long)]
        json: bool,
        /// As events of another schema, a line each
        #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text, conflicts_with = "json")]
        format: Format,
        /// Show calls that repeat the one before instead of counting them
        #[arg(long, conflicts_with = "json")]
        all: bool,
        /// When to use colours
        #[arg(long, value_enum, default_value_t = Colour::Auto)]
        color: Colour,
        /// State folder: runs, the components and policies they had, the host's log
        #[arg(long, value_name = "DIR", default_value = stockade_supervisor::STATE)]
        state: PathBuf,
    },
    /// Check that a run's journal is whole, unchanged, and what the host's key signed
    Verify(Verify),
    /// Write a run's evidence into one file, for another machine
    Export(Export),
    /// Find records, of all runs or of some: by tool, decision, rule, time, digest
    Query(Query),
    /// Show the newest records of a run, and follow it
    Tail(Tail),
    /// Send decisions to an OpenTelemetry collector
    Otlp(Otlp),
    /// Forget what a run recorded as private
    Erase(Erase),
    /// Take from runs that have ended what their policy no longer keeps
    Prune(Prune),
}

/// Forget private values.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What a policy's [journal] private names is recorded as a salted digest; the value is in a file beside the journal. That \
file is removed. The journal stays as it was and still verifies. Removing is all that is done: what the disk does with the \
old blocks is its own affair, and overwriting reaches them no better on flash, on copy-on-write file systems and in \
snapshots. Bundles made with `journal export --with-private` and backups are not reached either.

Examples:
  stockade journal erase r-20261122t151500217-269ff896
  stockade journal erase --seq 17 last

Exit codes: 0 erased, or nothing was left of it · 2 no such run or record, the run still lives, or usage · 15 the journal \
does not hold together")]
pub struct Erase {
    /// A run's id, or `last`
    pub run: String,
    /// Only what this record holds
    #[arg(long, value_name = "N")]
    pub seq: Option<u64>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub state: State,
}

/// Take what is no longer kept.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each run says in its first record what its policy had in [journal]: after `compact`, allowed calls, results, logs and \
private values go, and the start, refusals and the lifecycle stay; after `keep` everything goes, and launch.json. What goes leaves a \
tombstone with its leaf hash, so that the journal still verifies against every head that was ever signed of it. The \
time counts from a run's last record. Runs that have not ended are left alone. Run it from a timer.

Examples:
  stockade journal prune --dry-run
  stockade journal prune --json

Exit codes: 0 done · 15 a journal does not hold together or cannot be changed; the others were pruned · 2 usage")]
pub struct Prune {
    /// Runs, or `last` [default: all]
    #[arg(value_name = "RUN")]
    pub runs: Vec<String>,
    /// Say what would go, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// As JSON, a line for each run of which something goes
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub state: State,
}

/// Where runs are.
#[derive(Debug, Clone, clap::Args)]
pub struct State {
    /// State folder: runs, the components and policies they had, the host's log
    #[arg(long, value_name = "DIR", default_value = stockade_supervisor::STATE, value_hint = ValueHint::DirPath)]
    pub state: PathBuf,
}

/// How records are printed.
#[derive(Debug, Clone, clap::Args)]
pub struct Form {
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// How to print
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text)]
    format: Format,
}

impl Form {
    /// What was asked for.
    #[must_use]
    pub fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}

/// Check a journal.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without --key everything is checked but who wrote it: whoever may write the files may write them all anew. The key must \
come from elsewhere: `stockade notary key` prints it on the host, on the day it begins. A later key is believed if the \
one before it named it. What each line and each refusal means: docs/evidence.md.

Examples:
  stockade journal verify last
  stockade journal verify --key host.vkey r-20261122t151500217-269ff896
  stockade journal verify --key host.vkey evidence.tar
  stockade journal verify --key host.vkey --all

Exit codes: 0 whole · 15 it is not, or not what the key signed, or one that was signed is gone · 2 usage")]
pub struct Verify {
    /// A run's id, `last`, or a bundle that `journal export` made (a name with a dot or a slash)
    #[arg(value_hint = ValueHint::FilePath, required_unless_present = "all")]
    pub run: Option<String>,
    /// All runs: those of the state folder, and those that the host's log has heads of, which must still be there
    #[arg(long, conflicts_with = "run")]
    pub all: bool,
    /// The host's verifier key (C2SP signed-note: NAME+ID+BASE64), or the file it is in
    #[arg(long, value_name = "VKEY|FILE", value_hint = ValueHint::FilePath)]
    pub key: Option<String>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub state: State,
}

/// Write evidence into one file.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A tar file: manifest.json with the digest of each other file; the journal with its blobs; the signed head; the last \
checkpoints of the notary's epochs; component, policy bundle and launch settings as far as the state folder has them. \
The same run gives the same bytes. `stockade journal verify FILE` checks it on any machine; docs/evidence.md says how to \
read it, and how to check it without Stockade.

Examples:
  stockade journal export last
  stockade journal export r-20261122t151500217-269ff896 -o /srv/evidence/case-17.tar

Exit codes: 0 written · 1 it cannot be written, or is there already · 2 no such run, it still lives, or usage")]
pub struct Export {
    /// A run's id, or `last`
    pub run: String,
    /// File to write, which must not exist [default: RUN.tar]
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Also what was recorded as private; without it the bundle has only its salted digests
    #[arg(long)]
    pub with_private: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub state: State,
}

/// Search records.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every line is checked as it is read. What is wrong with one journal is told, and the others are still read.

Examples:
  stockade journal query --decision deny --since 2h
  stockade journal query --tool 'workspace.*' --status failed
  stockade journal query --rule exec.git --since 2026-11-22 --json
  stockade journal query --digest 4f1c22ab --newest-first --limit 1

Exit codes: 0 read · 15 a journal does not hold together · 2 usage")]
pub struct Query {
    /// Of these tools; * and ? stand for anything. A result belongs to the tool of its call
    #[arg(long, value_name = "GLOB")]
    pub tool: Option<Glob>,
    /// Calls and system calls that were decided so
    #[arg(long, value_name = "DECISION", value_parser = ["allow", "deny"])]
    pub decision: Option<String>,
    /// Calls that this rule decided
    #[arg(long, value_name = "ID")]
    pub rule: Option<String>,
    /// Not before: 2026-11-22T13:30:00Z, 2026-11-22, or how long ago: 90s, 15m, 2h, 30d
    #[arg(long, value_name = "TIME")]
    pub since: Option<Moment>,
    /// Before
    #[arg(long, value_name = "TIME")]
    pub until: Option<Moment>,
    /// Records that name this digest (a component, a policy, a blob), or have it as their leaf hash; its first 8 digits or more
    #[arg(long, value_name = "HEX", value_parser = digest)]
    pub digest: Option<String>,
    /// Results of this status
    #[arg(long, value_name = "STATUS", value_parser = ["ok", "denied", "invalid", "failed", "limit", "unknown"])]
    pub status: Option<String>,
    /// Records of this kind; may be repeated
    #[arg(long = "type", value_name = "TYPE",
          value_parser = ["start", "call", "result", "syscall", "log", "lifecycle", "recovered", "tombstone"])]
    pub kinds: Vec<String>,
    /// Of this run, or `last`; may be repeated [default: all]
    #[arg(long = "run", value_name = "RUN")]
    pub runs: Vec<String>,
    /// The newest records first
    #[arg(long)]
    pub newest_first: bool,
    /// At most this many records
    #[arg(long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub form: Form,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub state: State,
}

/// Show the newest records, and follow.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stockade journal tail
  stockade journal tail -f
  stockade journal tail -f --all --json

Exit codes: 0 the run has ended, or without -f: read · 15 a journal does not hold together · 2 usage")]
pub struct Tail {
    /// A run's id, or `last`
    #[arg(default_value = "last")]
    pub run: String,
    /// Wait for more until the run ends
    #[arg(long, short)]
    pub follow: bool,
    /// All runs that have not ended; with -f also those that begin later, without end
    #[arg(long, conflicts_with = "run")]
    pub all: bool,
    /// Records to begin with
    #[arg(long, short = 'n', value_name = "N", default_value_t = 10)]
    pub lines: usize,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub form: Form,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub state: State,
}

/// Send decisions to a collector.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
OTLP over HTTP, in JSON, in batches. 429, 502, 503 and 504, and a collector that cannot be reached, are tried again; what \
it rejects of a batch is counted. What was sent before is not remembered: say --since.

Examples:
  stockade journal otlp --endpoint http://127.0.0.1:4318 --since 1h
  stockade journal otlp --endpoint https://otel.example.net --header 'authorization=Bearer TOKEN' last

Exit codes: 0 sent · 1 not all was taken · 15 a journal does not hold together, the others were sent · 2 usage")]
pub struct Otlp {
    /// Runs, or `last` [default: all]
    #[arg(value_name = "RUN")]
    pub runs: Vec<String>,
    /// The collector; /v1/logs is added if it is not there
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub endpoint: String,
    /// Not what was before: 2026-11-22T13:30:00Z, 2026-11-22, or how long ago: 90s, 15m, 2h, 30d
    #[arg(long, value_name = "TIME")]
    pub since: Option<Moment>,
    /// What was before
    #[arg(long, value_name = "TIME")]
    pub until: Option<Moment>,
    /// All records, not only calls, their results and refused system calls
    #[arg(long)]
    pub all: bool,
    /// A header of each request; may be repeated
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    pub headers: Vec<(String, String)>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub state: State,
}

fn header(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("a name, =, and a value")?;
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(token) || value.contains(['\r', '\n', '\0']) {
        return Err("a name as HTTP has them, =, and a value of one line");
    }
    Ok((name.to_owned(), value.to_owned()))
}

fn digest(text: &str) -> Result<String, &'static str> {
    let hex = (8..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    if hex { Ok(text.to_ascii_lowercase()) } else { Err("8 to 64 hexadecimal digits") }
}
