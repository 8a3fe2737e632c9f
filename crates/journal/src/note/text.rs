//! A note: text, an empty line, signatures (C2SP signed-note, "Format").

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Kind, NoteError, SigningKey, VerifierKey, is_name};

/// Longest note in bytes. Ours; C2SP asks for room for 16 signatures.
pub const MAX_NOTE: usize = 64 * 1024;

/// Most signatures of a note. Ours; C2SP asks for at least 16.
pub const MAX_SIGNATURES: usize = 64;

/// A signature line, of a key that may be known or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Name of the key.
    pub name: String,
    /// Id of the key.
    pub id: u32,
    /// The signature, without the id.
    pub bytes: Vec<u8>,
}

impl Signature {
    /// Reads one line, without its newline.
    pub fn parse(line: &str) -> Result<Self, NoteError> {
        let refuse = |why| NoteError::Note { why };
        let rest = line.strip_prefix("\u{2014} ").ok_or(refuse("a signature line does not begin with an em dash"))?;
        let (name, data) = rest.split_once(' ').ok_or(refuse("a signature line has no space after the key's name"))?;
        let data = STANDARD.decode(data).map_err(|_| refuse("a signature is not base64"))?;
        let Some((id, bytes)) = data.split_first_chunk::<4>() else {
            return Err(refuse("a signature is shorter than the id of its key"));
        };
        if !is_name(name) || bytes.is_empty() {
            return Err(refuse("a signature has no name or no bytes"));
        }
        Ok(Self { name: name.to_owned(), id: u32::from_be_bytes(*id), bytes: bytes.to_vec() })
    }

    /// Whether it says that it is of this key.
    pub fn names(&self, key: &VerifierKey) -> bool {
        self.id == key.id() && self.name == key.name()
    }

    fn label(&self) -> String {
        format!("{}+{:08x}", self.name, self.id)
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let data = [&self.id.to_be_bytes(), self.bytes.as_slice()].concat();
        write!(f, "\u{2014} {} {}", self.name, STANDARD.encode(data))
    }
}

/// A signed note. Its text is what somebody wrote; only [`Note::verify`] says who.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

impl Note {
    /// Signs `text`, which must end with a newline.
    pub fn sign(text: &str, key: &SigningKey) -> Result<Self, NoteError> {
        check_text(text)?;
        let public = key.verifier();
        let bytes = key.sign(text.as_bytes()).to_vec();
        let signature = Signature { name: public.name().to_owned(), id: public.id(), bytes };
        Ok(Self { text: text.to_owned(), signatures: vec![signature] })
    }

    /// Reads a note. Nothing is verified.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        let refuse = |why| NoteError::Note { why };
        if bytes.len() > MAX_NOTE {
            return Err(refuse("it is over 65,536 bytes"));
        }
        let note = std::str::from_utf8(bytes).map_err(|_| refuse("it is not UTF-8"))?;
        let split = note.rfind("\n\n").ok_or(refuse("no empty line stands before the signatures"))?;
        let (text, rest) = note.split_at_checked(split + 1).ok_or(refuse("it is not UTF-8"))?;
        check_text(text)?;
        let lines = rest.strip_prefix('\n').and_then(|rest| rest.strip_suffix('\n'));
        let lines = lines.ok_or(refuse("it does not end with a newline"))?;
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            if signatures.len() == MAX_SIGNATURES {
                return Err(refuse("it has over 64 signatures"));
            }
            signatures.push(Signature::parse(line)?);
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The text, with its last newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// All signature lines.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Adds a line that is not there yet, such as a cosignature.
    pub fn add(&mut self, signature: Signature) -> Result<(), NoteError> {
        if self.signatures.contains(&signature) {
            return Ok(());
        }
        if self.signatures.len() >= MAX_SIGNATURES {
            return Err(NoteError::Note { why: "it has 64 signatures already" });
        }
        self.signatures.push(signature);
        Ok(())
    }

    /// Whether `key`, of a log, signed this text. Each signature that names the key must hold.
    pub fn verify(&self, key: &VerifierKey) -> Result<(), NoteError> {
        if key.kind() != Kind::Log {
            return Err(NoteError::Key { what: "verifier", why: "it is a witness's, a log's is wanted" });
        }
        self.each(key, |bytes| {
            let signature = bytes.try_into().ok()?;
            key.holds(self.text.as_bytes(), signature).then_some(())
        })
        .map(|_| ())
    }

    /// When `key`, of a witness, cosigned this text, in seconds since 1970 by the witness's own
    /// clock (C2SP tlog-cosignature, "Ed25519 signed message"). The newest, if it did so twice.
    pub fn verify_cosignature(&self, key: &VerifierKey) -> Result<u64, NoteError> {
        if key.kind() != Kind::Witness {
            return Err(NoteError::Key { what: "verifier", why: "it is a log's, a witness's is wanted" });
        }
        let times = self.each(key, |bytes| {
            let (time, signature) = bytes.split_first_chunk::<8>()?;
            let time = u64::from_be_bytes(*time);
            let message = format!("cosignature/v1\ntime {time}\n{}", self.text);
            let held = time <= i64::MAX as u64 && key.holds(message.as_bytes(), signature.try_into().ok()?);
            held.then_some(time)
        })?;
        Ok(times.into_iter().max().unwrap_or_default())
    }

    /// What `check` gives for each signature that names `key`: there is one at least and all hold.
    fn each<T>(&self, key: &VerifierKey, check: impl Fn(&[u8]) -> Option<T>) -> Result<Vec<T>, NoteError> {
        let mut held = Vec::new();
        for signature in self.signatures.iter().filter(|signature| signature.names(key)) {
            held.push(check(&signature.bytes).ok_or_else(|| NoteError::BadSignature { key: key.label() })?);
        }
        if held.is_empty() {
            let found = self.signatures.iter().map(Signature::label).collect();
            return Err(NoteError::Unsigned { key: key.label(), found });
        }
        Ok(held)
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

fn check_text(text: &str) -> Result<(), NoteError> {
    let refuse = |why| NoteError::Note { why };
    if text.contains(|c: char| c < ' ' && c != '\n') {
        return Err(refuse("its text has a control character"));
    }
    if !text.ends_with('\n') || text.len() > MAX_NOTE {
        return Err(refuse("its text does not end with a newline, or is too long"));
    }
    Ok(())
}
