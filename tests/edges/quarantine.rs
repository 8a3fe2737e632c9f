//! `unsafe` stands in few places, and each says which invariant makes it sound.

use crate::lexer::{code_only, words};
use crate::sources::{text, with_extension};
use std::fmt::Write as _;
use std::path::Path;

/// Path prefixes that may hold `unsafe`: calls no safe wrapper has.
const ALLOWED: [&str; 3] = ["crates/launcher/src/sys", "crates/launcher/src/init/sys", "shim/src/sys"];
/// Folders of this name are linked into no program; their `unsafe` forks, traces and attacks.
const TESTS: &str = "tests";
/// Single calls: adopting an inherited descriptor, and loading an artifact of our own compiler.
const ONCE: [&str; 2] = ["crates/cell/src/inherited.rs", "crates/cell/src/run/artifact.rs"];
/// How far above an `unsafe` its comment may end, in lines: room for attributes and a broken line.
const REACH: usize = 8;

fn places(path: &Path) -> Vec<usize> {
    let code = code_only(&text(path));
    words(&code, "unsafe").map(|at| code[..at].matches('\n').count()).collect()
}

#[test]
fn unsafe_stands_only_in_quarantine() {
    let mut faults = String::new();
    for path in with_extension("rs") {
        let name = path.to_string_lossy().into_owned();
        let free = if ONCE.contains(&name.as_str()) { 1 } else { 0 };
        if ALLOWED.iter().any(|prefix| name.starts_with(prefix)) || path.iter().any(|part| part == TESTS) {
            continue;
        }
        places(&path).into_iter().skip(free).for_each(|line| _ = writeln!(faults, "  {name}:{}", line + 1));
    }
    assert!(
        faults.is_empty(),
        "`unsafe` outside of {ALLOWED:?}, or more than once in {ONCE:?}:\n{faults}Use a safe wrapper (nix, rustix, caps, \
         landlock), or move the call behind a safe function of the `sys` module."
    );
}

#[test]
fn every_unsafe_says_why_it_is_sound() {
    let mut faults = String::new();
    for path in with_extension("rs") {
        let source = text(&path);
        let lines: Vec<&str> = source.lines().collect();
        for line in places(&path) {
            let from = line.saturating_sub(REACH);
            let said = lines[from..=line].iter().any(|l| l.contains("SAFETY:") || l.contains("# Safety"));
            // `unsafe extern` and `unsafe fn` types declare; the blocks that use them explain.
            if !said && !lines[line].contains("unsafe extern") {
                let _ = writeln!(faults, "  {}:{}: {}", path.display(), line + 1, lines[line].trim());
            }
        }
    }
    assert!(faults.is_empty(), "`unsafe` without a SAFETY comment in the {REACH} lines above it:\n{faults}");
}
