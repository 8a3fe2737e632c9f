//! The command line of `stockade notary`.

use std::path::PathBuf;

use clap::{Subcommand, ValueHint};

use super::journal::State;

/// The host's log, and the key that signs it.
#[derive(Debug, Subcommand)]
pub enum Notary {
    /// Begin the host's log, under a name of your choice
    ///
    /// Without this the first run begins it, under the host's name and some random digits. A log keeps its
    /// name. Needs root.
    Init {
        /// Name of the log, such as example.org/hosts/web1: no spaces, no `+` [default: made from the host's name]
        #[arg(long, value_name = "NAME")]
        origin: Option<String>,
        /// Where the log is
        #[command(flatten)]
        state: State,
    },
    /// Print the verifier key to keep on another machine
    ///
    /// Whoever has it can follow all later keys. Take it over a way that you trust, once.
    Key {
        /// That of the first epoch, instead of the one that signs now
        #[arg(long)]
        first: bool,
        /// Where the log is
        #[command(flatten)]
        state: State,
    },
    /// Check the host's log, and tell its size, root, keys and witnesses
    Show {
        /// As JSON
        #[arg(long)]
        json: bool,
        /// Where the log is
        #[command(flatten)]
        state: State,
    },
    /// End the epoch now: name the next key, sign that with the old one, and erase the old one
    ///
    /// This happens by itself once a day. Needs root.
    Rotate {
        /// Where the log is
        #[command(flatten)]
        state: State,
    },
    /// Have witnesses cosign the log's head, and remember what they have seen
    ///
    /// Posts the head to each witness of the policy that has a URL (C2SP tlog-witness). What they cosigned is kept
    /// in cosigned/ beside the log; a notary refuses a log that is shorter than that. Needs root.
    Witness {
        /// Witness policy (C2SP tlog-policy)
        #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        policy: PathBuf,
        /// As JSON
        #[arg(long)]
        json: bool,
        /// Where the log is
        #[command(flatten)]
        state: State,
    },
}
