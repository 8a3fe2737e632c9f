//! The run journal: what an agent did, as lines a third party can check.
//!
//! [`Writer`] appends records to the segments of one directory, [`recover`] takes a journal up
//! again after a crash, [`Reader`] streams one and checks it on the way, [`verify`] checks all of
//! it with its blobs. The formats are in `docs/evidence.md`.

mod beside;
mod bound;
mod canonical;
mod contents;
mod dir;
pub mod disk;
mod erase;
mod error;
mod hash;
mod newest;
pub mod note;
mod prune;
mod reader;
pub mod record;
mod recover;
mod references;
mod room;
mod segment;
mod size;
mod store;
pub mod tiles;
mod time;
mod tombstone;
pub mod tree;
mod verify;
mod writer;

pub use bound::{as_message, as_name};
pub use contents::Unread;
pub use erase::erase;
pub use error::{At, JournalError, ReadError};
pub use hash::{hex, is_digest, unhex};
pub use newest::newest_time;
pub use prune::{Extent, Pruned, prune, prune_on};
pub use reader::{Line, Reader};
pub use record::{Approval, Call, Entry, Outcome, Payload, Record, Start, Syscall};
pub use recover::{Cut, Recovered, recover, recover_on};
pub use time::{format_time, parse_time};
pub use verify::{Verified, verify, verify_each, verify_to};
pub use writer::{Options, Receipt, Writer};

/// Format that this crate writes, in the `start` record; readers refuse what they do not know.
pub const VERSION: u32 = 2;

/// Longest line in bytes, with its newline.
pub const MAX_LINE: usize = 64 * 1024;

/// Longest JSON text, in bytes, of a payload that stays in its line; longer ones become blobs.
pub const MAX_INLINE: usize = 16 * 1024;

/// A segment that would grow over this many bytes is closed and the next one begun.
pub const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;
