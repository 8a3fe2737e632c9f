//! Bounds on every field, so that a line is at most [`crate::MAX_LINE`] whatever an agent sent.
//!
//! Text over its bound is cut and ends in a count of what was cut; values over theirs become blobs.
//! Bounds count bytes as they are in the line, escapes included.

use serde_json::{Map, Value, json};

use crate::beside::Beside;
use crate::canonical::{MAX_DEPTH, escaped_len, is_shallow, measure};
use crate::error::JournalError;
use crate::record::{Approval, Call, Outcome, Payload, Record, Start, Syscall};
use crate::{MAX_INLINE, hash, references};

/// Names, ids, digests, words of a fixed vocabulary.
const NAME: usize = 256;
/// Sentences.
const TEXT: usize = 8 * 1024;
/// One line of an agent's log.
const MESSAGE: usize = 32 * 1024;
/// Lists of text, all items with their quotes and commas.
const LIST: usize = 8 * 1024;
/// `denial`.
const DENIAL: usize = 12 * 1024;
/// `settings`.
const SETTINGS: usize = 8 * 1024;
/// `enforcement`: long, and what a reader wants to see without opening another file.
const ENFORCEMENT: usize = 32 * 1024;

/// Room for the mark that a cut leaves.
const MARK: usize = "…[+18446744073709551615 bytes]".len();

/// Brings each field of `record` within its bound.
pub(crate) fn fit(record: Record, beside: &Beside) -> Result<Record, JournalError> {
    Ok(match record {
        Record::Start(start) => {
            let Start {
                version,
                run,
                kind,
                agent,
                mut task,
                policy,
                policy_digest,
                plan_digest,
                component_digest,
                workspace,
                settings,
                enforcement,
            } = *start;
            list(&mut task);
            Record::Start(Box::new(Start {
                version,
                run: clip(run, NAME),
                kind: clip(kind, NAME),
                agent: clip(agent, NAME),
                task,
                policy: clip(policy, NAME),
                policy_digest: clip(policy_digest, NAME),
                plan_digest: clip(plan_digest, NAME),
                component_digest: clip(component_digest, NAME),
                workspace: clip(workspace, TEXT),
                settings: value(settings, SETTINGS, beside)?,
                enforcement: layers(enforcement, beside)?,
            }))
        }
        Record::Call(call) => {
            let Call { id, fuel, tool, args, effect, decision, mut rules, reason, layer, policy_digest, denial } = call;
            list(&mut rules);
            Record::Call(Call {
                id,
                fuel,
                tool: clip(tool, NAME),
                args: payload(args, beside)?,
                effect: clip(effect, NAME),
                decision: clip(decision, NAME),
                rules,
                reason: clip(reason, TEXT),
                layer: clip(layer, NAME),
                policy_digest: clip(policy_digest, NAME),
                // `null` reads as no denial, and is written as none.
                denial: denial.filter(|d| !d.is_null()).map(|d| value(d, DENIAL, beside)).transpose()?,
            })
        }
        Record::Result(Outcome { id, status, body, micros }) => {
            Record::Result(Outcome { id, status: clip(status, NAME), body: payload(body, beside)?, micros })
        }
        Record::Syscall(syscall) => {
            let Syscall { cell, nr, name, arch, mut args, pid, verdict, errno, call, repeated } = syscall;
            list(&mut args);
            Record::Syscall(Syscall {
                cell,
                nr,
                name: clip(name, NAME),
                arch: clip(arch, NAME),
                args,
                pid,
                verdict: clip(verdict, NAME),
                errno: clip(errno, NAME),
                call,
                repeated,
            })
        }
        Record::Approval(approval) => {
            let Approval { id, call, state, tool, object, action, args, mut rules, reason, expires, by } = *approval;
            list(&mut rules);
            Record::Approval(Box::new(Approval {
                id,
                call,
                state: clip(state, NAME),
                tool: clip(tool, NAME),
                object: clip(object, TEXT),
                action: clip(action, NAME),
                args: args.map(|args| payload(args, beside)).transpose()?,
                rules,
                reason: clip(reason, TEXT),
                expires: clip(expires, NAME),
                by: by.filter(|by| !by.is_null()).map(|by| value(by, DENIAL, beside)).transpose()?,
            }))
        }
        Record::Log { level, mut message, dropped } => {
            let cut = cut(&mut message, MESSAGE);
            Record::Log { level: clip(level, NAME), message, dropped: dropped.saturating_add(cut) }
        }
        Record::Lifecycle { event, detail } => {
            Record::Lifecycle { event: clip(event, NAME), detail: value(detail, MAX_INLINE, beside)? }
        }
        Record::Tombstone { .. } => {
            return Err(JournalError::Encode { what: "a tombstone stands for what was a record".to_owned() });
        }
        Record::Recovered { cut_bytes, cut_sha256 } => {
            Record::Recovered { cut_bytes, cut_sha256: clip(cut_sha256, NAME) }
        }
    })
}

/// A value as a payload: in the line if it is short and shallow, else a blob.
pub(crate) fn payload(payload: Payload, beside: &Beside) -> Result<Payload, JournalError> {
    match payload {
        Payload::Inline(mut value) => {
            value.sort_all_objects();
            if is_shallow(&value, MAX_DEPTH) && measure(&value, MAX_INLINE).is_some() {
                return Ok(Payload::Inline(value));
            }
            let text = serde_json::to_vec(&value).map_err(|error| JournalError::Encode { what: error.to_string() })?;
            Ok(Payload::Blob { size: text.len() as u64, sha256: beside.blob(&text)? })
        }
        Payload::Blob { sha256, size } if hash::is_digest(&sha256) => Ok(Payload::Blob { sha256, size }),
        Payload::Private { sha256, size } if hash::is_digest(&sha256) => Ok(Payload::Private { sha256, size }),
        Payload::Blob { sha256, .. } | Payload::Private { sha256, .. } => {
            Err(JournalError::Encode { what: format!("{:?} is not a SHA-256 in hex", clip(sha256, NAME)) })
        }
    }
}

/// A bare value within `limit` bytes; over it, what a [`Payload::Blob`] looks like. A value that
/// looks like that already becomes a blob too, so that no one can pass one off as the other.
fn value(mut value: Value, limit: usize, beside: &Beside) -> Result<Value, JournalError> {
    value.sort_all_objects();
    if is_shallow(&value, MAX_DEPTH) && measure(&value, limit).is_some() && references::of_value(&value).is_none() {
        return Ok(value);
    }
    let text = serde_json::to_vec(&value).map_err(|error| JournalError::Encode { what: error.to_string() })?;
    let size = text.len();
    Ok(json!({ "blob": { "sha256": beside.blob(&text)?, "size": size } }))
}

/// The enforcement within its bound. Over it, all of it is a blob, and what each layer's read-back says in short
/// stays beside the blob's name, so that the line alone still tells what held.
fn layers(enforcement: Value, beside: &Beside) -> Result<Value, JournalError> {
    let short = short_layers(&enforcement);
    // A layer of that name would look like the blob: it is kept, but apart.
    let enforcement = if enforcement.get("blob").is_some() { json!({ "layers": enforcement }) } else { enforcement };
    let mut bounded = value(enforcement, ENFORCEMENT, beside)?;
    if references::of_value(&bounded).is_some()
        && let (Some(map), Some(short)) = (bounded.as_object_mut(), short)
    {
        map.extend(short);
        bounded.sort_all_objects();
    }
    Ok(bounded)
}

/// `ok` and `summary` of each layer, if that fits.
fn short_layers(enforcement: &Value) -> Option<Map<String, Value>> {
    let mut short = Map::new();
    for (name, layer) in enforcement.as_object()?.iter().filter(|(name, _)| *name != "blob") {
        let said = ["ok", "summary"].into_iter().filter_map(|key| Some((key.to_owned(), layer.get(key)?.clone())));
        short.insert(name.clone(), Value::Object(said.collect()));
    }
    let short = Value::Object(short);
    // Half of the bound leaves room for the blob's name.
    let fits = is_shallow(&short, MAX_DEPTH) && measure(&short, ENFORCEMENT / 2).is_some();
    match short {
        Value::Object(map) if fits => Some(map),
        _ => None,
    }
}

/// A name as a record has it.
#[must_use]
pub fn as_name(text: String) -> String {
    clip(text, NAME)
}

/// A line of an agent's log as a record has it.
#[must_use]
pub fn as_message(text: String) -> String {
    clip(text, MESSAGE)
}

/// Text of at most `limit` bytes in the line; what was cut is counted in a mark at its end.
fn clip(mut text: String, limit: usize) -> String {
    let dropped = cut(&mut text, limit);
    if dropped > 0 {
        let more = cut(&mut text, limit.saturating_sub(MARK));
        text.push_str(&format!("…[+{} bytes]", dropped.saturating_add(more)));
    }
    text
}

/// Cuts `text` to `limit` bytes in the line, between characters; gives the bytes of text cut.
fn cut(text: &mut String, limit: usize) -> u64 {
    // Every byte is at most 6 in the line: most text needs no walk.
    if text.len() <= limit / 6 {
        return 0;
    }
    let mut room = limit;
    let end = text.char_indices().find_map(|(index, c)| match room.checked_sub(escaped_len(c)) {
        Some(left) => {
            room = left;
            None
        }
        None => Some(index),
    });
    let Some(end) = end else { return 0 };
    let dropped = text.len() - end;
    text.truncate(end);
    dropped as u64
}

/// Bounds a list to [`LIST`] bytes in the line: each item to [`TEXT`] / 2, and items that do not
/// fit to one last item with their count.
fn list(items: &mut Vec<String>) {
    const LAST: usize = "\"…[+18446744073709551615 items]\",".len();
    let mut room = LIST - LAST;
    let mut kept = 0;
    for item in items.iter_mut() {
        *item = clip(std::mem::take(item), TEXT / 2);
        let len = item.chars().map(escaped_len).sum::<usize>() + "\"\",".len();
        let Some(left) = room.checked_sub(len) else { break };
        room = left;
        kept += 1;
    }
    let more = items.len() - kept;
    if more > 0 {
        items.truncate(kept);
        items.push(format!("…[+{more} items]"));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn in_line(text: &str) -> usize {
        serde_json::to_string(text).unwrap().len() - 2
    }

    #[test]
    fn short_text_is_kept() {
        for text in ["", "abc", &"\u{1}".repeat(NAME / 6), &"x".repeat(NAME)] {
            assert_eq!(clip(text.to_owned(), NAME), *text);
        }
    }

    #[test]
    fn long_text_is_cut_between_characters_and_counted() {
        for (piece, pieces) in [("x", 300), ("\u{1}", 50), ("é", 200), ("😀", 65), ("\"", 200)] {
            let text = piece.repeat(pieces);
            let clipped = clip(text.clone(), NAME);
            assert!(in_line(&clipped) <= NAME, "{clipped}");
            let (kept, mark) = clipped.split_once("…[+").unwrap();
            let dropped: usize = mark.strip_suffix(" bytes]").unwrap().parse().unwrap();
            assert_eq!(kept.len() + dropped, text.len());
            assert!(text.starts_with(kept));
        }
    }

    #[test]
    fn long_lists_are_cut_and_counted() {
        for item in ["", "x", &"x".repeat(100_000), &"\u{0}".repeat(1000)] {
            let mut items = vec![item.to_owned(); 4000];
            list(&mut items);
            assert!(serde_json::to_string(&items).unwrap().len() <= LIST + 2);
            let more = items.last().unwrap().strip_prefix("…[+").unwrap();
            let more: usize = more.strip_suffix(" items]").unwrap().parse().unwrap();
            assert_eq!(items.len() - 1 + more, 4000);
        }
        let mut items = vec!["x".to_owned(); 3];
        list(&mut items);
        assert_eq!(items, ["x", "x", "x"]);
    }
}
