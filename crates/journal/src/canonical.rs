//! One byte form for each value.
//!
//! serde_json keeps the order of keys or sorts them, as the features of the whole build say. A
//! journal must not depend on who built its reader, so keys are sorted by bytes before a value is
//! written, and a reader refuses a line whose values are not.

use serde::Serialize;
use serde_json::Value;

/// Deepest value that stays in a line. Readers stop at 128 levels in all, the record's own included.
pub(crate) const MAX_DEPTH: usize = 64;

/// Length in bytes of the JSON text of `value`, or `None` over `limit`, without building the text.
pub(crate) fn measure(value: &Value, limit: usize) -> Option<usize> {
    struct Counter {
        left: usize,
    }
    impl std::io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.left = self.left.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::FileTooLarge)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter { left: limit };
    value.serialize(&mut serde_json::Serializer::new(&mut counter)).ok()?;
    Some(limit - counter.left)
}

/// Whether `value` nests at most `levels` arrays and objects.
pub(crate) fn is_shallow(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(items) => levels > 0 && items.iter().all(|item| is_shallow(item, levels - 1)),
        Value::Object(map) => levels > 0 && map.values().all(|item| is_shallow(item, levels - 1)),
        _ => true,
    }
}

/// Whether the keys of every object in `value` are in the order of their bytes.
pub(crate) fn is_sorted(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().all(is_sorted),
        Value::Object(map) => map.keys().is_sorted() && map.values().all(is_sorted),
        _ => true,
    }
}

/// Length in bytes of `c` inside a JSON string as serde_json writes it (RFC 8259, section 7).
pub(crate) fn escaped_len(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        c if c < ' ' => 6,
        c => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn measures_what_serde_writes() {
        for value in [json!(null), json!({"a": [1, -2, 3.5, "x\n\u{7f}\u{1}é\""]}), json!("")] {
            let len = serde_json::to_vec(&value).unwrap().len();
            assert_eq!(measure(&value, len), Some(len));
            assert_eq!(measure(&value, len - 1), None);
        }
    }

    #[test]
    fn escapes_are_as_long_as_serde_writes_them() {
        for c in (0..=0x3000).filter_map(char::from_u32).chain(['\u{10ffff}', '\u{fffd}']) {
            let written = serde_json::to_string(&c.to_string()).unwrap().len() - 2;
            assert_eq!(escaped_len(c), written, "{c:?}");
        }
    }

    #[test]
    fn depth() {
        let mut value = json!(1);
        for _ in 0..3 {
            value = json!([value]);
        }
        assert!(is_shallow(&value, 3));
        assert!(!is_shallow(&value, 2));
    }
}
