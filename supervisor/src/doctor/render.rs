//! The report as a person reads it.

use super::{Check, Report, Status};
use std::fmt::Write as _;

/// An aligned table: status, name and evidence on a line, what to do below it. Contains no
/// terminal control codes: what came from the host is escaped.
#[must_use]
pub fn render_text(report: &Report) -> String {
    let width = report.checks.iter().map(|c| c.name.len()).max().unwrap_or(0);
    let mut out = format!("kernel {}\n", clean(&report.kernel));
    let mut group = "";
    for check in &report.checks {
        if check.group != group {
            group = check.group;
            let _ = writeln!(out, "\n{group}");
        }
        let _ = writeln!(out, "  {:8}  {:width$}  {}", word(check), check.name, clean(&check.evidence));
        if let Some(advice) = &check.advice {
            let _ = writeln!(out, "  {:8}  {:width$}  → {}", "", "", clean(advice));
        }
    }
    out.push('\n');
    out.push_str(&verdict(report));
    out
}

fn word(check: &Check) -> &'static str {
    match (check.status, check.required) {
        (Status::Ok, _) => "ok",
        (Status::Degraded, true) => "degraded",
        (Status::Degraded, false) => "advice",
        (Status::Missing, _) => "MISSING",
    }
}

fn verdict(report: &Report) -> String {
    let count = |status| report.checks.iter().filter(|c| c.required && c.status == status).count();
    let (missing, degraded) = (count(Status::Missing), count(Status::Degraded));
    if report.enforceable {
        "Every layer can be enforced here.\n".to_owned()
    } else if missing == 0 {
        format!("{degraded} degraded: a run starts only if its policy names these in [require] degrade_ok.\n")
    } else {
        format!("{missing} missing, {degraded} degraded: no run starts until what is missing is there.\n")
    }
}

fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_shown_with_what_to_do_and_nothing_of_the_host_reaches_the_terminal_raw() {
        let checks = vec![
            Check::ok("a", "one", "fine"),
            Check::missing("b", "longer.name", "\u{1b}[2Jno\nmore", "do this").degraded(),
        ];
        let report = Report { kernel: "6.1".into(), enforceable: false, checks };
        let text = render_text(&report);
        assert!(text.contains("  ok        one          fine\n"), "{text}");
        assert!(text.contains("  degraded  longer.name  \u{fffd}[2Jno\u{fffd}more\n"), "{text}");
        assert!(text.contains("→ do this"), "{text}");
        assert!(text.ends_with("degrade_ok.\n"), "{text}");
    }
}
