//! Whether what was printed is what a page shows, in all that should not differ.

/// Units of time and size: how long a thing takes, and how much it is, may show in another one.
const UNITS: [&str; 9] = ["µs", "ms", "s", "min", "bytes", "byte", "KiB", "MiB", "GiB"];

/// Whether `printed` has the pieces of `shown`, in order; a line `…` is whatever comes between two.
pub fn same(shown: &[String], printed: &str, varies: &[String]) -> Result<(), String> {
    let cut = |line: &String| {
        let first = line.split_whitespace().next().unwrap_or_default();
        line.trim() == "…" || varies.iter().any(|word| word == first)
    };
    let printed = words(printed);
    let mut rest = printed.as_slice();
    let mut anywhere = false;
    let mut pieces = shown.split(cut).peekable();
    while let Some(piece) = pieces.next() {
        let piece = words(&piece.join("\n"));
        let last = pieces.peek().is_none();
        let at = match (anywhere, last) {
            (_, _) if piece.is_empty() && (anywhere || !last) => 0,
            (false, true) => Some(0).filter(|_| rest == piece).ok_or_else(|| difference(&piece, rest))?,
            (false, false) => Some(0).filter(|_| rest.starts_with(&piece)).ok_or_else(|| difference(&piece, rest))?,
            (true, true) => Some(rest.len().saturating_sub(piece.len()))
                .filter(|_| rest.ends_with(&piece))
                .ok_or_else(|| difference(&piece, rest))?,
            (true, false) => {
                rest.windows(piece.len()).position(|window| window == piece).ok_or_else(|| difference(&piece, rest))?
            }
        };
        rest = rest.get(at + piece.len()..).unwrap_or_default();
        anywhere = true;
    }
    Ok(())
}

fn difference(piece: &[String], rest: &[String]) -> String {
    format!("shown, and not printed there:\n  {}\nprinted:\n  {}", piece.join(" "), rest.join(" "))
}

/// Words without what differs from run to run: digits, digests and ids become `#`, units after them `UNIT`.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let word = masked(word);
        let unit = word.trim_end_matches([',', ';', ':', '.', ')']);
        if words.last().is_some_and(|before| before.ends_with('#')) && UNITS.contains(&unit) {
            words.push(format!("UNIT{}", word.strip_prefix(unit).unwrap_or_default()));
        } else {
            words.push(word);
        }
    }
    words
}

fn masked(word: &str) -> String {
    let mut out = String::new();
    let mut run = String::new();
    for c in word.chars().chain([' ']) {
        if c.is_ascii_alphanumeric() {
            run.push(c);
            continue;
        }
        // Digests, and times such as 20261122t133000123.
        if run.len() >= 8 && run.chars().all(|c| c.is_ascii_hexdigit() || c == 't') {
            out.push('#');
        } else {
            run.chars().for_each(|c| out.push(if c.is_ascii_digit() { '#' } else { c }));
        }
        run.clear();
        out.push(c);
    }
    out.pop();
    while out.contains("##") || out.contains("#.#") {
        out = out.replace("##", "#").replace("#.#", "#");
    }
    out
}

#[test]
fn what_differs_from_run_to_run_is_the_same() {
    let shown = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    let page = shown(&["run r-20261122t151459006-e221cea5", "-> ok, 259.7 KiB, 314 µs", "…", "rc 20"]);
    let real = "run r-20270101t000000000-00000000\n -> ok,\n 12 bytes, 1.3 ms\nmore\nrc 7\n";
    assert_eq!(same(&page, real, &[]), Ok(()));
    assert!(same(&page, &real.replace("rc 7", "done"), &[]).is_err());
    assert!(same(&page, &real.replace("ok", "denied"), &[]).is_err());
    assert!(same(&page, &format!("before {real}"), &[]).is_err());
    assert!(same(&page, &format!("{real} after"), &[]).is_err());
    assert!(same(&shown(&["a"]), "a b", &[]).is_err());
    assert_eq!(same(&shown(&["a", "host v1", "b"]), "a v2 whatever b", &["host".to_owned()]), Ok(()));
    assert_eq!(same(&shown(&["…"]), "anything", &[]), Ok(()));
}
