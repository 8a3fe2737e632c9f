//! Text of agents on an operator's screen: nothing in it acts on the terminal, nothing in it hides.
//!
//! Escaped are the controls of ISO 6429 (C0, DEL, C1), the bidirectional controls that make text
//! read in another order than it has (CVE-2021-42574), and characters that have no appearance of
//! their own. They become `\n`, `\x1b` or `\u{202e}`. Backslashes stay as they are, so that escaping twice changes
//! nothing; who needs to tell `\x1b` from the control looks at the journal.

use std::fmt::Write;

/// `text` for one line of a screen: line breaks and tabs are escaped too.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        push(&mut out, c);
    }
    out
}

/// `text` of several lines as a renderer of diagnostics made it. Of controls only line breaks, tabs and colours
/// (SGR, `ESC [ … m`) pass.
#[must_use]
pub fn rendered(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(end) =
            rest.strip_prefix("\x1b[").and_then(|tail| tail.find(|c: char| !c.is_ascii_digit() && c != ';'))
            && let Some((colour, tail)) = rest.split_at_checked(end + 3)
            && colour.ends_with('m')
        {
            out.push_str(colour);
            rest = tail;
            continue;
        }
        match c {
            '\n' | '\t' => out.push(c),
            c => push(&mut out, c),
        }
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    out
}

/// JSON text whose strings hold nothing that acts on a terminal: what a screen would not show is escaped as JSON
/// escapes it.
#[must_use]
pub fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' || !(c.is_control() || is_unseen(c)) {
            out.push(c);
            continue;
        }
        // Writing to a String can't fail. Outside of strings JSON has ASCII alone.
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    out
}

/// A filter for a stream of bytes from an agent, such as its standard output. Line feeds and tabs
/// and printable UTF-8 pass, also when a character is split over chunks; bytes that are not UTF-8
/// become `\xff`.
#[derive(Debug, Default)]
pub struct Sanitizer {
    /// Beginning of a character whose rest has not come: at most three bytes.
    pending: Vec<u8>,
}

impl Sanitizer {
    /// A filter at the beginning of its stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What may be shown of the stream after `bytes`.
    #[must_use]
    pub fn push(&mut self, bytes: &[u8]) -> String {
        let mut input = std::mem::take(&mut self.pending);
        input.extend_from_slice(bytes);
        let mut out = String::with_capacity(input.len());
        let mut chunks = input.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            for c in chunk.valid().chars() {
                match c {
                    '\n' | '\t' => out.push(c),
                    c => push(&mut out, c),
                }
            }
            let invalid = chunk.invalid();
            if chunks.peek().is_none() && is_begun(invalid) {
                self.pending = invalid.to_vec();
            } else {
                push_bytes(&mut out, invalid);
            }
        }
        out
    }

    /// What is left at the end of the stream.
    #[must_use]
    pub fn finish(self) -> String {
        let mut out = String::new();
        push_bytes(&mut out, &self.pending);
        out
    }
}

/// Whether `bytes` could be the beginning of a character, as far as they go.
fn is_begun(bytes: &[u8]) -> bool {
    matches!(std::str::from_utf8(bytes), Err(error) if error.valid_up_to() == 0 && error.error_len().is_none())
}

fn push_bytes(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a String can't fail.
        let _ = write!(out, "\\x{byte:02x}");
    }
}

fn push(out: &mut String, c: char) {
    let _ = match c {
        '\n' => write!(out, "\\n"),
        '\r' => write!(out, "\\r"),
        '\t' => write!(out, "\\t"),
        '\0'..='\x1f' | '\x7f'..='\u{9f}' => write!(out, "\\x{:02x}", u32::from(c)),
        c if is_unseen(c) => write!(out, "\\u{{{:x}}}", u32::from(c)),
        c => out.write_char(c),
    };
}

/// Characters that reorder what is around them or show nothing: general category Cf, Zl and Zp, and the fillers and
/// selectors that are blank (Unicode 16, UnicodeData.txt and DerivedCoreProperties.txt: Default_Ignorable_Code_Point).
fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
        | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_acts_on_a_terminal_passes() {
        for c in (0..=0x10_ffff).filter_map(char::from_u32) {
            let shown = plain(&c.to_string());
            assert!(shown.chars().all(|c| !c.is_control()), "{c:?}");
            assert_eq!(plain(&shown), shown, "escaping twice changes {c:?}");
        }
        for (text, shown) in [
            ("\u{1b}[31mred\u{1b}[0m", r"\x1b[31mred\x1b[0m"),
            ("\u{9b}31m\u{7f}\u{7}", r"\x9b31m\x7f\x07"),
            ("a\r\n\tb\0", r"a\r\n\tb\x00"),
            ("user\u{202e}txt.exe\u{2066}", r"user\u{202e}txt.exe\u{2066}"),
            ("zero\u{200b}width\u{feff}", r"zero\u{200b}width\u{feff}"),
            ("Grüße, 日本, 😀, \\x", "Grüße, 日本, 😀, \\x"),
        ] {
            assert_eq!(plain(text), shown);
        }
    }

    #[test]
    fn a_stream_is_the_same_however_it_is_cut() {
        let stream = "Gr\u{fc}\u{df}e\t日本 😀\n\u{1b}]0;title\u{7}\r\u{202e}x".as_bytes();
        let bad =
            [b"ok \xff\xfe \xc3( \xe2\x82 \xf0\x9f\x98 \xed\xa0\x80 \xc0\xaf end\xe2\x82".as_slice(), stream].concat();
        for stream in [stream, &bad] {
            let mut whole = Sanitizer::new();
            let mut expected = whole.push(stream);
            expected += &whole.finish();
            for size in 1..stream.len() {
                let mut sanitizer = Sanitizer::new();
                let mut shown: String = stream.chunks(size).map(|chunk| sanitizer.push(chunk)).collect();
                shown += &sanitizer.finish();
                assert_eq!(shown, expected, "chunks of {size}");
            }
            assert!(expected.chars().all(|c| c == '\n' || c == '\t' || !c.is_control()));
        }
    }

    #[test]
    fn of_rendered_text_only_colours_pass() {
        let shown =
            rendered("\u{1b}[1m\u{1b}[38;5;9merror\u{1b}[0m: \u{1b}]0;x\u{7}\u{1b}[2Jé\u{1b}[\n\t\u{202e}\u{9b}3m");
        let expected = "\u{1b}[1m\u{1b}[38;5;9merror\u{1b}[0m: \\x1b]0;x\\x07\\x1b[2Jé\\x1b[\n\t\\u{202e}\\x9b3m";
        assert_eq!(shown, expected);
    }

    #[test]
    fn json_stays_the_same_json() {
        let value = serde_json::json!({"a\u{9b}": "\u{202e}x\u{e0001}\u{7f}\n\"é日"});
        let text = json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()) && !text.contains('\u{202e}'));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_bytes() {
        let mut sanitizer = Sanitizer::new();
        assert_eq!(sanitizer.push(b"a\xffb\xc3"), r"a\xffb");
        assert_eq!(sanitizer.push(b"\xa9\xe2\x82"), "é");
        assert_eq!(sanitizer.push(b"!"), r"\xe2\x82!");
        assert_eq!(sanitizer.push(b"\xf0\x9f"), "");
        assert_eq!(sanitizer.finish(), r"\xf0\x9f");
    }
}
