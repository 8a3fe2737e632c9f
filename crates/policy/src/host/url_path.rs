//! The path of a URL, and the prefixes of paths a policy speaks of.

use super::as_text;
use serde::{Deserialize, Serialize};

/// Longest path in bytes (RFC 9110, 4.1 asks for at least 8,000).
pub const MAX_URL_PATH: usize = 8000;

/// An absolute path without query and fragment (RFC 3986, 3.3) in one spelling: unreserved characters stand
/// for themselves, everything else that was encoded or must be is `%XX` in upper case. It has no `.` and `..`,
/// no empty segment but a last one, and nothing that another server could take for a separator.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UrlPath(String);

as_text!(UrlPath, UrlPath::from_policy);

/// Why a text is no path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathFault {
    /// It does not begin with `/`.
    NotAbsolute,
    /// Over 8,000 bytes, in its canonical spelling.
    TooLong(usize),
    /// A segment is `.` or `..`, encoded or not, or is that before a `;`.
    DotSegment,
    /// Two slashes in a row.
    EmptySegment,
    /// A backslash, NUL or other control character, encoded or not, or an encoded slash or `%XX`.
    Hidden(u8),
    /// A character that ends a path or is in none.
    Character(char),
    /// A `%` without two hexadecimal digits.
    Percent,
    /// Encoded bytes that are no UTF-8.
    Utf8,
    /// Another spelling; holds the canonical one.
    NotCanonical(String),
}

impl std::fmt::Display for PathFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotAbsolute => f.write_str("a path begins with `/`"),
            Self::TooLong(n) => write!(f, "it has {n} bytes; a path may have {MAX_URL_PATH}"),
            Self::DotSegment => f.write_str("it has a `.` or `..` segment"),
            Self::EmptySegment => f.write_str("it has an empty segment (`//`)"),
            Self::Hidden(byte) => write!(f, "it hides byte {byte:#04x}, which servers read differently"),
            Self::Character(c) => write!(f, "a path has no `{}`; encode it", c.escape_debug()),
            Self::Percent => f.write_str("a `%` is followed by two hexadecimal digits"),
            Self::Utf8 => f.write_str("its encoded bytes are not UTF-8"),
            Self::NotCanonical(want) => write!(f, "it is not in canonical form; write `{want}`"),
        }
    }
}

impl std::error::Error for PathFault {}

/// RFC 3986, 2.3.
fn unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// What else a segment may have unencoded (RFC 3986, 3.3 `pchar`).
fn reserved_in_path(byte: u8) -> bool {
    b"!$&'()*+,;=:@".contains(&byte)
}

/// Appends one byte and what it stands for.
fn push(byte: u8, spelled: bool, out: &mut String, decoded: &mut Vec<u8>) {
    decoded.push(byte);
    if unreserved(byte) || (spelled && (byte == b'/' || reserved_in_path(byte))) {
        out.push(char::from(byte));
    } else {
        out.push_str(&format!("%{byte:02X}"));
    }
}

impl UrlPath {
    /// A path in a call: put in its canonical spelling.
    ///
    /// # Errors
    /// [`PathFault`] for what no spelling makes safe.
    pub fn from_call(text: &str) -> Result<Self, PathFault> {
        if !text.starts_with('/') {
            return Err(PathFault::NotAbsolute);
        }
        if text.len() > MAX_URL_PATH {
            return Err(PathFault::TooLong(text.len()));
        }
        let (mut out, mut decoded) = (String::with_capacity(text.len()), Vec::with_capacity(text.len()));
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            match byte {
                b'%' => {
                    let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
                    let (Some(high), Some(low)) = (digit(bytes.next()), digit(bytes.next())) else {
                        return Err(PathFault::Percent);
                    };
                    let byte = u8::try_from(high * 16 + low).unwrap_or_default();
                    if byte.is_ascii_control() || byte == b'/' || byte == b'\\' {
                        return Err(PathFault::Hidden(byte));
                    }
                    push(byte, false, &mut out, &mut decoded);
                }
                _ if byte.is_ascii_control() || byte == b'\\' => return Err(PathFault::Hidden(byte)),
                _ if byte == b'/' || unreserved(byte) || reserved_in_path(byte) || !byte.is_ascii() => {
                    push(byte, true, &mut out, &mut decoded);
                }
                _ => return Err(PathFault::Character(char::from(byte))),
            }
        }
        if out.len() > MAX_URL_PATH {
            return Err(PathFault::TooLong(out.len()));
        }
        let decoded = String::from_utf8(decoded).map_err(|_| PathFault::Utf8)?;
        check(&decoded)?;
        Ok(Self(out))
    }

    /// A path in a policy: canonical or not at all.
    ///
    /// # Errors
    /// As [`UrlPath::from_call`], and [`PathFault::NotCanonical`].
    pub fn from_policy(text: &str) -> Result<Self, PathFault> {
        let path = Self::from_call(text)?;
        if path.0 == text { Ok(path) } else { Err(PathFault::NotCanonical(path.0)) }
    }

    /// The canonical text, which is what goes to the server.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `other` is this path or lies below it, by whole segments: `/repos/` covers `/repos/x`, `/repos`
    /// covers that, `/repos/` and itself, but not `/repository`. `;` and `%3B` count as the same here, since
    /// servers decode before they look, though each is sent as it came.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match decode(&other.0).strip_prefix(decode(&self.0).as_slice()) {
            Some(rest) => rest.is_empty() || rest.first() == Some(&b'/') || self.0.ends_with('/'),
            None => false,
        }
    }
}

/// Looks at the path as a server that decodes once, or once more, would.
fn check(decoded: &str) -> Result<(), PathFault> {
    let segments: Vec<&str> = decoded.split('/').skip(1).collect();
    for (number, segment) in segments.iter().enumerate() {
        // Some servers drop what follows a `;` before they resolve dots.
        let name = segment.split_once(';').map_or(*segment, |(name, _)| name);
        if matches!(name, "." | "..") {
            return Err(PathFault::DotSegment);
        }
        if name.is_empty() && (number + 1 != segments.len() || !segment.is_empty()) {
            return Err(PathFault::EmptySegment);
        }
    }
    let twice = |at: usize| {
        let mut digits = decoded.get(at + 1..).unwrap_or_default().bytes();
        digits.next().is_some_and(|b| b.is_ascii_hexdigit()) && digits.next().is_some_and(|b| b.is_ascii_hexdigit())
    };
    if decoded.match_indices('%').any(|(at, _)| twice(at)) {
        return Err(PathFault::Hidden(b'%'));
    }
    // C1 controls, and separators of lines.
    match decoded.chars().find(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
        Some(c) => Err(PathFault::Character(c)),
        None => Ok(()),
    }
}

/// The bytes a canonical path stands for; its slashes are all separators.
fn decode(path: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16)).unwrap_or(0);
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => u8::try_from(digit(bytes.next()) * 16 + digit(bytes.next())).unwrap_or_default(),
            plain => plain,
        };
        out.push(byte);
    }
    out
}

impl std::fmt::Display for UrlPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
