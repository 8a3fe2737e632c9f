//! `stockade approvals`.

use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use stockade_supervisor::operator::{ask, live};
use stockade_wire::operator::{Answer, Order, Pending, Question};

use super::{NOT_DONE, answer_of, as_root, living, order};
use crate::args::operator::Approvals;
use crate::failure::Failure;
use crate::screen::plain;

/// Columns of the list.
const ID: usize = 34;
const LEFT: usize = 10;
const TOOL: usize = 18;

/// Shows and answers what waits.
///
/// # Errors
/// If it cannot be shown, or was not answered.
pub fn approvals(args: &Approvals) -> Result<u8, Failure> {
    as_root()?;
    match args {
        Approvals::List { json } => list(*json),
        Approvals::Show { approval, json } => {
            let (run, pending) = find(approval)?;
            show(&run, &pending, *json)
        }
        Approvals::Approve { approval, action, note } => {
            let (run, pending) = find(approval)?;
            show(&run, &pending, false)?;
            if let Some(wanted) = action.as_ref().filter(|wanted| !is_named(&pending.action, wanted)) {
                let message = plain(&format!("it is action {}, not {wanted}: nothing was approved", pending.action));
                return Err(Failure { code: NOT_DONE, message });
            }
            answer(&run, pending, true, &note.note)
        }
        Approvals::Deny { approval, note } => {
            let (run, pending) = find(approval)?;
            answer(&run, pending, false, &note.note)
        }
    }
}

/// Whether a digest is named by its beginning, which must be long enough not to be a guess.
fn is_named(action: &str, beginning: &str) -> bool {
    beginning.len() >= 12 && action.starts_with(&beginning.to_ascii_lowercase())
}

fn answer(run: &str, pending: Pending, approve: bool, note: &str) -> Result<u8, Failure> {
    let settle = Order::Settle { approval: pending.approval, action: pending.action, approve };
    let what = order(run, settle, note)?;
    writeln!(io::stdout(), "{}", plain(&what))?;
    Ok(0)
}

fn list(as_json: bool) -> Result<u8, Failure> {
    let mut all: Vec<(String, Pending)> = Vec::new();
    for run in live()? {
        // One that ends meanwhile has nothing that waits.
        if let Some(Answer::Pending { approvals }) = ask(&run, &Question::Pending)? {
            all.extend(approvals.into_iter().map(|pending| (run.clone(), pending)));
        }
    }
    let mut out = io::stdout().lock();
    if as_json {
        let all: Vec<Value> = all.iter().map(|(run, pending)| told(run, pending)).collect();
        let text = serde_json::to_string_pretty(&all).map_err(|e| Failure::internal(&e))?;
        writeln!(out, "{text}")?;
        return Ok(0);
    }
    writeln!(out, "{:<ID$} {:<LEFT$} {:<TOOL$} WHAT", "APPROVAL", "LEFT", "TOOL")?;
    for (run, pending) in &all {
        let id = format!("{run}/{}", pending.approval);
        let (tool, object) = (plain(&pending.tool), plain(&pending.object));
        writeln!(out, "{id:<ID$} {:<LEFT$} {tool:<TOOL$} {object}", left(pending.expires))?;
    }
    Ok(0)
}

fn show(run: &str, pending: &Pending, as_json: bool) -> Result<u8, Failure> {
    let mut out = io::stdout().lock();
    if as_json {
        let text = serde_json::to_string_pretty(&told(run, pending)).map_err(|e| Failure::internal(&e))?;
        writeln!(out, "{text}")?;
        return Ok(0);
    }
    writeln!(out, "approval  {run}/{}", pending.approval)?;
    writeln!(out, "tool      {}", plain(&pending.tool))?;
    writeln!(out, "object    {}", plain(&pending.object))?;
    for (key, value) in pending.args.as_object().into_iter().flatten() {
        writeln!(out, "          {} = {}", plain(key), plain(&value.to_string()))?;
    }
    writeln!(out, "asked by  {}", plain(&pending.reason))?;
    writeln!(out, "action    {}", plain(&pending.action))?;
    writeln!(out, "expires   in {}", left(pending.expires))?;
    Ok(0)
}

fn told(run: &str, pending: &Pending) -> Value {
    let mut told = json!({ "run": run });
    if let (Some(map), Ok(Value::Object(fields))) = (told.as_object_mut(), serde_json::to_value(pending)) {
        map.extend(fields);
    }
    told
}

/// The time that is left, roughly.
fn left(expires: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    match expires.saturating_sub(now) {
        0 => "no time".to_owned(),
        s @ 1..=119 => format!("{s} s"),
        s @ 120..=7199 => format!("{} min", s / 60),
        s => format!("{} h", s / 3600),
    }
}

/// The run and what waits in it, by `RUN/NUMBER` or, if one run lives, by the number.
fn find(named: &str) -> Result<(String, Pending), Failure> {
    let usage = || {
        Failure::usage(plain(&format!("{named:?}: an approval is named RUN/NUMBER, as `stockade approvals list` does")))
    };
    let (run, number) = match named.rsplit_once('/') {
        Some((run, number)) => (living(run)?, number),
        None => match live()?.as_slice() {
            [run] => (run.clone(), named),
            _ => return Err(usage()),
        },
    };
    let approval = number.parse().map_err(|_| usage())?;
    match answer_of(&run, &Question::Show { approval })? {
        Answer::Shown { approval } => Ok((run, approval)),
        Answer::Refused { why } => Err(Failure { code: NOT_DONE, message: plain(&why) }),
        other => Err(Failure::internal(&format!("run {run} answered {other:?}"))),
    }
}
