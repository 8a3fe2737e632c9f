//! Short forms of long things.

use serde_json::Value;

use crate::screen::plain;

/// `text`, escaped, in at most `max` characters; what is cut is counted.
pub(super) fn cut(text: &str, max: usize) -> String {
    // The longest escape has 10 characters: this much is enough to fill `max`.
    let shown = plain(text);
    let length = shown.chars().count();
    if length <= max {
        return shown;
    }
    // The mark's own length depends on the count; 12 is enough for 10 million.
    let keep = max.saturating_sub(12);
    let head: String = shown.chars().take(keep).collect();
    format!("{head}…(+{})", length - keep)
}

/// The first line of a text, with a count of the others.
pub(super) fn first_line(text: &str) -> String {
    let mut lines = text.trim_end().lines();
    let first = lines.next().unwrap_or_default();
    match lines.filter(|line| !line.is_empty()).count() {
        0 => first.to_owned(),
        more => format!("{first} …(+{})", count(more as u64, "line")),
    }
}

/// Arguments as a person would type them: those with a space in them are quoted.
pub(super) fn typed(args: &[String]) -> String {
    let one = |arg: &String| {
        if arg.is_empty() || arg.contains(char::is_whitespace) { format!("\"{arg}\"") } else { arg.clone() }
    };
    args.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// The first 12 digits of a digest: enough to tell two apart on a screen.
pub(super) fn short(digest: &str) -> String {
    digest.chars().take(12).collect()
}

/// Keys that say most, shown first.
const FIRST: [&str; 6] = ["path", "argv", "offset", "event", "cell", "reason"];

/// Keys of bulk, shown as its size.
const BULK: [&str; 4] = ["content", "content_base64", "stdout", "stderr"];

/// A value on one line: `key=value …` for an object, else JSON; long strings are cut each, and the
/// whole to `max` characters.
pub(super) fn value(value: &Value, max: usize) -> String {
    let Value::Object(map) = value else { return item(value, max) };
    let mut pairs: Vec<_> = map.iter().collect();
    pairs.sort_by_key(|(key, _)| (FIRST.iter().position(|first| first == key).unwrap_or(FIRST.len()), *key));
    let pairs: Vec<_> = pairs
        .into_iter()
        .map(|(key, value)| match value {
            Value::String(text) if BULK.contains(&key.as_str()) => format!("{key}=({})", bytes(text.len() as u64)),
            value => format!("{key}={}", item(value, max)),
        })
        .collect();
    cut(&pairs.join(" "), max)
}

/// A value inside another: at most two thirds of the room.
fn item(value: &Value, max: usize) -> String {
    let room = (max / 3 * 2).max(24);
    match value {
        // `cut` has escaped it: what JSON doubles would only be harder to read.
        Value::String(text) => Value::from(cut(text, room)).to_string().replace("\\\\", "\\"),
        other => cut(&other.to_string(), room),
    }
}

/// Microseconds as a duration.
pub(super) fn duration(micros: u64) -> String {
    let seconds = micros / 1_000_000;
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{}.{} ms", micros / 1_000, micros / 100 % 10),
        1_000_000..60_000_000 => format!("{seconds}.{:02} s", micros / 10_000 % 100),
        _ => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

/// Bytes in binary units.
pub(super) fn bytes(n: u64) -> String {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;
    let tenths = |unit: u64| format!("{}.{}", n / unit, n % unit * 10 / unit);
    match n {
        1 => "1 byte".to_owned(),
        0..KIB => format!("{n} bytes"),
        KIB..MIB => format!("{} KiB", tenths(KIB)),
        MIB..GIB => format!("{} MiB", tenths(MIB)),
        _ => format!("{} GiB", tenths(GIB)),
    }
}

/// `1 call`, `2 calls`.
pub(super) fn count(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// JSON text with every character that [`plain`] escapes written as a JSON escape.
pub(super) fn json_escape(line: &[u8]) -> String {
    let mut out = String::with_capacity(line.len());
    let mut buffer = [0; 4];
    for c in String::from_utf8_lossy(line).chars() {
        if plain(c.encode_utf8(&mut buffer)).starts_with(c) {
            out.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn long_values_are_cut_and_counted() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut(&"x".repeat(50), 20), "xxxxxxxx…(+42)");
        let long = json!({"a": "x".repeat(100_000), "content": "y".repeat(2048), "path": "a\n\u{1b}[0m"});
        let shown = format!("path=\"a\\n\\x1b[0m\" a=\"{}…(+99932)\" content=(2.0 KiB)", "x".repeat(68));
        assert_eq!(value(&long, 120), shown);
        for max in [30, 60, 90] {
            let long = json!({"a": "\u{202e}".repeat(500), "b": vec![1; 1000], "c": {"d": "\"".repeat(99)}});
            assert!(value(&long, max).chars().count() <= max);
        }
    }

    #[test]
    fn units() {
        let d: Vec<_> = [0, 999, 1_000, 12_345, 1_234_567, 61_000_000].map(duration).into();
        assert_eq!(d, ["0 µs", "999 µs", "1.0 ms", "12.3 ms", "1.23 s", "1 min 01 s"]);
        let b: Vec<_> = [0, 1, 1023, 1024, 1536, 5 << 20, u64::MAX].map(bytes).into();
        assert_eq!(b, ["0 bytes", "1 byte", "1023 bytes", "1.0 KiB", "1.5 KiB", "5.0 MiB", "17179869183.9 GiB"]);
    }

    #[test]
    fn escaped_json_means_the_same() {
        let value = json!({"k\u{9b}": "\u{1b}\u{7f}\u{202e}é😀\u{e0001}\\"});
        let shown = json_escape(value.to_string().as_bytes());
        assert_eq!(plain(&shown), shown);
        assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), value);
    }
}
