//! What a replay found, for people and as JSON.

use std::io;
use std::path::Path;

use serde_json::json;
use stockade_journal::ReadError;
use stockade_policy::{Expect, Policy};

use super::tally::{Group, Tally};
use super::word;
use crate::failure::Failure;
use crate::output;
use crate::show::{Page, Tone};

/// Column of what is told of a group.
const COLUMN: usize = 12;

pub(super) fn json(
    file: &Path,
    policy: &Policy,
    tally: &Tally,
    problems: &[(String, ReadError)],
) -> Result<(), Failure> {
    let not: serde_json::Map<String, serde_json::Value> =
        tally.not.iter().map(|(why, count)| (why.name().to_owned(), (*count).into())).collect();
    let broken: Vec<_> = problems.iter().map(|(run, error)| json!({"run": run, "error": error.to_string()})).collect();
    output::json(&json!({
        "policy": {"file": file.display().to_string(), "id": policy.id, "digest": policy.digest},
        "runs": tally.runs,
        "calls": tally.calls,
        "paths": tally.paths,
        "outside": tally.outside,
        "syscalls": tally.syscalls,
        "unchanged": tally.unchanged,
        "changed": tally.changed(),
        "would_deny": tally.denied,
        "would_allow": tally.allowed,
        "not_replayable": not,
        "ungrouped": tally.ungrouped,
        "changes": tally.groups(),
        "broken": broken,
    }))
}

pub(super) fn text(policy: &Policy, tally: &Tally) -> Result<(), Failure> {
    output::page(|page| {
        page.text("policy ").bold(&policy.id).text(" ").dim(policy.digest.get(..12).unwrap_or_default()).end()?;
        page.text(&format!(
            "{} runs, {} calls ({} about a path, {} outside), {} system calls",
            tally.runs, tally.calls, tally.paths, tally.outside, tally.syscalls
        ))
        .end()?;
        let mut last = None;
        for group in tally.groups() {
            let kind = (group.from, group.to, group.unserved);
            if last != Some(kind) {
                page.blank()?;
                head(page, group)?;
                last = Some(kind);
            }
            one(page, group)?;
        }
        if tally.ungrouped > 0 {
            page.blank()?;
            page.text(&format!("{} more changes, of too many kinds to be told apart", tally.ungrouped)).end()?;
        }
        page.blank()?;
        page.text(&format!("{} unchanged, {} changed", tally.unchanged, tally.changed()));
        page.text(&format!(" ({} would be denied, {} would be allowed)", tally.denied, tally.allowed)).end()?;
        for (why, count) in &tally.not {
            page.put(Tone::Odd, &format!("{count} not replayable: {}", why.text())).end()?;
        }
        Ok(())
    })
}

fn head(page: &mut Page<'_>, group: &Group) -> io::Result<()> {
    let tone = if group.to == Expect::Allow { Tone::Bad } else { Tone::Odd };
    page.put(tone, &format!("{} -> {}", word(group.from), word(group.to)));
    if group.unserved {
        page.text(", but the Stockade that recorded it has no layer that does it");
    }
    page.end()
}

fn one(page: &mut Page<'_>, group: &Group) -> io::Result<()> {
    let example = &group.example;
    let rules = match group.rules.as_slice() {
        [] => format!("no rule ({})", example.tool),
        rules => rules.join(", "),
    };
    page.text(&format!("{:>9}", group.count)).to(COLUMN).bold(&rules);
    if let Some(origin) = &group.origin {
        page.text(&format!(" ({origin})"));
    }
    page.dim(&format!("  [{}]", group.layer)).end()?;
    let place = format!("{} {} seq {}: {} {}", example.time, example.run, example.seq, example.tool, example.object);
    page.to(COLUMN).wrapped(COLUMN + 2, Tone::Plain, &format!("e.g. {place}"))?;
    page.to(COLUMN).wrapped(COLUMN + 6, Tone::Dim, &format!("then: {}", example.then))?;
    page.to(COLUMN).wrapped(COLUMN + 6, Tone::Dim, &format!("now:  {}", example.now))
}
