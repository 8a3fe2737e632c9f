//! A text as values with their places, whichever of the two notations it is written in.

use std::ops::Range;

/// Tables and lists within one another. The readers below recurse no deeper.
pub(super) const MAX_DEPTH: usize = 32;

/// A value and where it is written, in bytes.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) span: Range<usize>,
}

/// A value.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    /// A whole number.
    Integer(i128),
    /// A number with a point or an exponent, or a whole one beyond 128 bits, as it is written.
    Number(String),
    Bool(bool),
    List(Vec<Node>),
    Table(Table),
    /// What the language has no use for: a date, or JSON's null.
    Other(&'static str),
}

/// Keys in the order of the text; none is there twice.
#[derive(Debug, Clone, Default)]
pub(super) struct Table(pub(super) Vec<(Key, Node)>);

/// A key and where it is written.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) span: Range<usize>,
}

impl Table {
    pub(super) fn get(&self, name: &str) -> Option<&Node> {
        self.0.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
    }
}

impl Value {
    /// The value's kind, for people.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "string",
            Self::Integer(_) => "integer",
            Self::Number(_) => "float",
            Self::Bool(_) => "boolean",
            Self::List(_) => "array",
            Self::Table(_) => "table",
            Self::Other(kind) => kind,
        }
    }
}
