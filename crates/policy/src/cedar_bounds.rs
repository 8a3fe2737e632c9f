//! Bounds on Cedar text before Cedar sees it.
//!
//! Cedar's parser and its printers recurse, and on a stack that is nearly used up its validator says
//! nothing at all (4.14: `context` with a thousand `.a` passes strict validation). So a policy's size is
//! bounded where neither can happen, with a stack of 2 MiB to spare.

/// Words, numbers, strings and symbols of one policy.
pub(crate) const MAX_TOKENS: usize = 800;
/// Parentheses, brackets and braces within one another.
pub(crate) const MAX_NESTING: usize = 32;

/// What is over its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Excess {
    /// [`MAX_TOKENS`]
    Tokens,
    /// [`MAX_NESTING`]
    Nesting,
}

/// The first place, in bytes, where the text is over a bound.
pub(crate) fn excess(text: &str) -> Option<(usize, Excess)> {
    let (mut tokens, mut depth) = (0usize, 0usize);
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let at = text.len() - rest.len();
        let first = rest.chars().next()?;
        let length = match first {
            '/' if rest.starts_with("//") => {
                rest = rest.split_once('\n').map_or("", |(_, after)| after);
                continue;
            }
            '"' => string(rest),
            c if word(c) => rest.find(|c| !word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        tokens += 1;
        match first {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            ';' => tokens = 0,
            _ => {}
        }
        if tokens > MAX_TOKENS {
            return Some((at, Excess::Tokens));
        }
        if depth > MAX_NESTING {
            return Some((at, Excess::Nesting));
        }
        rest = rest.get(length..).unwrap_or_default();
    }
}

fn word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Bytes of the string literal at the start of `text`, quotes included.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_for_each_policy_and_not_for_what_it_quotes() {
        assert_eq!(excess(""), None);
        assert_eq!(excess("permit (principal, action, resource);\n".repeat(1000).as_str()), None);
        assert_eq!(excess(&format!("// {}\n", "( ".repeat(2000))), None);
        assert_eq!(excess(&format!("\"{}\\\"[[[\"", "( ".repeat(2000))), None);
        assert_eq!(excess(&"(".repeat(33)), Some((32, Excess::Nesting)));
        assert_eq!(excess(&".a".repeat(500)), Some((800, Excess::Tokens)));
        assert_eq!(excess(&"é".repeat(5)), None);
        assert_eq!(excess("\"no end"), None);
    }
}
