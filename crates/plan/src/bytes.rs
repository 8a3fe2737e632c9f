//! Reading and writing of bytes: little-endian, length-prefixed, one spelling for each value.

use alloc::{string::String, vec::Vec};
use core::fmt;

use crate::Slot;

/// Why bytes are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// More bytes than there may be.
    TooLong(usize),
    /// Of another kind or version.
    Magic,
    /// Ends early, at this field.
    Short(&'static str),
    /// A number that the field does not know.
    Value(&'static str, u64),
    /// Text that is not UTF-8 or has a NUL.
    Text(&'static str),
    /// Bytes after the end.
    Trailing(usize),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(n) => write!(f, "{n} bytes are more than there may be"),
            Self::Magic => write!(f, "they are of another kind or version"),
            Self::Short(what) => write!(f, "they end inside {what}"),
            Self::Value(what, v) => write!(f, "they have {v} for {what}"),
            Self::Text(what) => write!(f, "they have bad text for {what}"),
            Self::Trailing(n) => write!(f, "{n} bytes follow their end"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// Bytes that are being written.
#[derive(Default)]
pub(crate) struct Out(pub(crate) Vec<u8>);

impl Out {
    pub(crate) fn byte(&mut self, v: u8) {
        self.0.push(v);
    }
    pub(crate) fn flag(&mut self, v: bool) {
        self.byte(v.into());
    }
    pub(crate) fn u32(&mut self, v: u32) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }
    pub(crate) fn u64(&mut self, v: u64) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }
    pub(crate) fn bytes(&mut self, v: &[u8]) {
        // Saturating makes an over-long part undecodable rather than wrong; MAX_PLAN is far below.
        self.u32(u32::try_from(v.len()).unwrap_or(u32::MAX));
        self.0.extend_from_slice(v);
    }
    pub(crate) fn text(&mut self, v: &str) {
        self.bytes(v.as_bytes());
    }
    pub(crate) fn list<T>(&mut self, items: &[T], mut each: impl FnMut(&mut Self, &T)) {
        self.u32(u32::try_from(items.len()).unwrap_or(u32::MAX));
        items.iter().for_each(|item| each(self, item));
    }
}

/// Bytes that are still to be read.
pub(crate) struct In<'a>(pub(crate) &'a [u8]);

impl<'a> In<'a> {
    pub(crate) fn take(&mut self, n: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self.0.split_at_checked(n).ok_or(DecodeError::Short(what))?;
        self.0 = tail;
        Ok(head)
    }
    pub(crate) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        self.take(N, what)?.try_into().map_err(|_| DecodeError::Short(what))
    }
    pub(crate) fn byte(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        self.array::<1>(what).map(|[b]| b)
    }
    pub(crate) fn flag(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        match self.byte(what)? {
            0 => Ok(false),
            1 => Ok(true),
            v => Err(DecodeError::Value(what, v.into())),
        }
    }
    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        self.array(what).map(u32::from_le_bytes)
    }
    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        self.array(what).map(u64::from_le_bytes)
    }
    pub(crate) fn bytes(&mut self, what: &'static str) -> Result<Vec<u8>, DecodeError> {
        let len = usize::try_from(self.u32(what)?).map_err(|_| DecodeError::Short(what))?;
        self.take(len, what).map(<[u8]>::to_vec)
    }
    pub(crate) fn text(&mut self, what: &'static str) -> Result<String, DecodeError> {
        let text = String::from_utf8(self.bytes(what)?).map_err(|_| DecodeError::Text(what))?;
        if text.contains('\0') { Err(DecodeError::Text(what)) } else { Ok(text) }
    }
    pub(crate) fn slot(&mut self, what: &'static str) -> Result<Slot, DecodeError> {
        self.byte(what).map(Slot)
    }
    pub(crate) fn list<T>(
        &mut self,
        what: &'static str,
        mut each: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        // Grows as items decode, so a large count alone costs nothing.
        let count = self.u32(what)?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(each(self)?);
        }
        Ok(items)
    }
    /// Nothing may be left.
    pub(crate) fn end(self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError::Trailing(self.0.len())) }
    }
}
