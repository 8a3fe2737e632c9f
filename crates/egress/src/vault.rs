//! Secrets: where each goes, and that none comes back.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use bytes::{Bytes, BytesMut};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use stockade_wire::egress::{Secret, Secrets};
use zeroize::Zeroize;

/// The run's secrets, and how each of them would look in an answer.
pub struct Vault {
    secrets: Vec<Secret>,
    looks: Vec<Vec<u8>>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault of {}", self.secrets.len())
    }
}

impl Drop for Vault {
    fn drop(&mut self) {
        for secret in &mut self.secrets {
            secret.value.zeroize();
            secret.raw.zeroize();
        }
        self.looks.iter_mut().for_each(Zeroize::zeroize);
    }
}

impl Vault {
    /// Keeps them.
    pub fn new(Secrets(secrets): Secrets) -> Self {
        let mut looks: Vec<Vec<u8>> = secrets.iter().flat_map(|secret| looks_of(&secret.raw)).collect();
        looks.sort_unstable();
        looks.dedup();
        Self { secrets, looks }
    }

    /// The header field of a secret.
    pub fn field(&self, name: &str) -> Option<(HeaderName, HeaderValue)> {
        let secret = self.secrets.iter().find(|secret| secret.name == name)?;
        let mut value = HeaderValue::from_str(&secret.value).ok()?;
        // So that nothing prints it.
        value.set_sensitive(true);
        Some((secret.header.parse().ok()?, value))
    }

    /// Whether a text has one in it.
    pub fn finds(&self, text: &[u8]) -> bool {
        self.looks.iter().any(|look| contains(text, look))
    }

    /// Whether a message's fields have one in them.
    pub fn finds_in(&self, headers: &HeaderMap) -> bool {
        headers.iter().any(|(name, value)| self.finds(name.as_str().as_bytes()) || self.finds(value.as_bytes()))
    }

    /// Looks through a body piece by piece.
    pub fn scanner(self: &std::rc::Rc<Self>) -> Scanner {
        Scanner { vault: std::rc::Rc::clone(self), held: BytesMut::new() }
    }

    /// Bytes at the end of a text with which one may begin.
    fn begins_at_end(&self, text: &[u8]) -> usize {
        let begins = |look: &Vec<u8>| {
            let most = look.len().saturating_sub(1).min(text.len());
            (1..=most).rev().find(|len| text.ends_with(look.get(..*len).unwrap_or_default()))
        };
        self.looks.iter().filter_map(begins).max().unwrap_or(0)
    }
}

/// A secret was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found;

/// What was seen of a body. It holds back only what may be the beginning of a secret.
pub struct Scanner {
    vault: std::rc::Rc<Vault>,
    held: BytesMut,
}

impl Scanner {
    /// Takes a piece; gives what can be passed on.
    pub fn push(&mut self, piece: &[u8]) -> Result<Bytes, Found> {
        if self.vault.looks.is_empty() {
            return Ok(Bytes::copy_from_slice(piece));
        }
        self.held.extend_from_slice(piece);
        if self.vault.finds(&self.held) {
            return Err(Found);
        }
        let keep = self.vault.begins_at_end(&self.held);
        Ok(self.held.split_to(self.held.len().saturating_sub(keep)).freeze())
    }

    /// No more comes; gives the rest.
    pub fn end(&mut self) -> Bytes {
        self.held.split().freeze()
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    let Some(first) = part.first() else { return false };
    let starts = text.iter().enumerate().filter(|(_, byte)| *byte == first);
    starts.into_iter().any(|(at, _)| text.get(at..).is_some_and(|rest| rest.starts_with(part)))
}

/// The value itself, and as others write it: Base64 at each of three places, percent-encoded, in hexadecimal, in JSON.
fn looks_of(raw: &str) -> Vec<Vec<u8>> {
    let bytes = raw.as_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let unreserved = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    let percent = |upper: bool| -> String {
        bytes
            .iter()
            .map(|byte| match (unreserved(byte), upper) {
                (true, _) => char::from(*byte).to_string(),
                (false, true) => format!("%{byte:02X}"),
                (false, false) => format!("%{byte:02x}"),
            })
            .collect()
    };
    let mut looks = vec![raw.to_owned(), hex.to_ascii_uppercase(), hex, percent(true), percent(false)];
    let json = serde_json::to_string(raw).unwrap_or_default();
    looks.push(json.trim_matches('"').to_owned());
    for before in 0..3 {
        let whole = [vec![0; before], bytes.to_vec()].concat();
        // What the neighbours have a part in says nothing.
        let (first, last) = ((before * 8).div_ceil(6), whole.len() * 8 / 6);
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let text = engine.encode(&whole);
            looks.extend(text.get(first..last).map(str::to_owned));
        }
    }
    looks.into_iter().filter(|look| look.len() >= 8).map(String::into_bytes).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;
    use std::rc::Rc;

    fn vault() -> Rc<Vault> {
        let secret = |name: &str, raw: &str| Secret {
            name: name.into(),
            header: "authorization".into(),
            value: format!("Bearer {raw}"),
            raw: raw.into(),
        };
        Rc::new(Vault::new(Secrets(vec![secret("a", "s3cret/with+signs"), secret("b", "another-one")])))
    }

    #[test]
    fn every_spelling_is_found() {
        let vault = vault();
        for text in
            ["x s3cret/with+signs y", "s3cret%2Fwith%2Bsigns", "s3cret%2fwith%2bsigns", "73336372657", "another-one"]
        {
            let found = vault.finds(text.as_bytes());
            assert_eq!(found, !text.starts_with("7333"), "{text}");
        }
        assert!(vault.finds(b"7333637265742f776974682b7369676e73"));
        for around in ["", "a", "ab", "abc", "user:", "x-api-key: "] {
            let text = STANDARD.encode(format!("{around}s3cret/with+signs{around}"));
            assert!(vault.finds(text.as_bytes()), "{around:?} {text}");
            let text = URL_SAFE_NO_PAD.encode(format!("{around}another-one{around}"));
            assert!(vault.finds(text.as_bytes()), "{around:?} {text}");
        }
        assert!(!vault.finds(b"nothing of the kind"));
    }

    #[test]
    fn a_piece_that_ends_within_a_secret_is_held_back() {
        let text = b"before another-one after";
        for at in 0..text.len() {
            let (one, two) = text.split_at(at);
            let mut scanner = vault().scanner();
            let first = scanner.push(one);
            assert!(first.is_err() || scanner.push(two).is_err(), "{at}");
            if let Ok(first) = first {
                assert!(!contains(&first, b"another-on") || at > 18, "{at}");
            }
        }
        let mut scanner = vault().scanner();
        let mut got = scanner.push(b"data: anot").unwrap().to_vec();
        assert_eq!(got, b"data: ");
        got.extend_from_slice(&scanner.push(b"her\n\n").unwrap());
        got.extend_from_slice(&scanner.end());
        assert_eq!(got, b"data: another\n\n");
    }
}
