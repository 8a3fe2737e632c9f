//! The keys of a log, one after the other: each names the next and is then erased.

use super::{Folder, LogError};
use crate::note::{Checkpoint, MAX_NOTE, Note, NoteError, VerifierKey};

/// Extension line of an epoch's last checkpoint: this word, a space, the verifier key of the next epoch.
pub const NEXT_KEY: &str = "next-key";

/// Most epochs that are followed: with one a day over 2,700 years.
pub const MAX_EPOCHS: u32 = 999_999;

/// Name of an ended epoch's last checkpoint; epochs are counted from 1.
pub fn epoch_file(number: u32) -> String {
    format!("epochs/{number:06}")
}

/// An epoch that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    /// From 1.
    pub number: u32,
    /// The key that signed in it.
    pub key: VerifierKey,
    /// The last checkpoint it signed.
    pub last: Checkpoint,
}

/// The keys of a log from one that a verifier trusts.
///
/// Who holds the newest key can sign what comes now. What was signed under the keys before is fixed by
/// their last checkpoints: those keys exist no more, and a log that does not begin with what they signed
/// is refused ([`super::HostLog::checkpoint`]).
#[derive(Debug, Clone)]
pub struct KeyChain {
    origin: String,
    ended: Vec<Epoch>,
    current: VerifierKey,
}

impl KeyChain {
    /// The chain of a log, from this key.
    pub fn new(start: VerifierKey, origin: &str) -> Self {
        Self { origin: origin.to_owned(), ended: Vec::new(), current: start }
    }

    /// The chain from this key, by the notes in `epochs/` of a log's folder.
    pub fn read(folder: &Folder, start: VerifierKey, origin: &str) -> Result<Self, LogError> {
        let mut chain = Self::new(start, origin);
        for number in 1.. {
            let file = epoch_file(number);
            let Some(bytes) = folder.read(&file, MAX_NOTE)? else { break };
            chain.follow(number, &bytes).map_err(|cause| LogError::Note { file, cause })?;
        }
        Ok(chain)
    }

    /// Takes the last checkpoint of epoch `number`, in order. One from before the first key is passed
    /// over; once the chain has begun, one that the current key did not sign breaks it.
    pub fn follow(&mut self, number: u32, note: &[u8]) -> Result<(), NoteError> {
        let bad = |why| NoteError::Note { why };
        if number > MAX_EPOCHS {
            return Err(bad("there are over 999,999 epochs"));
        }
        let opened = Checkpoint::open(note, &self.current, &self.origin);
        let last = match opened {
            Err(NoteError::Unsigned { .. }) if self.ended.is_empty() => return Ok(()),
            Err(cause) => return Err(cause),
            Ok((last, _)) => last,
        };
        let mut named = last.extensions.iter().filter_map(|line| line.strip_prefix(NEXT_KEY)?.strip_prefix(' '));
        let (Some(next), None) = (named.next(), named.next()) else {
            return Err(bad("the last checkpoint of an epoch does not name one next key"));
        };
        let next: VerifierKey = next.parse()?;
        if next.name() != self.origin {
            return Err(bad("the next key is of another log"));
        }
        if self.ended.last().is_some_and(|before| before.last.size > last.size) {
            return Err(bad("the log was longer at the end of the epoch before"));
        }
        let key = std::mem::replace(&mut self.current, next);
        self.ended.push(Epoch { number, key, last });
        Ok(())
    }

    /// The log's name.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The key that signs now.
    pub fn current(&self) -> &VerifierKey {
        &self.current
    }

    /// Epochs that have ended, in order.
    pub fn ended(&self) -> &[Epoch] {
        &self.ended
    }

    /// Opens a checkpoint of `origin` that any key of the chain signed; gives the key.
    pub fn open(&self, bytes: &[u8], origin: &str) -> Result<(Checkpoint, Note, &VerifierKey), NoteError> {
        let mut refused = None;
        for key in std::iter::once(&self.current).chain(self.ended.iter().rev().map(|epoch| &epoch.key)) {
            match Checkpoint::open(bytes, key, origin) {
                Ok((checkpoint, note)) => return Ok((checkpoint, note, key)),
                Err(cause @ NoteError::Unsigned { .. }) => refused = refused.or(Some(cause)),
                Err(cause) => return Err(cause),
            }
        }
        Err(refused.unwrap_or(NoteError::Note { why: "no key is known" }))
    }
}
