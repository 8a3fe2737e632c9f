//! The work: find the logs, read them oldest first, write the report.

use crate::apt::History;
use crate::dpkg::Dpkg;
use crate::findings::Findings;
use crate::lines::{self, Read};
use crate::options::Options;
use crate::report::{self, Source};
use crate::term::Terminal;
use crate::tools::{self, Level, Refusal, Tools};

/// Most log files that are read.
const MAX_FILES: usize = 200;

/// Which log a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Dpkg,
    History,
    Terminal,
}

/// A log in the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Log {
    kind: Kind,
    /// Rotations: 0 is the file in use, a higher number is older.
    age: u32,
    compressed: bool,
    path: String,
}

/// Does the task; the last word is for a screen.
///
/// # Errors
/// Why there is no report.
pub fn run(task: &[String], tools: &mut dyn Tools) -> Result<String, String> {
    let options = Options::parse(task)?;
    let logs = find(tools, &options.logs).map_err(|e| format!("the workspace can't be listed: {e}"))?;
    if logs.is_empty() {
        return Err(format!("no dpkg.log, history.log or term.log in {} or its folders logs and apt", options.logs));
    }
    tools.log(Level::Info, &format!("{} logs found", logs.len()));

    let mut found = Findings::default();
    let mut sources = Vec::new();
    for log in logs {
        let outcome = read(tools, &log, &mut found);
        if let Err(why) = &outcome {
            tools.log(Level::Warn, &format!("{} is not read: {why}", crate::text::clean(&log.path, 200)));
        }
        sources.push(Source { path: log.path, outcome });
    }
    if sources.iter().all(|s| s.outcome.is_err()) {
        return Err("none of the logs could be read".to_owned());
    }

    let attempts = options.probe.then(|| crate::probe::probe(tools));
    let text = report::markdown(&found, &sources, &options.words);
    tools::write(tools, &options.output, &text).map_err(|e| format!("the report can't be written: {e}"))?;
    let mut last = report::summary(&found, &sources, &options.output);
    if let Some(attempts) = attempts {
        last.push_str("\n\n");
        last.push_str(&crate::probe::told(&attempts));
        if attempts.iter().any(|a| a.outcome.is_ok()) {
            return Err(last);
        }
    }
    Ok(last)
}

/// Logs in the folder and in `logs` and `apt` beneath it, oldest first.
fn find(tools: &mut dyn Tools, folder: &str) -> Result<Vec<Log>, Refusal> {
    let mut logs = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in tools::list(tools, &folder)? {
            let path = if folder == "." { entry.name.clone() } else { format!("{folder}/{}", entry.name) };
            let inner = matches!(entry.name.as_str(), "logs" | "apt") && path.matches('/').count() < 2;
            if entry.kind.starts_with("dir") && inner {
                folders.push(path);
            } else if let Some((kind, age, compressed)) = recognise(&entry.name) {
                logs.push(Log { kind, age, compressed, path });
            }
        }
    }
    logs.sort_by(|a, b| a.kind.cmp(&b.kind).then(b.age.cmp(&a.age)).then(a.path.cmp(&b.path)));
    logs.truncate(MAX_FILES);
    Ok(logs)
}

/// `dpkg.log`, `dpkg.log.1`, `history.log.12.gz`, …
fn recognise(name: &str) -> Option<(Kind, u32, bool)> {
    let (kind, rest) = [("dpkg.log", Kind::Dpkg), ("history.log", Kind::History), ("term.log", Kind::Terminal)]
        .iter()
        .find_map(|(base, kind)| name.strip_prefix(base).map(|rest| (*kind, rest)))?;
    let (rest, compressed) = match [".gz", ".xz", ".zst"].iter().find_map(|e| rest.strip_suffix(e)) {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    let age = match rest.strip_prefix('.') {
        Some(number) => number.parse().ok()?,
        None if rest.is_empty() => 0,
        None => return None,
    };
    Some((kind, age, compressed))
}

fn read(tools: &mut dyn Tools, log: &Log, found: &mut Findings) -> Result<Read, String> {
    if log.compressed {
        return Err("compressed; unpack it to have it read".to_owned());
    }
    let done = match log.kind {
        Kind::Dpkg => {
            let mut dpkg = Dpkg::new(&log.path);
            lines::read(tools, &log.path, &mut |line| dpkg.line(line, found))
        }
        Kind::History => {
            let mut history = History::new(&log.path);
            let done = lines::read(tools, &log.path, &mut |line| history.line(line, found));
            history.finish(found);
            done
        }
        Kind::Terminal => {
            let mut terminal = Terminal::new(&log.path);
            let done = lines::read(tools, &log.path, &mut |line| terminal.line(line, found));
            terminal.finish(found);
            done
        }
    };
    done.map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn logs_are_recognised_with_their_age() {
        assert_eq!(recognise("dpkg.log"), Some((Kind::Dpkg, 0, false)));
        assert_eq!(recognise("history.log.12.gz"), Some((Kind::History, 12, true)));
        assert_eq!(recognise("term.log.1"), Some((Kind::Terminal, 1, false)));
        for other in ["dpkg.logs", "alternatives.log", "dpkg.log.x", "report.md", "term.log~", "dpkg.log."] {
            assert_eq!(recognise(other), None, "{other}");
        }
    }
}
