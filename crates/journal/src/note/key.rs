//! Keys and their text forms, those of Go's `golang.org/x/mod/sumdb/note`.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::Signer as _;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{NoteError, is_name};

/// What a key signs, and how; the number is C2SP's signature type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Ed25519 over a note's text: logs (C2SP signed-note, type 0x01).
    Log = 1,
    /// Timestamped Ed25519 cosignatures: witnesses (C2SP tlog-cosignature, type 0x04).
    Witness = 4,
}

/// The public half of a key, with the name it signs under.
///
/// Its text, a *vkey*, is `NAME+ID+BASE64`: the id in 8 hexadecimal digits, then the signature
/// type and the 32 bytes of the key.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    kind: Kind,
    key: ed25519_dalek::VerifyingKey,
}

impl VerifierKey {
    fn new(name: &str, kind: Kind, key: ed25519_dalek::VerifyingKey) -> Result<Self, NoteError> {
        let refuse = |why| NoteError::Key { what: "verifier", why };
        if !is_name(name) {
            return Err(refuse("its name is empty, too long, or has a space, '+' or a control character"));
        }
        // Under a weak key one signature holds for many texts.
        if key.is_weak() {
            return Err(refuse("its point is of small order"));
        }
        Ok(Self { name: name.to_owned(), kind, key })
    }

    /// Name it signs under; for the key of a log its origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it signs.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The 32 bytes of the key (RFC 8032).
    pub fn bytes(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// First four bytes of SHA-256(name || 0x0a || type || key), big-endian (C2SP signed-note, "Signatures").
    pub fn id(&self) -> u32 {
        let mut sha = Sha256::new();
        sha.update(self.name.as_bytes());
        sha.update([b'\n', self.kind as u8]);
        sha.update(self.key.as_bytes());
        let hash: [u8; 32] = sha.finalize().into();
        let [a, b, c, d, ..] = hash;
        u32::from_be_bytes([a, b, c, d])
    }

    /// Name and id, for people.
    pub fn label(&self) -> String {
        format!("{}+{:08x}", self.name, self.id())
    }

    /// Whether `signature` is of this key over `message`. Strict: no weak keys, one form of each signature.
    pub(super) fn holds(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        self.key.verify_strict(message, &signature).is_ok()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![self.kind as u8];
        bytes.extend_from_slice(self.key.as_bytes());
        write!(f, "{}+{:08x}+{}", self.name, self.id(), STANDARD.encode(bytes))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let refuse = |why| NoteError::Key { what: "verifier", why };
        // The base64 may have a '+' of its own, the name has none.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(data)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(refuse("it is not NAME+ID+BASE64"));
        };
        let data = STANDARD.decode(data).map_err(|_| refuse("its last part is not base64"))?;
        let (kind, bytes) = match data.split_first() {
            Some((1, bytes)) => (Kind::Log, bytes),
            Some((4, bytes)) => (Kind::Witness, bytes),
            _ => return Err(refuse("its signature type is neither 1 (Ed25519) nor 4 (cosignature/v1)")),
        };
        let bytes = bytes.try_into().map_err(|_| refuse("it is not 32 bytes long"))?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| refuse("it is no point of the curve"))?;
        let key = Self::new(name, kind, key)?;
        if id != format!("{:08x}", key.id()) {
            return Err(refuse("its id is not that of its name and bytes"));
        }
        Ok(key)
    }
}

/// The private half of a log's key. It is wiped when it is dropped, and has no `Debug`.
///
/// Its text, an *skey*, is `PRIVATE+KEY+NAME+ID+BASE64`: type 1 and the 32 bytes of the seed.
pub struct SigningKey {
    public: VerifierKey,
    key: ed25519_dalek::SigningKey,
}

impl SigningKey {
    /// The key that `seed` gives (RFC 8032, section 5.1.5). The seed must come from the kernel's
    /// random numbers and be used for nothing else.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        let key = ed25519_dalek::SigningKey::from_bytes(seed);
        let public = VerifierKey::new(name, Kind::Log, key.verifying_key())?;
        Ok(Self { public, key })
    }

    /// Reads an skey.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let refuse = |why| NoteError::Key { what: "signing", why };
        let rest = text.strip_prefix("PRIVATE+KEY+").ok_or(refuse("it does not begin with PRIVATE+KEY+"))?;
        let mut parts = rest.splitn(3, '+');
        let (Some(name), Some(id), Some(data)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(refuse("it is not PRIVATE+KEY+NAME+ID+BASE64"));
        };
        let data = STANDARD.decode(data).map(Zeroizing::new).map_err(|_| refuse("its last part is not base64"))?;
        let seed = match data.split_first() {
            Some((1, seed)) => seed.try_into().map_err(|_| refuse("it is not 32 bytes long"))?,
            _ => return Err(refuse("its signature type is not 1 (Ed25519)")),
        };
        let key = Self::from_seed(name, seed)?;
        if id != format!("{:08x}", key.public.id()) {
            return Err(refuse("its id is not that of its name and bytes"));
        }
        Ok(key)
    }

    /// The skey.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([1; 33]);
        for (to, from) in bytes.iter_mut().skip(1).zip(self.key.as_bytes()) {
            *to = *from;
        }
        let base64 = Zeroizing::new(STANDARD.encode(*bytes));
        Zeroizing::new(format!("PRIVATE+KEY+{}+{}", self.public.label(), *base64))
    }

    /// The public half.
    pub fn verifier(&self) -> &VerifierKey {
        &self.public
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }
}
