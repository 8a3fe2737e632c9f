//! The report, in Markdown.

use std::fmt::Write as _;

use crate::findings::{Counts, Findings};
use crate::text::{cell, code};

/// Rows of a table of packages.
const PACKAGES: usize = 40;
/// Rows of the timeline.
const RUNS: usize = 40;
/// Failures with their lines.
const FAILURES: usize = 20;
/// Days.
const DAYS: usize = 7;

/// A file that was looked at.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) path: String,
    /// What was read, or why it was not.
    pub(crate) outcome: Result<crate::lines::Read, String>,
}

/// Three or four lines for a screen.
pub(crate) fn summary(found: &Findings, sources: &[Source], output: &str) -> String {
    let c = &found.totals;
    let read = sources.iter().filter(|s| s.outcome.is_ok()).count();
    let mut text = format!(
        "{read} logs, {}: {} packages installed, {} upgraded, {} removed; {} failures.",
        span(found),
        c.installed,
        c.upgraded,
        c.removed,
        found.failures.count(),
    );
    let broken: Vec<&str> = found.broken().map(|(name, _)| name.as_str()).take(5).collect();
    if !broken.is_empty() {
        let _ = write!(text, "\nStill needing a hand: {}.", crate::text::clean(&broken.join(", "), 300));
    }
    for failure in found.failures.kept.iter().rev().take(3) {
        let line = format!("{}  {}: {}", failure.time, failure.subject, failure.what);
        let _ = write!(text, "\n  {}", crate::text::clean(&line, 160));
    }
    let _ = write!(text, "\nThe report is in {output}.");
    text
}

/// The whole file.
pub(crate) fn markdown(found: &Findings, sources: &[Source], words: &str) -> String {
    let mut out = String::from("# Package logs\n\n");
    if !words.is_empty() {
        let _ = writeln!(out, "Asked: {}\n", cell(words, 300));
    }
    overview(&mut out, found);
    broken(&mut out, found);
    failures(&mut out, found);
    days(&mut out, found);
    timeline(&mut out, found);
    packages(&mut out, found);
    files(&mut out, sources);
    out
}

fn span(found: &Findings) -> String {
    match (&found.first, &found.last) {
        (Some(first), Some(last)) => format!("{} to {}", cell(first, 32), cell(last, 32)),
        _ => "no dated events".to_owned(),
    }
}

fn overview(out: &mut String, found: &Findings) {
    let c = &found.totals;
    let _ = writeln!(
        out,
        "## Summary\n\nFrom {}.\n\n| | |\n|---|---:|\n| installed | {} |\n| upgraded | {} |\n| removed | {} |\n| failures | {} |\n| packages seen | {} |\n",
        span(found),
        c.installed,
        c.upgraded,
        c.removed,
        found.failures.count(),
        found.packages.len()
    );
    if found.packages_dropped > 0 {
        let _ = writeln!(out, "More packages than this agent follows: {} events are not in the tables.\n", found.packages_dropped);
    }
}

fn broken(out: &mut String, found: &Findings) {
    let rows: Vec<_> = found.broken().collect();
    out.push_str("## Needs a hand\n\n");
    if rows.is_empty() {
        out.push_str("Nothing: no package is left half-done at the end of the logs.\n\n");
        return;
    }
    out.push_str("| package | state | version | since |\n|---|---|---|---|\n");
    for (name, p) in rows.iter().take(PACKAGES) {
        let _ = writeln!(out, "| {} | {} | {} | {} |", cell(name, 100), cell(&p.state, 40), cell(&p.version, 60), cell(&p.time, 32));
    }
    more(out, rows.len(), PACKAGES, "packages");
}

fn failures(out: &mut String, found: &Findings) {
    out.push_str("## Failures\n\n");
    if found.failures.kept.is_empty() {
        out.push_str("None.\n\n");
        return;
    }
    for failure in found.failures.kept.iter().take(FAILURES) {
        let _ = writeln!(
            out,
            "### {} · {}\n\n{} ({})\n",
            cell(&failure.time, 32),
            cell(&failure.subject, 100),
            cell(&failure.what, 300),
            cell(&failure.place, 120)
        );
        for line in &failure.context {
            let _ = writeln!(out, "{}", code(line, 400));
        }
        out.push('\n');
    }
    let all = usize::try_from(found.failures.count()).unwrap_or(usize::MAX);
    more(out, all, FAILURES, "failures");
}

fn days(out: &mut String, found: &Findings) {
    let mut rows: Vec<(&String, &Counts)> = found.days.iter().collect();
    rows.sort_by_key(|(day, c)| (std::cmp::Reverse(c.total()), std::cmp::Reverse((*day).clone())));
    out.push_str("## Busiest days\n\n| day | installed | upgraded | removed | failed |\n|---|---:|---:|---:|---:|\n");
    for (day, c) in rows.iter().take(DAYS) {
        let _ = writeln!(out, "| {} | {} | {} | {} | {} |", cell(day, 16), c.installed, c.upgraded, c.removed, c.failed);
    }
    more(out, rows.len(), DAYS, "days");
}

fn timeline(out: &mut String, found: &Findings) {
    out.push_str("## Timeline\n\nRuns of apt, newest first.\n\n| start | by | command | installed | upgraded | removed | end |\n|---|---|---|---:|---:|---:|---|\n");
    for run in found.transactions.iter().rev().take(RUNS) {
        let end = match &run.error {
            None => "ok".to_owned(),
            Some(error) => cell(error, 100),
        };
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {end} |",
            cell(&run.start, 32),
            cell(&run.user, 40),
            cell(&run.command, 100),
            run.counts.installed,
            run.counts.upgraded,
            run.counts.removed
        );
    }
    let all = found.transactions.len() + usize::try_from(found.transactions_dropped).unwrap_or(0);
    more(out, all, RUNS, "runs");
}

fn packages(out: &mut String, found: &Findings) {
    let mut upgraded: Vec<_> = found.packages.iter().filter_map(|(n, p)| p.upgrade.as_ref().map(|u| (n, p, u))).collect();
    upgraded.sort_by(|a, b| b.1.time.cmp(&a.1.time).then(a.0.cmp(b.0)));
    out.push_str("## Upgraded\n\nNewest first.\n\n| package | from | to | last event |\n|---|---|---|---|\n");
    for (name, p, (from, to)) in upgraded.iter().take(PACKAGES) {
        let _ = writeln!(out, "| {} | {} | {} | {} |", cell(name, 100), cell(from, 60), cell(to, 60), cell(&p.time, 32));
    }
    more(out, upgraded.len(), PACKAGES, "packages");

    let mut new: Vec<_> = found.packages.iter().filter(|(_, p)| p.new).collect();
    new.sort_by(|a, b| b.1.time.cmp(&a.1.time).then(a.0.cmp(b.0)));
    out.push_str("## Installed\n\nNewest first.\n\n| package | version | state | last event |\n|---|---|---|---|\n");
    for (name, p) in new.iter().take(PACKAGES) {
        let _ = writeln!(out, "| {} | {} | {} | {} |", cell(name, 100), cell(&p.version, 60), cell(&p.state, 40), cell(&p.time, 32));
    }
    more(out, new.len(), PACKAGES, "packages");
}

fn files(out: &mut String, sources: &[Source]) {
    out.push_str("## Files read\n\n| file | bytes | lines | |\n|---|---:|---:|---|\n");
    for source in sources {
        let path = cell(&source.path, 120);
        match &source.outcome {
            Ok(read) if read.cut > 0 => {
                let _ = writeln!(out, "| {path} | {} | {} | {} over-long lines cut |", read.bytes, read.lines, read.cut);
            }
            Ok(read) => {
                let _ = writeln!(out, "| {path} | {} | {} | |", read.bytes, read.lines);
            }
            Err(why) => {
                let _ = writeln!(out, "| {path} | | | not read: {} |", cell(why, 200));
            }
        }
    }
}

fn more(out: &mut String, all: usize, shown: usize, what: &str) {
    match all.saturating_sub(shown) {
        0 => out.push('\n'),
        rest => {
            let _ = writeln!(out, "\n… and {rest} more {what}.\n");
        }
    }
}
