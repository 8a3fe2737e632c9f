//! `stockade-notary`: the one process that holds the signing key, and how a supervisor talks to it.
//!
//! A supervisor starts one for a run, as root, with [`client::Notary::start`]. It shuts itself in
//! ([`confine`]) and then takes leaf hashes and signs heads ([`session`]). Notaries of concurrent runs share
//! the folder: the key and the host's log are used under flock(2).
//!
//! ```no_run
//! # use stockade_notary::client::{Notary, Place};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let place = Place::of(std::path::Path::new("/var/lib/stockade"));
//! let mut notary = Notary::start("/usr/libexec/stockade/stockade-notary".as_ref(), &place)?;
//! notary.begin("r-20261122t133000000-01234567")?;
//! notary.append(1, &[[0; 32]])?; // leaf hashes of lines that are on disk
//! notary.send_head()?; // does not wait: poll `notary.fd()`, then `notary.receive()`
//! // After its death: `Notary::start`, `resume(run, lines)`, and `append` from the line after `size` on.
//! # Ok(())
//! # }
//! ```
//!
//! Files beside those of `stockade_journal::tiles` in its folder: `key` (the private key of the epoch and when it
//! began), `key.next` (while an epoch ends), `runs/RUN` (the right edge of each run's tree, written before its
//! head is signed).

pub mod client;
pub mod confine;
pub mod error;
pub mod keys;
pub mod memory;
pub mod session;

/// The notary's uid and gid on the host: the one below the first id that runs are given.
pub const NOTARY_ID: u32 = 1_899_999_999;

/// Seconds after which an epoch is ended at the next head.
pub const EPOCH_SECONDS: i64 = 24 * 60 * 60;
