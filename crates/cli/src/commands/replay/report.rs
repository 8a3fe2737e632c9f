//! What a replay found.

use serde_json::{Value, json};
use stockade_journal::Start;
use stockade_wire::control::{Divergence, ReplayEnd, Replayed, RunEnd};

use crate::args::replay::Replay;
use crate::commands::policy::Changed;
use crate::commands::run::count;
use crate::exit::DIVERGED;
use crate::failure::Failure;
use crate::output;
use crate::runs::BROKEN;
use crate::screen::plain;

/// Prints it; the exit code says the same.
pub(super) fn report(
    replayed: &Replayed,
    end: &RunEnd,
    start: &Start,
    args: &Replay,
    change: Option<&Changed>,
) -> Result<u8, Failure> {
    let found = match &replayed.end {
        ReplayEnd::Identical => match output_differs(replayed, end) {
            Some(divergence) => &ReplayEnd::Diverged(divergence),
            None => &replayed.end,
        },
        other => other,
    };
    let code = match (found, change) {
        (ReplayEnd::Diverged(_), _) => DIVERGED,
        (ReplayEnd::Broken { .. }, _) => BROKEN,
        (_, Some(change)) => change.code,
        _ => 0,
    };
    if args.json {
        let mut told = json!({
            "run": start.run,
            "identical": matches!(found, ReplayEnd::Identical),
            "calls": replayed.calls,
            "logs": replayed.logs,
            "fuel": replayed.fuel,
            "end": found,
            "exit_code": code,
        });
        if let (Some(map), Some(change)) = (told.as_object_mut(), change) {
            map.insert("policy_change".to_owned(), json!({ "seq": change.seq, "told": change.told }));
        }
        output::text(&format!("{told}\n"))?;
        return Ok(code);
    }
    output::text(&(lines(replayed, found, args) + "\n"))?;
    if let Some(change) = change {
        output::text(&format!("{}\n", plain(&change.told)))?;
    }
    Ok(code)
}

fn lines(replayed: &Replayed, end: &ReplayEnd, args: &Replay) -> String {
    let calls = count(replayed.calls, "call");
    match end {
        ReplayEnd::Identical if args.with.is_some() => {
            format!("the same behaviour: {calls}, {} fuel (not compared)", replayed.fuel)
        }
        ReplayEnd::Identical => format!("identical: {calls}, {} fuel", replayed.fuel),
        ReplayEnd::Short { seq, because } => {
            plain(&format!("identical so far: {calls}; the journal tells no more at {seq}, because {because}"))
        }
        ReplayEnd::Until { seq } => format!("identical up to record {seq}: {calls}, {} fuel", replayed.fuel),
        ReplayEnd::Broken { error } => plain(&format!("the journal cannot be replayed on after {calls}: {error}")),
        ReplayEnd::Diverged(Divergence { seq, what, recorded, now }) => {
            let at = if *seq == 0 { "at the end".to_owned() } else { format!("at record {seq}") };
            format!(
                "diverged {at} after {calls}: {what}\n  recorded: {}\n  now:      {}",
                plain(&shown(recorded)),
                plain(&shown(now))
            )
        }
    }
}

/// The agent's output is compared by its digests, at the end: nothing else of it is on record.
fn output_differs(replayed: &Replayed, end: &RunEnd) -> Option<Divergence> {
    let recorded = replayed.recorded_end.as_ref()?;
    for (what, key, now) in
        [("stdout", "stdout_sha256", &end.stdout_sha256), ("stderr", "stderr_sha256", &end.stderr_sha256)]
    {
        let was = recorded.get(key).and_then(Value::as_str).unwrap_or_default();
        if was != now {
            let (recorded, now) = (json!({ "sha256": was }), json!({ "sha256": now }));
            return Some(Divergence { seq: 0, what: what.to_owned(), recorded, now });
        }
    }
    None
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
