//! The host's log on disk: a leaf for each head of each run, in the layout of [C2SP tlog-tiles],
//! so that any reader of tiled logs reads it.
//!
//! ```text
//! origin               the log's name, one line
//! checkpoint           its newest head, a signed note
//! tile/L/N[.p/W]       hashes, 256 a tile; .p/W: the first W of an unfinished one
//! tile/entries/N[.p/W] leaves: each a big-endian u16 with its length, then its bytes
//! epochs/first         verifier key of the first epoch
//! epochs/NNNNNN        last checkpoint of each ended epoch; names the next key
//! ```
//!
//! A leaf is a [`RunHead`]. [`HostLog`] reads and proves; [`Appender`] appends, under flock(2).
//!
//! [C2SP tlog-tiles]: https://c2sp.org/tlog-tiles

mod append;
mod chain;
mod error;
mod folder;
mod head;
mod layout;
mod read;
#[cfg(test)]
mod tests;

pub use append::{Appended, Appender, LogLock};
pub use chain::{Epoch, KeyChain, MAX_EPOCHS, NEXT_KEY, epoch_file};
pub use error::LogError;
pub use folder::{Folder, PRIVATE, PUBLIC};
pub use head::{RunHead, is_run_id};
pub use layout::WIDTH;
pub use read::HostLog;

/// Name of a log's newest head.
pub const CHECKPOINT: &str = "checkpoint";

/// Verifier key of the first epoch.
pub const FIRST_KEY: &str = "epochs/first";

/// The log's name.
pub const ORIGIN: &str = "origin";
