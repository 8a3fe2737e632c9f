//! One record on one line, for lists of records of many runs.

use std::io;

use stockade_journal::{Entry, Record};

use super::approval::{about as approval_about, tone};
use super::call::{payload, result, rules, why};
use super::page::{Page, Tone};
use super::text::{bytes, cut, typed, value};
use crate::trail::Under;

/// Shows a record. `run` is told if it is given; `under` is the call that a result or system call belongs to.
pub(crate) fn line(page: &mut Page<'_>, run: Option<&str>, entry: &Entry, under: Option<&Under>) -> io::Result<()> {
    // A tombstone has no time.
    let time = match entry.time.get(..23) {
        Some(time) => format!("{time}Z"),
        None => format!("{:<24}", "-"),
    };
    page.dim(&time).text(" ");
    if let Some(run) = run {
        page.dim(&cut(run, 40)).text(" ");
    }
    page.dim(&format!("{:>6}", entry.seq)).text(" ");
    let column = |page: &mut Page<'_>, tone, word: &str| {
        page.put(tone, &format!("{:<9}", cut(word, 20))).text(" ");
    };
    match &entry.record {
        Record::Start(start) => {
            column(page, Tone::Plain, "start");
            page.bold(&cut(&start.agent, 40)).text(&format!(
                " ({}) under policy {}{}",
                cut(&start.kind, 20),
                cut(&start.policy, 60),
                if start.task.is_empty() { String::new() } else { format!(": {}", cut(&typed(&start.task), 120)) }
            ));
        }
        Record::Call(call) if call.decision == "allow" => {
            column(page, Tone::Good, "allow");
            page.bold(&cut(&call.tool, 40)).text(" ").text(&payload(&call.args, 100));
            page.dim(&format!("  [{}]", rules(&call.rules)));
        }
        Record::Call(call) => {
            column(page, Tone::Bad, "DENY");
            page.bold(&cut(&call.tool, 40)).text(" ").text(&payload(&call.args, 60)).text("  ").text(&why(call));
        }
        Record::Result(outcome) => {
            let tone = if outcome.status == "ok" { Tone::Plain } else { Tone::Odd };
            column(page, tone, "result");
            match under {
                Some(under) => page.bold(&cut(&under.call.tool, 40)).text(&format!(" of {}: ", under.seq)),
                None => page.text(&format!("of call id {}: ", outcome.id)),
            };
            page.put(tone, &result(outcome));
        }
        Record::Syscall(record) => {
            column(page, Tone::Bad, "DENY");
            page.text("syscall ").bold(&cut(&record.name, 40));
            let repeated =
                if record.repeated > 0 { format!(", and {} before", record.repeated) } else { String::new() };
            let during = under.map_or(String::new(), |under| format!(", during {}", cut(&under.call.tool, 40)));
            page.text(&format!("({}) {}{during}{repeated}", cut(&record.args.join(", "), 80), cut(&record.errno, 20)));
        }
        Record::Approval(approval) => {
            column(page, tone(&approval.state), &approval.state.to_uppercase());
            page.bold(&cut(&approval.tool, 40)).text(&format!(" {}", cut(&approval.object, 100)));
            page.text(&format!("  {}", approval_about(approval)));
        }
        Record::Log { level, message, dropped } => {
            let tone = if matches!(level.as_str(), "warn" | "error") { Tone::Odd } else { Tone::Dim };
            column(page, tone, level);
            let more = if *dropped > 0 { format!(" ({dropped} bytes dropped)") } else { String::new() };
            page.text(&format!("{}{more}", cut(message, 200)));
        }
        Record::Lifecycle { event, detail } => {
            column(page, Tone::Plain, "lifecycle");
            page.bold(&cut(event, 40)).text(" ").text(&value(detail, 120));
        }
        Record::Recovered { cut_bytes, .. } => {
            column(page, Tone::Odd, "recovered");
            page.text(&format!("{} of a line that a crash tore, cut off and kept as a blob", bytes(*cut_bytes)));
        }
        Record::Tombstone { leaf } => {
            column(page, Tone::Odd, "pruned");
            page.text(&format!("its leaf was {}", cut(leaf, 64)));
        }
    }
    page.end()
}
