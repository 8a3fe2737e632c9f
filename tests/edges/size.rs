//! What a reader must hold in the head: files, and the privileged program as a whole.

use crate::lexer::{code_only, words};
use crate::sources::{text, with_extension};
use std::path::Path;

const LONGEST_FILE: usize = 600;
const MEDIAN_FILE: usize = 200;
const LAUNCHER: &str = "crates/launcher/src";
const LAUNCHER_LINES: usize = 1000;

#[test]
fn files_are_short() {
    let mut sizes: Vec<(usize, String)> = ["rs", "sh"]
        .into_iter()
        .flat_map(with_extension)
        .map(|path| (text(&path).lines().count(), path.display().to_string()))
        .collect();
    sizes.sort();
    let long: Vec<_> = sizes.iter().filter(|(lines, _)| *lines > LONGEST_FILE).collect();
    assert!(long.is_empty(), "files over {LONGEST_FILE} lines (split them by idea): {long:?}");
    let median = sizes[sizes.len() / 2].0;
    assert!(median < MEDIAN_FILE, "the median file has {median} lines; keep it under {MEDIAN_FILE}");
}

/// Lines with code on them, up to the first `#[cfg(test)]` module, which by habit stands last.
fn lines_of_code(path: &Path) -> usize {
    let code = code_only(&text(path));
    let end = code.find("#[cfg(test)]\nmod ").unwrap_or(code.len());
    code[..end].lines().filter(|l| !l.trim().is_empty()).count()
}

#[test]
fn the_privileged_program_can_be_read_in_one_sitting() {
    let files: Vec<_> = with_extension("rs")
        .into_iter()
        .filter(|p| p.starts_with(LAUNCHER) && !p.ends_with("tests.rs"))
        // PID 1 of a native cell is another program, and has no privilege.
        .filter(|p| !p.starts_with(format!("{LAUNCHER}/init")) && !p.ends_with("init.rs"))
        .map(|p| (lines_of_code(&p), p.display().to_string()))
        .collect();
    let total: usize = files.iter().map(|(n, _)| n).sum();
    assert!(total > 0, "no source in {LAUNCHER}");
    assert!(total < LAUNCHER_LINES, "the launcher has {total} lines of code, {LAUNCHER_LINES} is the bound: {files:?}");
}

/// A loop that has nothing to wait on but time says so: `// POLL:` in the lines above, and why.
#[test]
fn no_test_sleeps_without_a_reason() {
    let mut found = Vec::new();
    for path in with_extension("rs").into_iter().filter(|p| p.components().any(|c| c.as_os_str() == "tests")) {
        let (source, code) = (text(&path), code_only(&text(&path)));
        let lines: Vec<&str> = source.lines().collect();
        for at in words(&code, "sleep").filter(|at| code[..*at].ends_with("thread::")) {
            let line = code[..at].matches('\n').count();
            if !lines[line.saturating_sub(8)..line].iter().any(|l| l.contains("// POLL:")) {
                found.push(format!("{}:{}", path.display(), line + 1));
            }
        }
    }
    assert!(found.is_empty(), "wait for what you wait for (poll, a pidfd, a pipe), not for time: {found:?}");
}
