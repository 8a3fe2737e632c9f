//! What was stopped and by whom, how it ended, and how much there was of each.

use std::collections::BTreeMap;
use std::io;

use serde_json::Value;
use stockade_journal::{Entry, Record, parse_time};

use super::page::{Page, Tone};
use super::text::{bytes, count, cut, duration, first_line};

/// Column of what is said about the end.
const VALUES: usize = 9;

/// Names that are counted apart; an agent chooses them, so there is a bound.
const NAMES: usize = 64;

/// Counts of one journal.
#[derive(Default)]
pub(super) struct Tally {
    records: u64,
    allowed: u64,
    denied: u64,
    failed: u64,
    syscalls: u64,
    logs: u64,
    first: Option<i64>,
    last: Option<i64>,
    /// Layer and what it stopped, with how often.
    stopped: BTreeMap<(String, String), u64>,
    /// Records that retention took.
    tombstones: u64,
    /// The detail of the `exit` event.
    exit: Option<Value>,
    /// Reclaimed after a crash.
    reclaimed: bool,
}

impl Tally {
    /// Counts one record.
    pub(super) fn count(&mut self, entry: &Entry) {
        self.records += 1;
        // A tombstone has no time.
        self.last = parse_time(&entry.time).or(self.last);
        self.first = self.first.or(self.last);
        match &entry.record {
            Record::Call(call) if call.decision == "allow" => self.allowed += 1,
            Record::Call(call) => {
                self.denied += 1;
                self.stopped_by(&call.layer, &call.tool, 1);
            }
            Record::Result(outcome) if !matches!(outcome.status.as_str(), "ok" | "denied" | "invalid") => {
                self.failed += 1;
            }
            Record::Start(_) | Record::Result(_) | Record::Recovered { .. } => {}
            Record::Syscall(syscall) => {
                let times = syscall.repeated.saturating_add(1);
                self.syscalls = self.syscalls.saturating_add(times);
                self.stopped_by("seccomp", &syscall.name, times);
            }
            Record::Approval(_) => {}
            Record::Log { .. } => self.logs += 1,
            Record::Tombstone { .. } => self.tombstones += 1,
            Record::Lifecycle { event, detail } if event == "exit" => self.exit = Some(detail.clone()),
            Record::Lifecycle { event, .. } if event == "reclaimed" => self.reclaimed = true,
            Record::Lifecycle { .. } => {}
        }
    }

    fn stopped_by(&mut self, layer: &str, what: &str, times: u64) {
        let known = (cut(layer, 24), cut(what, 40));
        let key = if self.stopped.len() < NAMES || self.stopped.contains_key(&known) {
            known
        } else {
            (known.0, "(others)".to_owned())
        };
        let counted = self.stopped.entry(key).or_default();
        *counted = counted.saturating_add(times);
    }

    /// Shows the end of the page.
    pub(super) fn show(&self, page: &mut Page<'_>, broken: bool) -> io::Result<()> {
        page.blank()?;
        self.show_stopped(page)?;
        page.bold("END").to(VALUES);
        self.show_end(page, broken)?;
        let denials = if self.denied > 0 { format!("{} denied", self.denied) } else { "none denied".to_owned() };
        let mut parts = vec![
            format!("{}: {} allowed, {denials}", count(self.allowed + self.denied, "call"), self.allowed),
            format!("{} stopped", count(self.syscalls, "syscall")),
            count(self.logs, "log line"),
            count(self.records, "record"),
        ];
        if self.tombstones > 0 {
            parts.push(format!("{} of them pruned", self.tombstones));
        }
        if self.failed > 0 {
            parts.insert(1, format!("{} failed", self.failed));
        }
        page.wrapped(VALUES, Tone::Plain, &parts.join("; "))
    }

    fn show_stopped(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.stopped.is_empty() {
            return Ok(());
        }
        page.bold("STOPPED").text("  attempts that had no effect, and the layer that stopped them").end()?;
        let width = |part: fn(&(String, String)) -> &String| {
            self.stopped.keys().map(|key| part(key).chars().count()).max().unwrap_or(0).max(7)
        };
        let what = 2 + width(|(layer, _)| layer) + 2;
        let times = what + width(|(_, what)| what) + 2;
        page.text("  ").dim("layer").to(what).dim("attempt").to(times).dim("times").end()?;
        for ((layer, name), n) in &self.stopped {
            page.text("  ").put(Tone::Bad, layer).to(what).text(name).to(times).text(&format!("{n:>5}")).end()?;
        }
        page.blank()
    }

    fn show_end(&self, page: &mut Page<'_>, broken: bool) -> io::Result<()> {
        let Some(exit) = &self.exit else {
            let text = if self.tombstones > 0 {
                "pruned"
            } else if broken {
                "not known: the journal breaks before it"
            } else if self.reclaimed {
                "killed and reclaimed: its supervisor or its machine ended during the run"
            } else {
                "not recorded: the run goes on, or the machine stopped under it"
            };
            return page.put(Tone::Odd, text).end();
        };
        // The end stands in the detail itself or under `end`.
        let end = exit.get("end").unwrap_or(exit);
        let reason = end.get("reason").and_then(Value::as_str).unwrap_or("?");
        let reason = cut(reason, 40);
        page.put(if reason == "finished" { Tone::Good } else { Tone::Bad }, &reason);
        let mut text = String::new();
        if let Some(status) = end.get("status").and_then(status) {
            text += &format!(" ({status})");
        }
        if let (Some(first), Some(last)) = (self.first, self.last) {
            text += &format!(" after {}", duration(u64::try_from(last - first).unwrap_or(0)));
        }
        let detail = end.get("detail").and_then(Value::as_str).unwrap_or_default();
        // A program's detail may be no more than its status.
        if !detail.is_empty() && end.get("status").and_then(status).is_none_or(|status| status != detail) {
            text += &format!(": {}", cut(&first_line(detail), 300));
        }
        let number = |key: &str| end.get(key).and_then(Value::as_u64).unwrap_or(0);
        if number("output_bytes") > 0 {
            text += &format!("; output {}", bytes(number("output_bytes")));
        }
        if number("output_dropped") > 0 {
            text += &format!(", {} dropped", bytes(number("output_dropped")));
        }
        page.wrapped(VALUES, Tone::Plain, text.trim_start())
    }
}

/// `{"code":0}` or `{"signal":9}` in words.
fn status(status: &Value) -> Option<String> {
    let (kind, number) = status.as_object()?.iter().next()?;
    let kind = if kind == "code" { "exit code" } else { kind };
    Some(format!("{} {}", cut(kind, 20), cut(&number.to_string(), 12)))
}
