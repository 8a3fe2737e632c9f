//! JSON from a cell: bounded in depth and in number of values, and without duplicate keys, so that
//! what is decided on is what any other reader of the same text sees.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Deepest nesting of arrays and objects.
pub const MAX_DEPTH: u32 = 16;
/// Most values in one text, keys not counted. Bounds memory at a small multiple of the text.
pub const MAX_VALUES: u32 = 16 * 1024;

/// The same bounds of a server's result.
const RESULT_DEPTH: u32 = 64;
const RESULT_VALUES: u32 = 256 * 1024;

/// Parses JSON text strictly.
///
/// # Errors
/// What is wrong and where (line and column), for the agent.
pub fn parse(text: &[u8]) -> Result<Value, String> {
    within(text, MAX_DEPTH, MAX_VALUES)
}

/// The same of what a server answered, which may be larger.
pub fn parse_result(text: &[u8]) -> Result<Value, String> {
    within(text, RESULT_DEPTH, RESULT_VALUES)
}

fn within(text: &[u8], depth: u32, values: u32) -> Result<Value, String> {
    let mut left = values;
    let mut source = serde_json::Deserializer::from_slice(text);
    let seed = Strict { deeper: depth, left: &mut left, bounds: (depth, values) };
    let value = seed.deserialize(&mut source).map_err(|e| e.to_string())?;
    source.end().map_err(|e| e.to_string())?;
    Ok(value)
}

struct Strict<'a> {
    /// Levels that may follow.
    deeper: u32,
    left: &'a mut u32,
    /// Levels and values in all, for messages.
    bounds: (u32, u32),
}

impl Strict<'_> {
    fn deeper(&mut self) -> Option<Strict<'_>> {
        let deeper = self.deeper.checked_sub(1)?;
        Some(Strict { deeper, left: self.left, bounds: self.bounds })
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Value, D::Error> {
        let (_, most) = self.bounds;
        *self.left = self.left.checked_sub(1).ok_or_else(|| D::Error::custom(format!("more than {most} values")))?;
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a JSON value")
    }
    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E: Error>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }
    fn visit_u64<E: Error>(self, v: u64) -> Result<Value, E> {
        Ok(Value::Number(v.into()))
    }
    fn visit_i64<E: Error>(self, v: i64) -> Result<Value, E> {
        Ok(Value::Number(v.into()))
    }
    fn visit_f64<E: Error>(self, v: f64) -> Result<Value, E> {
        Number::from_f64(v).map(Value::Number).ok_or_else(|| E::custom("a number out of range"))
    }
    fn visit_str<E: Error>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }
    fn visit_string<E: Error>(self, v: String) -> Result<Value, E> {
        Ok(Value::String(v))
    }
    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Value, A::Error> {
        let mut out = Vec::new();
        loop {
            let (deepest, _) = self.bounds;
            let inner =
                self.deeper().ok_or_else(|| A::Error::custom(format!("nested deeper than {deepest} levels")))?;
            match items.next_element_seed(inner)? {
                Some(value) => out.push(value),
                None => return Ok(Value::Array(out)),
            }
        }
    }
    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<Value, A::Error> {
        let mut out = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if out.contains_key(&key) {
                return Err(A::Error::custom(format_args!("duplicate key {:?}", shorten(&key))));
            }
            let (deepest, _) = self.bounds;
            let inner =
                self.deeper().ok_or_else(|| A::Error::custom(format!("nested deeper than {deepest} levels")))?;
            let value = entries.next_value_seed(inner)?;
            out.insert(key, value);
        }
        Ok(Value::Object(out))
    }
}

/// The first 64 characters, for messages.
#[must_use]
pub fn shorten(text: &str) -> String {
    match text.char_indices().nth(64) {
        Some((cut, _)) => format!("{}…", text.get(..cut).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn plain_texts_are_what_they_say() {
        let text = br#" {"a":[1,-2,3.5,true,null,"x\u00e9"],"b":{}} "#;
        assert_eq!(parse(text).unwrap(), json!({"a": [1, -2, 3.5, true, null, "xé"], "b": {}}));
        assert_eq!(parse(b"18446744073709551615").unwrap(), json!(u64::MAX));
    }

    #[test]
    fn duplicate_keys_are_refused_at_every_level() {
        assert!(parse(br#"{"a":1,"a":2}"#).unwrap_err().contains("duplicate key"));
        assert!(parse(br#"[{"b":{"a":1,"\u0061":2}}]"#).unwrap_err().contains("duplicate key \"a\""));
    }

    #[test]
    fn depth_and_number_are_bounded() {
        let nest = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse(nest(MAX_DEPTH as usize).as_bytes()).is_ok());
        assert!(parse(nest(MAX_DEPTH as usize + 1).as_bytes()).is_err());
        assert!(parse("[".repeat(100_000).as_bytes()).is_err());
        let many = format!("[{}0]", "0,".repeat(MAX_VALUES as usize));
        assert!(parse(many.as_bytes()).unwrap_err().contains("16384"));
    }

    #[test]
    fn rubbish_is_refused() {
        for text in ["", "{", "nul", "{}x", "1e999", "\"\u{1}\"", "[1,]", "{'a':1}", "\"\\ud800\""] {
            assert!(parse(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(parse(b"\"\xff\"").is_err());
    }
}
