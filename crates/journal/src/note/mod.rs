//! Signed notes and checkpoints: [C2SP signed-note], [tlog-checkpoint], [tlog-cosignature] and [tlog-policy].
//!
//! A [`Checkpoint`] is the head of a log: origin, size, root. A [`Note`] is its text with signatures,
//! a file that Go's `golang.org/x/mod/sumdb/note` and any other implementation reads. Nothing of a
//! note is to be believed before [`Note::verify`] or [`Checkpoint::open`] has said so.
//!
//! [C2SP signed-note]: https://c2sp.org/signed-note
//! [tlog-checkpoint]: https://c2sp.org/tlog-checkpoint
//! [tlog-cosignature]: https://c2sp.org/tlog-cosignature
//! [tlog-policy]: https://c2sp.org/tlog-policy

mod checkpoint;
mod error;
mod key;
mod policy;
#[cfg(test)]
mod tests;
mod text;

pub use checkpoint::{Checkpoint, MAX_EXTENSIONS};
pub use error::NoteError;
pub use key::{Kind, SigningKey, VerifierKey};
pub use policy::{Policy, PolicyError, Witness};
pub use text::{MAX_NOTE, MAX_SIGNATURES, Note, Signature};

/// Longest name of a key or origin of a log, in bytes. Ours; C2SP sets none.
pub const MAX_NAME: usize = 256;

/// Whether `name` may name a key (C2SP signed-note, "Format"): not empty, without spaces, `+`
/// and control characters. Origins are held to the same.
pub fn is_name(name: &str) -> bool {
    let odd = |c: char| c == '+' || c.is_whitespace() || c.is_control();
    !name.is_empty() && name.len() <= MAX_NAME && !name.contains(odd)
}
