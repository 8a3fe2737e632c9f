//! Enough of Rust's lexical grammar to tell code from comments and literals.

/// The text with comments and the contents of string and character literals blanked, line for line.
pub fn code_only(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let skip = if rest.starts_with(b"//") {
            rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            block_comment(rest)
        } else if let Some(len) = raw_string(rest, at.checked_sub(1).map(|i| bytes[i])) {
            len
        } else if rest[0] == b'"' {
            quoted(rest)
        } else if let Some(len) = character(rest) {
            len
        } else {
            out.push(rest[0]);
            at += 1;
            continue;
        };
        out.extend(rest[..skip].iter().map(|b| if *b == b'\n' { b'\n' } else { b' ' }));
        at += skip;
    }
    String::from_utf8(out).expect("whole characters were copied or blanked")
}

/// Byte offsets at which `word` stands as an identifier.
pub fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    let bytes = code.as_bytes();
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| !part(at.checked_sub(1).and_then(|i| bytes.get(i))) && !part(bytes.get(at + word.len())))
}

/// Block comments nest.
fn block_comment(text: &[u8]) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < text.len() {
        if text[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

fn raw_string(text: &[u8], before: Option<u8>) -> Option<usize> {
    if text[0] != b'r' || before.is_some_and(|b| b.is_ascii_alphanumeric() && b != b'b' && b != b'c' || b == b'_') {
        return None;
    }
    let hashes = text[1..].iter().take_while(|b| **b == b'#').count();
    if text.get(1 + hashes) != Some(&b'"') {
        return None;
    }
    let mut end = vec![b'"'];
    end.resize(1 + hashes, b'#');
    let body = 2 + hashes;
    let len = text[body..].windows(end.len()).position(|w| w == end);
    Some(len.map_or(text.len(), |len| body + len + end.len()))
}

fn quoted(text: &[u8]) -> usize {
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

/// `'x'` and `'\n'`, but not the lifetime `'x`.
fn character(text: &[u8]) -> Option<usize> {
    if text[0] != b'\'' {
        return None;
    }
    if text.get(1) == Some(&b'\\') {
        return text[3..].iter().position(|b| *b == b'\'').map(|len| 4 + len);
    }
    // One character of at most four bytes, then the closing quote.
    let len = std::str::from_utf8(&text[1..text.len().min(8)])
        .map_or_else(|e| std::str::from_utf8(&text[1..1 + e.valid_up_to()]).ok(), Some)
        .and_then(|s| s.chars().next())?
        .len_utf8();
    (text.get(1 + len) == Some(&b'\'')).then_some(2 + len)
}

#[test]
fn code_is_told_from_comments_and_literals() {
    let source = r##"
        // unsafe
        /* unsafe /* unsafe */ unsafe */
        let a = "unsafe \" unsafe"; let b = r#"unsafe " unsafe"#; let c = b"unsafe";
        let d = '"'; let e = '\''; let f: &'a str = g::<'a>(); let h = 'é';
        unsafe { real() } unsafe_code; not_unsafe; #[unsafe(no_mangle)]
    "##;
    let code = code_only(source);
    assert_eq!(words(&code, "unsafe").count(), 2, "{code}");
    assert_eq!(code.lines().count(), source.lines().count());
    assert!(code.contains("real()") && code.contains("let f: &'a str"), "{code}");
}
