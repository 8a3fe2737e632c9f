//! HTTP methods.

use super::as_text;
use serde::{Deserialize, Serialize};

/// Longest method in bytes; the longest registered one has 17.
const MAX_METHOD: usize = 32;

/// A method: a token (RFC 9110, 5.6.2) in upper case. Methods are case-sensitive, but servers that fold case
/// exist, so only the upper case is ever sent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Method(String);

as_text!(Method, Method::from_policy);

/// Why a text is no method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MethodError {
    /// Nothing there.
    Empty,
    /// Over 32 bytes.
    TooLong(usize),
    /// A character no token has.
    Character(char),
    /// In lower case; holds the canonical spelling.
    NotCanonical(String),
}

impl std::fmt::Display for MethodError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty"),
            Self::TooLong(n) => write!(f, "it has {n} bytes; a method may have {MAX_METHOD}"),
            Self::Character(c) => write!(f, "a method has no `{}`", c.escape_debug()),
            Self::NotCanonical(want) => write!(f, "methods are in upper case; write `{want}`"),
        }
    }
}

impl std::error::Error for MethodError {}

impl Method {
    /// A method in a call: put in upper case.
    ///
    /// # Errors
    /// [`MethodError`] for what is no token.
    pub fn from_call(text: &str) -> Result<Self, MethodError> {
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        match text {
            "" => Err(MethodError::Empty),
            _ if text.len() > MAX_METHOD => Err(MethodError::TooLong(text.len())),
            _ => match text.chars().find(|c| !token(*c)) {
                Some(c) => Err(MethodError::Character(c)),
                None => Ok(Self(text.to_ascii_uppercase())),
            },
        }
    }

    /// A method in a policy: canonical or not at all.
    ///
    /// # Errors
    /// As [`Method::from_call`], and [`MethodError::NotCanonical`] for lower case.
    pub fn from_policy(text: &str) -> Result<Self, MethodError> {
        let method = Self::from_call(text)?;
        if method.0 == text { Ok(method) } else { Err(MethodError::NotCanonical(method.0)) }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
