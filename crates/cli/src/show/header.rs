//! What ran.

use std::io;

use stockade_journal::{Entry, Start};

use super::enforcement::enforcement;
use super::page::{Page, Tone};
use super::text::{cut, short, typed};

/// Column of the values.
const VALUES: usize = 11;

/// The run's passport and the layers around it.
pub(super) fn header(page: &mut Page<'_>, entry: &Entry, start: &Start) -> io::Result<()> {
    let program = if start.kind == "wasm" { "component" } else { "program" };
    let task = if start.task.is_empty() { "(none)".to_owned() } else { typed(&start.task) };
    let workspace = if start.workspace.is_empty() { "(none)" } else { &start.workspace };
    let time = entry.time.split_once('.').map_or(entry.time.as_str(), |(seconds, _)| seconds);
    for (name, value) in [
        ("RUN", format!("{}, started {}Z", start.run, time.trim_end_matches('Z'))),
        ("AGENT", format!("{}, {} {program} {}", start.agent, start.kind, short(&start.component_digest))),
        ("TASK", task),
        (
            "POLICY",
            format!("{}, digest {}; plan {}", start.policy, short(&start.policy_digest), short(&start.plan_digest)),
        ),
        ("WORKSPACE", workspace.to_owned()),
    ] {
        page.bold(name).wrapped(VALUES, Tone::Plain, &cut(&value, 400))?;
    }
    page.blank()?;
    enforcement(page, &start.enforcement)
}

/// A journal whose start was pruned.
pub(super) fn pruned(page: &mut Page<'_>) -> io::Result<()> {
    page.bold("RUN").to(VALUES).put(Tone::Odd, "pruned").text(": its start is no longer kept").end()?;
    page.blank()
}

/// A journal of an agent that never ran.
pub(super) fn without_start(page: &mut Page<'_>) -> io::Result<()> {
    page.bold("RUN").to(VALUES).put(Tone::Bad, "no start record").text(": the agent was never started").end()?;
    page.blank()
}
