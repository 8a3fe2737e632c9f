//! Log text is untrusted: it goes into a report that a person opens.

/// One line without control characters, of at most `max` bytes.
pub(crate) fn clean(text: &str, max: usize) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if out.len() + c.len_utf8() > max {
            out.push('…');
            break;
        }
        out.push(if c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            '·'
        } else {
            c
        });
    }
    out
}

/// For a cell of a Markdown table or running text: no markup, no links, no HTML.
pub(crate) fn cell(text: &str, max: usize) -> String {
    let mut out = String::new();
    for c in clean(text, max).chars() {
        if matches!(c, '|' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '\\' | '#' | '!') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// For a code block: a line that can't close it.
pub(crate) fn code(text: &str, max: usize) -> String {
    format!("    {}", clean(text, max))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn nothing_of_a_log_is_markup_or_an_escape() {
        assert_eq!(clean("a\x1b[2Jb\tc", 100), "a·[2Jb·c");
        assert_eq!(cell("a|b <img> [x](y)", 100), "a\\|b \\<img\\> \\[x\\](y)");
        assert_eq!(clean("ääää", 5), "ää…");
    }
}
