//! A native run: its program is not run again, since nothing holds it to what it did. The decisions on its tool calls are
//! made again, by the policy bundle that made them.

use serde_json::{Value, json};
use stockade_journal::{Call, Payload, Reader, Record, parse_time};
use stockade_policy::{Bundle, Decider, Facts, Request, Verdict};

use super::source::Source;
use crate::args::replay::Replay;
use crate::commands::policy::{Changed, Moments};
use crate::commands::run::count;
use crate::exit::DIVERGED;
use crate::failure::Failure;
use crate::output;
use crate::runs::broken;
use crate::screen::plain;

/// What a call is refused for before the policy is asked.
const NOT_POLICY: [&str; 4] = ["schema", "limit", "concurrent", "mcp"];

/// Decides each recorded call again.
pub(super) fn replay(source: &Source, args: &Replay, change: Option<&Changed>) -> Result<u8, Failure> {
    if args.with.is_some() {
        return Err(Failure::usage("--with: the run is of a native agent, which is not run again"));
    }
    let bundle = Bundle::decode(&source.bundle()?).map_err(|error| Failure::internal(&error))?;
    let decider = Decider::new(bundle).map_err(|error| Failure::internal(&error))?;
    let mut reader = Reader::open(&source.journal).map_err(|error| broken(&error))?;
    let (mut calls, mut moments) = (0, Moments::default());
    let mut differs = None;
    while let Some(line) = reader.read().map_err(|error| broken(&error))? {
        let (seq, entry) = (line.entry.seq, line.entry);
        if args.until.is_some_and(|until| seq > until) {
            break;
        }
        let Record::Call(call) = entry.record else { continue };
        let facts = moments.facts(&call, parse_time(&entry.time).unwrap_or(0));
        let Some(now) = decide(&decider, &reader, &call, facts) else { continue };
        calls += 1;
        if args.step {
            output::text(&plain(&format!("{seq:>6}  {}: {now}", call.tool)))?;
            output::text("\n")?;
        }
        if now != call.decision {
            differs = Some((seq, call.tool, call.decision, now));
            break;
        }
    }
    told(source, args, calls, differs, change)
}

/// `allow` or `deny`; none for what no policy decided.
fn decide(decider: &Decider, reader: &Reader, call: &Call, facts: Facts) -> Option<&'static str> {
    if NOT_POLICY.contains(&call.layer.as_str()) {
        return None;
    }
    let args: Payload = call.args.clone();
    let args: Value = reader.value(args).ok()?;
    Some(match decider.decide(&Request { tool: &call.tool, args: &args, facts }) {
        Verdict::Allow(_) => "allow",
        Verdict::Deny(_) | Verdict::Ask(_) => "deny",
    })
}

fn told(
    source: &Source,
    args: &Replay,
    calls: u64,
    differs: Option<(u64, String, String, &str)>,
    change: Option<&Changed>,
) -> Result<u8, Failure> {
    let code = match (&differs, change) {
        (Some(_), _) => DIVERGED,
        (None, Some(change)) => change.code,
        (None, None) => 0,
    };
    if args.json {
        let differs =
            differs.map(|(seq, tool, was, now)| json!({ "seq": seq, "tool": tool, "recorded": was, "now": now }));
        let change = change.map(|change| json!({ "seq": change.seq, "told": change.told }));
        output::text(&format!(
            "{}\n",
            json!({
                "run": source.start.run,
                "native": true,
                "decisions": calls,
                "diverged": differs,
                "policy_change": change,
                "exit_code": code,
            })
        ))?;
        return Ok(code);
    }
    let only = "the program itself is not run again: a native agent is held to nothing that could be replayed";
    match differs {
        Some((seq, tool, was, now)) => {
            output::text(&plain(&format!("diverged at record {seq}: {tool}\n  recorded: {was}\n  now:      {now}")))
                .and_then(|()| output::text("\n"))?
        }
        None => output::text(&format!("identical: {} on tool calls; {only}\n", count(calls, "decision")))?,
    }
    if let Some(change) = change {
        output::text(&format!("{}\n", plain(&change.told)))?;
    }
    Ok(code)
}
