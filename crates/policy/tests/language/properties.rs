//! Whatever becomes of a policy's text: no panic, and no accident makes it wider.

use crate::made::Rng;
use serde_json::Value;
use std::fs;
use std::path::Path;
use stockade_policy::diff::{Direction, diff};
use stockade_policy::{Judge, parse_policy, preset, preset_names};

/// All presets and examples, as TOML and as the equivalent JSON.
pub fn shipped() -> Vec<(String, String)> {
    let mut texts: Vec<(String, String)> =
        preset_names().map(|name| (format!("{name}.toml"), preset(name).unwrap().to_owned())).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies/examples");
    for file in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        // Those that name Cedar files are no texts for themselves.
        let alone = |file: &Path| !fs::read_to_string(file).unwrap().contains("cedar");
        if file.extension().is_some_and(|ending| ending == "toml") && alone(&file) {
            texts.push((file.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&file).unwrap()));
        }
    }
    texts.sort();
    let twins: Vec<(String, String)> = texts
        .iter()
        .map(|(name, text)| {
            let value: Value = toml::from_str(text).unwrap();
            let json = serde_json::to_string_pretty(&value).unwrap();
            let (a, b) = (parse_policy(name, text).unwrap(), parse_policy("twin.json", &json).unwrap());
            assert_eq!(a.digest, b.digest, "{name} and its twin");
            (name.replace(".toml", ".json"), json)
        })
        .collect();
    texts.extend(twins);
    texts
}

pub fn mutate(text: &str, rng: &mut Rng) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=rng.below(2) {
        let at = rng.below(bytes.len());
        match rng.below(9) {
            0 | 1 => bytes[at] ^= 1 << rng.below(8),
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..(at + rng.below(60)).min(bytes.len()))),
            4 => {
                let mut lines: Vec<Vec<u8>> = bytes.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
                let line = lines[rng.below(lines.len())].clone();
                lines.insert(rng.below(lines.len()), line);
                bytes = lines.concat();
            }
            5 => {
                let lines: Vec<Vec<u8>> = bytes.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
                let gone = rng.below(lines.len());
                bytes =
                    lines.into_iter().enumerate().filter(|(at, _)| *at != gone).flat_map(|(_, line)| line).collect();
            }
            6 => drop(bytes.splice(at..at, b"99999999999999999999999999999999".iter().copied())),
            7 => drop(bytes.splice(at..at, std::iter::repeat_n(b"[{.\"("[rng.below(5)], 1 + rng.below(300)))),
            _ => drop(bytes.splice(at..at, "\u{202e}\u{0}\u{1b}[2J\u{feff}".bytes())),
        }
        if bytes.is_empty() {
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn no_mutation_of_what_is_shipped_panics() {
    let (mut rng, mut accepted, mut refused) = (Rng(51), 0, 0);
    for (name, text) in shipped() {
        for _ in 0..150 {
            match parse_policy(&name, &mutate(&text, &mut rng)) {
                Ok(policy) => {
                    accepted += 1;
                    Judge::new(&policy).unwrap();
                }
                Err(findings) => {
                    refused += 1;
                    let said = findings.to_string();
                    assert!(!said.chars().any(|c| c.is_control() && c != '\n'), "{said:?}");
                }
            }
        }
    }
    println!("{accepted} accepted, {refused} refused");
    assert!(accepted > 100 && refused > 500, "{accepted} {refused}");
}

/// Where a value lies that is a number, a text or a list on one line: behind `=` in TOML, behind `:` in JSON.
fn values(text: &str, json: bool) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut begin = 0;
    for line in text.split_inclusive('\n') {
        let sign = if json { "\": " } else { "= " };
        let bare = line.trim_end().trim_end_matches(',');
        let comment = !json && bare.trim_start().starts_with('#');
        if let Some(at) = bare.find(sign).filter(|_| !comment) {
            let start = at + sign.len();
            let end = if json { bare.len() } else { bare.find(" #").unwrap_or(bare.len()) };
            let value = bare.get(start..end).unwrap_or("").trim_end();
            if !value.is_empty() && !value.ends_with(['[', '{']) {
                found.push((begin + start, begin + start + value.len()));
            }
        }
        begin += line.len();
    }
    found
}

/// A mutation of the structure: each of these is an accident that a reader of the file would see.
fn structural(text: &str, json: bool, rng: &mut Rng) -> (&'static str, String) {
    let values = values(text, json);
    let (start, end) = *rng.one(&values);
    let line = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let key = text[line..start].trim_start();
    let with = |value: &str| format!("{}{value}{}", &text[..start], &text[end..]);
    let before =
        |entry: String| format!("{}{entry}{}{}", &text[..line], if json { ",\n" } else { "\n" }, &text[line..]);
    match rng.below(7) {
        0 => ("a key twice", before(format!("{key}{}", &text[start..end]))),
        1 => {
            ("a key twice, with another value", before(format!("{key}{}", rng.one(&["\"*\"", "[\"*\"]", "1", "true"]))))
        }
        2 => {
            let depth = 1 + rng.below(400);
            ("nested deeply", with(&format!("{}{}{}", "[".repeat(depth), &text[start..end], "]".repeat(depth))))
        }
        3 => ("a huge number", with("99999999999999999999999999999999")),
        4 => ("an unknown key", before(if json { "\"unheard\": 1".to_owned() } else { "unheard = 1".to_owned() })),
        5 => ("another type", with(rng.one::<&str>(&["true", "1.5", "-1", "[[]]", "[1]", "9223372036854775807"]))),
        _ => {
            // Within a text or a list; of a number, the rest is a number too.
            let quoted = text[start..end].starts_with(['"', '[', '{']);
            let at = start + 1 + rng.below((end - start).saturating_sub(1).max(1));
            let at = if quoted && text.is_char_boundary(at) && at < end { at } else { start };
            ("cut in a value", text[..at].to_owned())
        }
    }
}

#[test]
fn no_accident_widens_a_policy() {
    let (mut rng, mut accepted, mut tried) = (Rng(52), 0, 0);
    for (name, text) in shipped() {
        let policy = parse_policy(&name, &text).unwrap();
        let json = name.ends_with(".json");
        for _ in 0..200 {
            let (how, mutant) = structural(&text, json, &mut rng);
            tried += 1;
            let Ok(other) = parse_policy(&name, &mutant) else { continue };
            accepted += 1;
            let changes = diff(&policy, &other).unwrap();
            let wider: Vec<_> = changes.iter().filter(|change| change.direction == Direction::Widened).collect();
            assert!(wider.is_empty(), "{name}, {how}: {wider:#?}\n{mutant}");
        }
    }
    println!("{tried} mutants, {accepted} accepted");
    assert!(tried > 2000, "{tried}");
}
