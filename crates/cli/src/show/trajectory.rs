//! What the agent did, in order. One record is held back, so that a call and its outcome share a
//! line; and what repeats the line before is counted.

use std::io;

use serde_json::Value;
use stockade_journal::{Call, Entry, Outcome, Record, Syscall, parse_time};

use super::approval::{about as approval_about, tone};
use super::call::{call, late_result};
use super::enforcement::in_short;
use super::page::{Page, Tone};
use super::text::{bytes, count, cut, first_line, value};

/// Column where sequence numbers end.
const SEQ: usize = 19;
/// Column of the verdict.
const VERDICT: usize = 21;
/// Column of what happened.
pub(super) const TEXT: usize = 29;
/// Lines of one kind in a row before the rest is counted.
const SHOWN: u64 = 3;

/// Where the page is in the journal.
pub(super) struct Trajectory {
    /// Microseconds since the epoch of the first record.
    begin: Option<i64>,
    held: Option<(String, u64, Call)>,
    key: String,
    alike: u64,
    /// Number of the last record that was counted instead of shown.
    folded_to: u64,
}

impl Trajectory {
    /// Writes the heading.
    pub(super) fn begin(page: &mut Page<'_>, first: &Entry) -> io::Result<Self> {
        page.bold("TRAJECTORY").text("  what the agent asked for, and what became of it").end()?;
        page.to(6).dim("time").to(SEQ - 3).dim("seq").to(VERDICT).dim("verdict").to(TEXT).dim("what").end()?;
        Ok(Self { begin: parse_time(&first.time), held: None, key: String::new(), alike: 0, folded_to: 0 })
    }

    /// Shows one record, or holds it back until the next.
    pub(super) fn show(&mut self, page: &mut Page<'_>, entry: Entry) -> io::Result<()> {
        let time = self.offset(&entry.time);
        let seq = entry.seq;
        match entry.record {
            Record::Call(call) => {
                self.release(page, None)?;
                self.held = Some((time, seq, call));
                Ok(())
            }
            Record::Result(outcome) => {
                if self.held.as_ref().is_some_and(|(_, _, call)| call.id == outcome.id) {
                    return self.release(page, Some(&outcome));
                }
                self.release(page, None)?;
                self.flush_folded(page)?;
                position(page, &time, seq);
                late_result(page, &outcome)
            }
            Record::Syscall(record) => {
                self.release(page, None)?;
                let key = format!("syscall {} {} {}", record.name, record.arch, record.errno);
                if self.is_folded(page, key, seq)? {
                    return Ok(());
                }
                position(page, &time, seq);
                syscall(page, &record)
            }
            // Counted at the end of the page.
            Record::Tombstone { .. } => {
                self.release(page, None)?;
                self.flush_folded(page)
            }
            other => {
                self.release(page, None)?;
                self.flush_folded(page)?;
                position(page, &time, seq);
                event(page, &other)
            }
        }
    }

    /// Shows what is held back.
    pub(super) fn end(&mut self, page: &mut Page<'_>) -> io::Result<()> {
        self.release(page, None)?;
        self.flush_folded(page)
    }

    fn release(&mut self, page: &mut Page<'_>, outcome: Option<&Outcome>) -> io::Result<()> {
        let Some((time, seq, record)) = self.held.take() else { return Ok(()) };
        let status = outcome.map_or("", |outcome| &outcome.status);
        let key = if record.decision == "allow" {
            format!("allow {} {status} {:?}", record.tool, record.rules)
        } else {
            format!("deny {} {} {}", record.tool, record.layer, record.reason)
        };
        if self.is_folded(page, key, seq)? {
            return Ok(());
        }
        position(page, &time, seq);
        call(page, &record, outcome)
    }

    /// Whether a line like `key` has been shown often enough.
    fn is_folded(&mut self, page: &mut Page<'_>, key: String, seq: u64) -> io::Result<bool> {
        if !page.style.fold {
            return Ok(false);
        }
        if self.key != key {
            self.flush_folded(page)?;
            self.key = key;
        }
        self.alike += 1;
        self.folded_to = seq;
        Ok(self.alike > SHOWN)
    }

    fn flush_folded(&mut self, page: &mut Page<'_>) -> io::Result<()> {
        let more = self.alike.saturating_sub(SHOWN);
        self.alike = 0;
        self.key.clear();
        if more == 0 {
            return Ok(());
        }
        page.to(TEXT).dim(&format!("… {more} more like this, up to seq {}", self.folded_to)).end()
    }

    /// Seconds since the first record; a clock that was set back gives less than zero.
    fn offset(&self, time: &str) -> String {
        match (self.begin, parse_time(time)) {
            (Some(begin), Some(now)) => {
                let micros = now - begin;
                let sign = if micros < 0 { '-' } else { '+' };
                let millis = micros.unsigned_abs() / 1000;
                format!("{sign}{}.{:03}", millis / 1000, millis % 1000)
            }
            _ => "?".to_owned(),
        }
    }
}

/// Time and number, each to the right of its column.
fn position(page: &mut Page<'_>, time: &str, seq: u64) {
    let seq = seq.to_string();
    page.dim(&format!("{time:>10}")).to(SEQ.saturating_sub(seq.len())).dim(&seq).to(VERDICT);
}

fn syscall(page: &mut Page<'_>, record: &Syscall) -> io::Result<()> {
    let cell = if record.cell == 0 { String::new() } else { format!(" in tool cell {}", record.cell) };
    let arch = if record.arch == "x86_64" { String::new() } else { format!(" ({})", cut(&record.arch, 16)) };
    let args = cut(&record.args.join(", "), 60);
    page.put(Tone::Bad, "DENY").to(TEXT).text("syscall ").bold(&cut(&record.name, 40));
    let by = if record.pid == 0 { String::new() } else { format!(" by pid {}", record.pid) };
    page.text(&format!("({args}){arch}{by}{cell}")).end()?;
    let under = record.call.map_or(String::new(), |id| format!(", during call {id}"));
    let repeated = match record.repeated {
        0 => String::new(),
        n => format!(", and {} like it before", count(n, "attempt")),
    };
    page.wrapped(TEXT, Tone::Plain, &format!("stopped by seccomp: {}{under}{repeated}", cut(&record.errno, 40)))
}

/// Everything that is neither a call nor a syscall.
fn event(page: &mut Page<'_>, record: &Record) -> io::Result<()> {
    match record {
        Record::Start(start) => {
            let layers = in_short(&start.enforcement).unwrap_or_default();
            page.text("start").to(TEXT).text(&format!("{} agent launched, {layers}", cut(&start.kind, 20))).end()
        }
        Record::Log { level, message, dropped } => {
            let level = cut(level, 10);
            let more = if *dropped > 0 { format!(" ({dropped} bytes dropped)") } else { String::new() };
            page.text("log").to(TEXT);
            let tone = if matches!(level.as_str(), "warn" | "error") { Tone::Odd } else { Tone::Dim };
            page.put(tone, &level);
            let column = TEXT + level.chars().count() + 1;
            page.wrapped(column, Tone::Plain, &format!("{}{more}", cut(message, 300)))
        }
        // What there is to say of it stands at the end of the page.
        Record::Lifecycle { event, .. } if event == "exit" => page.text("end").to(TEXT).text("exit").end(),
        Record::Lifecycle { event, detail } => {
            let name = cut(event, 24);
            page.text("cell").to(TEXT);
            page.put(if is_trouble(event) { Tone::Odd } else { Tone::Plain }, &name);
            page.wrapped(TEXT + name.chars().count() + 1, Tone::Plain, &about(detail))
        }
        Record::Recovered { cut_bytes, .. } => {
            page.put(Tone::Odd, "cut");
            let text = "of a line that a crash tore, cut off and kept as a blob";
            page.wrapped(TEXT, Tone::Plain, &format!("{} {text}", bytes(*cut_bytes)))
        }
        Record::Approval(approval) => {
            page.put(tone(&approval.state), &cut(&approval.state, 8)).to(TEXT).bold(&cut(&approval.tool, 40));
            page.text(&format!(" {}", cut(&approval.object, 60))).end()?;
            page.wrapped(TEXT, Tone::Plain, &approval_about(approval))
        }
        Record::Tombstone { .. } | Record::Call(_) | Record::Result(_) | Record::Syscall(_) => Ok(()),
    }
}

fn is_trouble(event: &str) -> bool {
    ["refused", "killed", "failed", "limit"].iter().any(|word| event.contains(word))
}

/// A detail with its enforcement in short, without empty fields.
fn about(detail: &Value) -> String {
    let Some(map) = detail.as_object() else { return value(detail, 200) };
    let mut shown = serde_json::Map::new();
    let mut layers = String::new();
    for (key, field) in map {
        match field {
            Value::Object(_) if key == "enforcement" => {
                layers = in_short(field).map_or(String::new(), |text| format!("; {text}"));
            }
            Value::Null => {}
            Value::String(text) if text.is_empty() => {}
            Value::String(text) => {
                shown.insert(key.clone(), first_line(text).into());
            }
            other => {
                shown.insert(key.clone(), other.clone());
            }
        }
    }
    format!("{}{layers}", value(&Value::Object(shown), 240))
}
