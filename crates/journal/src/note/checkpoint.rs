//! A log's head as a note's text (C2SP tlog-checkpoint).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Note, NoteError, SigningKey, VerifierKey, is_name};
use crate::tree::Hash;

/// Most extension lines of a checkpoint. Ours.
pub const MAX_EXTENSIONS: usize = 16;

/// The head of a log: so many leaves, with this root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// Leaves.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
    /// Lines after the third; none is empty.
    pub extensions: Vec<String>,
}

impl Checkpoint {
    /// Reads a note's text.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let refuse = |line, why| NoteError::Checkpoint { line, why };
        let mut lines = text.strip_suffix('\n').ok_or(refuse(1, "it has no newline"))?.split('\n');
        let origin = lines.next().unwrap_or_default();
        if !is_name(origin) {
            return Err(refuse(1, "the origin is empty, too long, or has a space, '+' or a control character"));
        }
        let digits = lines.next().ok_or(refuse(2, "the size is missing"))?;
        let size = digits.parse::<u64>().map_err(|_| refuse(2, "the size is no decimal number"))?;
        if size.to_string() != digits {
            return Err(refuse(2, "the size has a sign or a leading zero"));
        }
        let root = lines.next().ok_or(refuse(3, "the root hash is missing"))?;
        let root = STANDARD.decode(root).ok().and_then(|root| Hash::try_from(root).ok());
        let root = root.ok_or(refuse(3, "the root hash is not 32 bytes in base64"))?;
        let mut extensions = Vec::new();
        for (line, extension) in (4..).zip(lines) {
            if extension.is_empty() {
                return Err(refuse(line, "an extension line is empty"));
            }
            if extensions.len() == MAX_EXTENSIONS {
                return Err(refuse(line, "there are over 16 extension lines"));
            }
            extensions.push(extension.to_owned());
        }
        Ok(Self { origin: origin.to_owned(), size, root, extensions })
    }

    /// Signs it.
    pub fn sign(&self, key: &SigningKey) -> Result<Note, NoteError> {
        let text = self.to_string();
        // What could not be read again is not signed.
        if Self::parse(&text).as_ref() != Ok(self) {
            return Err(NoteError::Checkpoint { line: 1, why: "a line is empty or has a newline in it" });
        }
        Note::sign(&text, key)
    }

    /// Reads a note, whose text is believed only if `key` signed it and it is of `origin`.
    pub fn open(bytes: &[u8], key: &VerifierKey, origin: &str) -> Result<(Self, Note), NoteError> {
        let note = Note::parse(bytes)?;
        note.verify(key)?;
        let checkpoint = Self::parse(note.text())?;
        if checkpoint.origin != origin {
            return Err(NoteError::Origin { expected: origin.to_owned(), found: checkpoint.origin });
        }
        Ok((checkpoint, note))
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, STANDARD.encode(self.root))?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
