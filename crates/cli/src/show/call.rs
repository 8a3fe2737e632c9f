//! A tool call and its outcome on one line, and why it was denied on a second.

use std::io;

use serde_json::Value;
use stockade_journal::{Call, Outcome, Payload};

use super::page::{Page, Tone};
use super::text::{bytes, cut, duration, short, value};
use super::trajectory::TEXT;

/// Room for arguments, in characters, under which the outcome moves to a line of its own.
const ARGS: usize = 40;

/// Shows `call`, with its outcome if that came right after it.
pub(super) fn call(page: &mut Page<'_>, call: &Call, outcome: Option<&Outcome>) -> io::Result<()> {
    if call.decision != "allow" {
        page.put(Tone::Bad, "DENY").to(TEXT).bold(&cut(&call.tool, 40)).text(" ");
        let room = page.room();
        page.text(&payload(&call.args, room)).end()?;
        return page.wrapped(TEXT, Tone::Plain, &format!("stopped by {}", why(call)));
    }
    page.put(Tone::Good, "allow").to(TEXT).bold(&cut(&call.tool, 40)).text(" ");
    let (text, tone) = match outcome {
        Some(outcome) => (result(outcome), tone(outcome)),
        None => ("its result is below".to_owned(), Tone::Plain),
    };
    let text = format!("-> {text}");
    let by = format!("  [{}]", rules(&call.rules));
    let both = text.chars().count() + by.chars().count() + 1;
    let beside = page.room().saturating_sub(both);
    let whole = payload(&call.args, page.room());
    if whole.chars().count() > beside && beside < ARGS {
        page.text(&whole).end()?;
        return page.wrapped(TEXT, tone, &format!("{text} {}", by.trim_start()));
    }
    page.text(&payload(&call.args, beside)).text(" ").put(tone, &text).dim(&by).end()
}

/// Layer, rule and reason. A reason that begins with the former two, as the policy's do, says them once.
pub(super) fn why(call: &Call) -> String {
    let said = call.reason.strip_prefix("denied by ").filter(|rest| rest.starts_with(&format!("{} (", call.layer)));
    match said {
        Some(rest) => cut(rest, 400),
        None => format!("{} ({}): {}", cut(&call.layer, 20), rules(&call.rules), cut(&call.reason, 400)),
    }
}

/// Shows an outcome whose call is further up.
pub(super) fn late_result(page: &mut Page<'_>, outcome: &Outcome) -> io::Result<()> {
    let text = format!("of call {}: {}", outcome.id, result(outcome));
    page.text("result").wrapped(TEXT, tone(outcome), &text)
}

fn tone(outcome: &Outcome) -> Tone {
    if outcome.status == "ok" { Tone::Plain } else { Tone::Odd }
}

pub(super) fn rules(rules: &[String]) -> String {
    if rules.is_empty() {
        return "no rule".to_owned();
    }
    cut(&rules.join(", "), 40)
}

/// Status, content in a few words, time taken.
pub(super) fn result(outcome: &Outcome) -> String {
    let body = match &outcome.body {
        Payload::Inline(Value::Null) => String::new(),
        Payload::Inline(Value::Object(map)) if map.is_empty() => String::new(),
        Payload::Inline(body) => format!(", {}", answer(body)),
        Payload::Blob { size, .. } => format!(", {}", bytes(*size)),
        Payload::Private { size, .. } => format!(", private ({})", bytes(*size)),
    };
    let took = if outcome.micros > 0 { format!(", {}", duration(outcome.micros)) } else { String::new() };
    format!("{}{body}{took}", cut(&outcome.status, 20))
}

/// What an answer says, in the words of its tool where it is known, else its beginning.
fn answer(body: &Value) -> String {
    let text = |key: &str| body.get(key).and_then(Value::as_str);
    let number = |key: &str| body.get(key).and_then(Value::as_u64);
    if let Some(reason) = text("reason").or_else(|| text("message")).or_else(|| text("error")) {
        cut(reason, 60)
    } else if let Some(content) = text("content") {
        bytes(content.len() as u64)
    } else if let Some(content) = text("content_base64").or_else(|| text("base64")) {
        // Three bytes in each group of four digits, the last one padded.
        let padding = content.bytes().rev().take_while(|byte| *byte == b'=').count();
        bytes((content.len() / 4 * 3).saturating_sub(padding) as u64)
    } else if let Some(written) = number("written") {
        format!("{} written", bytes(written))
    } else if let Some(entries) = body.get("entries").and_then(Value::as_array) {
        format!("{} entries", entries.len())
    } else {
        value(body, 48)
    }
}

pub(super) fn payload(payload: &Payload, max: usize) -> String {
    match payload {
        Payload::Inline(args) => value(args, max),
        Payload::Blob { sha256, size } => format!("({} in blobs/{}…)", bytes(*size), short(sha256)),
        Payload::Private { size, .. } => format!("(private, {})", bytes(*size)),
    }
}
