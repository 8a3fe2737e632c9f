//! `unsafe` stands in few places, and each says which invariant makes it sound.

use crate::lexer::{code_only, words};
use crate::sources::{text, with_extension};
use std::fmt::Write as _;
use std::path::Path;

/// Path prefixes that may hold `unsafe`.
const ALLOWED: [&str; 4] =
    ["crates/launcher/src/sys", "crates/launcher/src/init/sys", "shim/src/sys", "tests/escape/"];
/// The whole of the cell crate may hold this many (loading an artifact of our own compiler).
const CELL: (&str, usize) = ("crates/cell/", 1);
/// How far above an `unsafe` its comment may end, in lines: room for attributes and a broken line.
const REACH: usize = 8;

fn places(path: &Path) -> Vec<usize> {
    let code = code_only(&text(path));
    words(&code, "unsafe").map(|at| code[..at].matches('\n').count()).collect()
}

#[test]
fn unsafe_stands_only_in_quarantine() {
    let (mut faults, mut in_cell) = (String::new(), Vec::new());
    for path in with_extension("rs") {
        let name = path.to_string_lossy().into_owned();
        for line in places(&path) {
            if name.starts_with(CELL.0) {
                in_cell.push(format!("{name}:{}", line + 1));
            } else if !ALLOWED.iter().any(|prefix| name.starts_with(prefix)) {
                let _ = writeln!(faults, "  {name}:{}", line + 1);
            }
        }
    }
    assert!(
        faults.is_empty(),
        "`unsafe` outside of {ALLOWED:?}:\n{faults}Use a safe wrapper (nix, rustix, caps, landlock), or move the call \
         behind a safe function of the `sys` module."
    );
    assert!(in_cell.len() <= CELL.1, "{} may hold {} `unsafe`, and holds {in_cell:?}", CELL.0, CELL.1);
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
