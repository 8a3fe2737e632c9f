//! The mount table, whole: what is there and not planned is a mismatch too.

use std::path::Path;

use serde_json::json;
use stockade_plan::{Plan, What};

use super::{Layer, Subject};

/// One planned mount: place and the options that it must or must not have.
struct Planned<'a> {
    place: &'a str,
    read_only: bool,
    no_exec: bool,
    no_dev: bool,
}

/// A pin has the options of the mount that it is in.
fn options_above(plan: &Plan, place: &str) -> (bool, bool, bool) {
    let above = plan.root.iter().rev().find_map(|entry| match &entry.what {
        What::Bind { read_only, no_exec, .. } if Path::new(place).starts_with(&entry.dest) => {
            Some((*read_only, *no_exec, true))
        }
        _ => None,
    });
    above.unwrap_or((false, false, true))
}

pub(super) fn mounts(subject: &Subject, plan: &Plan) -> Layer {
    let mut layer = Layer::new("mounts");
    let mut planned = vec![Planned { place: "/", read_only: true, no_exec: true, no_dev: true }];
    for entry in &plan.root {
        let (read_only, no_exec, no_dev) = match &entry.what {
            What::Bind { read_only, no_exec, device, .. } => (*read_only, *no_exec, !device),
            What::Tmpfs { .. } | What::Proc => (false, true, true),
            What::Mask => (true, true, true),
            What::Pin => options_above(plan, &entry.dest),
            What::Dir | What::Symlink { .. } | What::File { .. } => continue,
        };
        planned.push(Planned { place: &entry.dest, read_only, no_exec, no_dev });
    }
    let text = subject.read("mountinfo");
    let mut lines = Vec::new();
    let mut seen = vec![false; planned.len()];
    for line in text.lines() {
        // ID PARENT MAJOR:MINOR ROOT PLACE OPTIONS … - TYPE SOURCE SUPER (proc(5)).
        let fields: Vec<_> = line.split(' ').collect();
        let (Some(place), Some(options)) = (fields.get(4), fields.get(5)) else { continue };
        let kind = line.split_once(" - ").and_then(|(_, tail)| tail.split(' ').next()).unwrap_or("?");
        lines.push(format!("{place} {kind} {options}"));
        let at = planned.iter().position(|p| p.place == *place);
        // Mounts of the host beneath a planned read-only tree come along with it and share its options.
        let above = planned
            .iter()
            .rposition(|p| p.place != "/" && place.strip_prefix(p.place).is_some_and(|rest| rest.starts_with('/')));
        let Some(rule) = at.or(above).and_then(|i| planned.get(i)) else {
            layer.mismatches.push(format!("mounts: {place} ({kind}) is mounted and not planned"));
            continue;
        };
        if let Some(mark) = at.and_then(|i| seen.get_mut(i)) {
            *mark = true;
        }
        let has = |option: &str| options.split(',').any(|o| o == option);
        let wrong = [("ro", rule.read_only), ("noexec", rule.no_exec), ("nodev", rule.no_dev), ("nosuid", true)]
            .into_iter()
            .filter(|(option, needed)| *needed && !has(option));
        for (option, _) in wrong {
            layer.mismatches.push(format!("mounts: {place} is {options}, planned with {option}"));
        }
    }
    for (rule, seen) in planned.iter().zip(seen) {
        if !seen {
            layer.mismatches.push(format!("mounts: {} is planned and not mounted", rule.place));
        }
    }
    let writable =
        planned.iter().filter(|p| !p.read_only && p.no_dev && p.place != "/proc").map(|p| p.place).collect::<Vec<_>>();
    let writable = if writable.is_empty() { "nothing".to_owned() } else { writable.join(" ") };
    layer.summary = format!("{} mounts on a fresh read-only root; writable: {writable}", lines.len());
    layer.details = json!({ "table": lines });
    layer
}
