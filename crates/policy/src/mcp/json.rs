//! JSON without room for two readings: bounded in size, depth and number of values, no key twice.

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::cell::Cell;

/// Most bytes of one text.
pub const MAX_JSON: usize = 1024 * 1024;
/// Objects and arrays within one another.
pub const MAX_DEPTH: usize = 48;
/// Values of one text, keys not counted.
const MAX_VALUES: usize = 200_000;

/// Why a text is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    /// What is wrong, with a place: a JSON pointer, or line and column.
    pub message: String,
}

impl std::fmt::Display for JsonError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for JsonError {}

/// Reads one JSON text (RFC 8259). A key that comes twice, which readers resolve differently, is an error.
///
/// # Errors
/// [`JsonError`] for what is over a bound, is no JSON, or has a key twice.
pub fn strict_json(bytes: &[u8]) -> Result<Value, JsonError> {
    if bytes.len() > MAX_JSON {
        return Err(JsonError { message: format!("{} bytes; at most {MAX_JSON} are read", bytes.len()) });
    }
    let left = Cell::new(MAX_VALUES);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let seed = Node { at: &At::Root, depth: 0, left: &left };
    let of = |e: serde_json::Error| JsonError { message: e.to_string() };
    let value = seed.deserialize(&mut reader).map_err(of)?;
    reader.end().map_err(of)?;
    Ok(value)
}

/// A place in a JSON value.
#[derive(Debug, Clone, Copy)]
pub(super) enum At<'a> {
    Root,
    Key(&'a At<'a>, &'a str),
    Index(&'a At<'a>, usize),
}

impl std::fmt::Display for At<'_> {
    /// A JSON pointer (RFC 6901); control characters escaped, each key cut at 128 characters.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(parent, key) => {
                let cut: String = key.chars().take(128).collect();
                write!(f, "{parent}/{}", cut.replace('~', "~0").replace('/', "~1").escape_debug())
            }
            Self::Index(parent, number) => write!(f, "{parent}/{number}"),
        }
    }
}

impl At<'_> {
    /// Steps from the root.
    pub(super) fn depth(&self) -> usize {
        match self {
            Self::Root => 0,
            Self::Key(parent, _) | Self::Index(parent, _) => parent.depth() + 1,
        }
    }

    /// For a message: the pointer, or words for the whole.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Root => "the whole".to_owned(),
            _ => self.to_string(),
        }
    }
}

#[derive(Clone, Copy)]
struct Node<'a> {
    at: &'a At<'a>,
    depth: usize,
    left: &'a Cell<usize>,
}

impl Node<'_> {
    fn count<E: serde::de::Error>(&self) -> Result<(), E> {
        match self.left.get().checked_sub(1) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(E::custom(format!("more than {MAX_VALUES} values"))),
        }
    }

    fn deeper<E: serde::de::Error>(&self) -> Result<usize, E> {
        match self.depth + 1 {
            depth if depth <= MAX_DEPTH => Ok(depth),
            _ => Err(E::custom(format!("{}: nested deeper than {MAX_DEPTH}", self.at.words()))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.count()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).map(Value::Number);
        number.ok_or_else(|| E::custom(format!("{}: a number out of range", self.at.words())))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) =
            list.next_element_seed(Node { at: &At::Index(self.at, items.len()), depth, left: self.left })?
        {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut entries = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let at = At::Key(self.at, &key);
            if entries.contains_key(&key) {
                return Err(A::Error::custom(format!("{at}: this key comes twice; leave one")));
            }
            let value = map.next_value_seed(Node { at: &at, depth, left: self.left })?;
            entries.insert(key, value);
        }
        Ok(Value::Object(entries))
    }
}

/// The kind of a value, for a message.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
