//! Text that came from untrusted input, made fit for a person's screen.

use std::fmt::Write as _;

/// Escapes control characters (line breaks too) and cuts to at most `max` bytes, saying so.
pub(crate) fn clean(text: &str, max: usize) -> String {
    const CUT: &str = " [cut]";
    let mut out = String::new();
    for c in text.chars() {
        let before = out.len();
        if unprintable(c) {
            let _ = write!(out, "{}", c.escape_default());
        } else {
            out.push(c);
        }
        if out.len() > max.saturating_sub(CUT.len()) {
            out.truncate(before);
            out.push_str(CUT);
            break;
        }
    }
    out
}

/// Control characters, and the marks that reorder or hide text around them.
fn unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The longest prefix of at most `max` bytes that ends at a character.
#[cfg(feature = "run")]
pub(crate) fn prefix(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_control_character_survives() {
        assert_eq!(clean("a\x1b[2Jb\n\u{202e}c\u{9b}", 100), "a\\u{1b}[2Jb\\n\\u{202e}c\\u{9b}");
    }

    #[test]
    fn what_is_cut_says_so_and_fits() {
        for max in 6..40 {
            let out = clean("ää\x1b\x1bääääääääääääääää", max);
            assert!(out.len() <= max && out.ends_with("[cut]"), "{max}: {out}");
        }
    }
}
