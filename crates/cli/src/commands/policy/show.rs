//! `stockade policy show`.

use std::io;

use serde_json::{Value, json};
use stockade_policy::{Limits, Policy};

use super::load::Loader;
use crate::args::policy::Show;
use crate::failure::Failure;
use crate::output;
use crate::show::{Page, Tone};

/// Widest a column of keys or values gets before its neighbour steps aside.
const KEYS: usize = 44;
const VALUES: usize = 48;

pub(super) fn show(args: &Show) -> Result<u8, Failure> {
    let loader = match Loader::new(&args.above, args.json) {
        Ok(loader) => loader.without_tests(),
        Err(ended) => return ended,
    };
    let policy = match loader.need(&args.file, args.json) {
        Ok(policy) => policy,
        Err(ended) => return ended,
    };
    if args.json {
        output::json(&whole(&policy, args.resolved))?;
    } else {
        output::page(|page| {
            header(page, &policy)?;
            if args.resolved { resolved(page, &policy) } else { summary(page, &policy) }
        })?;
    }
    Ok(0)
}

fn whole(policy: &Policy, resolved: bool) -> Value {
    let counts: serde_json::Map<String, Value> =
        counts(policy).into_iter().map(|(what, count)| (what.to_owned(), json!(count))).collect();
    let mut value = json!({
        "ok": true,
        "id": policy.id,
        "digest": policy.digest,
        "sealed": policy.sealed,
        "degrade_ok": policy.require.degrade_ok,
        "limits": policy.limits,
        "counts": counts,
        "remarks": policy.remarks,
    });
    if let Some(map) = value.as_object_mut().filter(|_| resolved) {
        map.insert("settings".to_owned(), json!(policy.settings));
        map.insert("narrowed".to_owned(), json!(policy.narrowed));
        map.insert("unreachable".to_owned(), json!(policy.unreachable));
        let folders = policy.workspaces.as_ref().map(|(folders, origin)| json!({"folders": folders, "origin": origin}));
        map.insert("workspaces".to_owned(), json!(folders));
    }
    value
}

fn counts(policy: &Policy) -> Vec<(&'static str, usize)> {
    vec![
        ("fs.read", policy.fs.read.len()),
        ("fs.write", policy.fs.write.len()),
        ("fs.execute", policy.fs.execute.len()),
        ("fs.deny", policy.fs.deny.len()),
        ("env", policy.env.len() + policy.env_pass.len()),
        ("tools", policy.settings.iter().filter(|setting| of_tools(&setting.key)).count()),
        ("exec", policy.exec.len()),
        ("egress", policy.egress.len()),
        ("sockets", policy.sockets.len()),
        ("mcp", policy.mcp.len()),
        ("model", policy.models.len()),
        ("secret", policy.secrets.len()),
        ("syscalls", policy.syscalls.len()),
        ("test", policy.test_count()),
    ]
}

fn of_tools(key: &str) -> bool {
    key.rsplit('/').next().is_some_and(|key| key.starts_with("tools."))
}

fn header(page: &mut Page<'_>, policy: &Policy) -> io::Result<()> {
    page.bold("policy").to(12).text(&policy.id).end()?;
    page.bold("digest").to(12).text(&policy.digest).end()?;
    let seal = if policy.sealed { "holds" } else { "none" };
    page.bold("seal").to(12).text(seal).end()?;
    if !policy.require.degrade_ok.is_empty() {
        page.bold("may lack").wrapped(12, Tone::Odd, &policy.require.degrade_ok.join(", "))?;
    }
    for remark in &policy.remarks {
        page.bold("remark").wrapped(12, Tone::Odd, remark)?;
    }
    page.blank()
}

fn summary(page: &mut Page<'_>, policy: &Policy) -> io::Result<()> {
    page.bold("limits").end()?;
    for (name, value) in limits(&policy.limits) {
        page.to(2).text(name).to(16).text(&value).end()?;
    }
    page.blank()?;
    page.bold("entries").end()?;
    for (what, count) in counts(policy) {
        let tone = if count == 0 { Tone::Dim } else { Tone::Plain };
        page.to(2).put(tone, what).to(16).put(tone, &count.to_string()).end()?;
    }
    if !policy.narrowed.is_empty() || !policy.unreachable.is_empty() {
        page.blank()?;
        let (narrowed, unreachable) = (policy.narrowed.len(), policy.unreachable.len());
        page.put(Tone::Odd, &format!("narrowed by the ceiling: {narrowed}; never matters: {unreachable}"));
        page.text(" (see --resolved)").end()?;
    }
    Ok(())
}

fn limits(limits: &Limits) -> Vec<(&'static str, String)> {
    let mut all = vec![
        ("memory", bytes(limits.memory)),
        ("cpu", format!("{}%", f64::from(limits.cpu_millis) / 10.0)),
        ("pids", limits.pids.to_string()),
        ("wall", time(limits.wall_ms)),
        ("fuel", limits.fuel.to_string()),
        ("tables", limits.table_elements.to_string()),
        ("output", bytes(limits.output)),
        ("files", limits.files.to_string()),
        ("file_size", bytes(limits.file_size)),
        ("calls", limits.calls.to_string()),
        ("journal", bytes(limits.journal)),
    ];
    all.extend(limits.io_read.map(|rate| ("io_read", format!("{}/s", bytes(rate)))));
    all.extend(limits.io_write.map(|rate| ("io_write", format!("{}/s", bytes(rate)))));
    all
}

/// In the largest unit that shows all of it.
fn bytes(n: u64) -> String {
    let units = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let fits = units.iter().find(|(unit, _)| n >= *unit && n.is_multiple_of(*unit));
    fits.map_or_else(|| format!("{n}B"), |(unit, name)| format!("{}{name}", n / unit))
}

fn time(ms: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    let fits = units.iter().find(|(unit, _)| ms >= *unit && ms.is_multiple_of(*unit));
    fits.map_or_else(|| format!("{ms}ms"), |(unit, name)| format!("{}{name}", ms / unit))
}

fn resolved(page: &mut Page<'_>, policy: &Policy) -> io::Result<()> {
    let widest = |of: fn(&stockade_policy::Setting) -> &String, most| {
        policy.settings.iter().map(|setting| of(setting).chars().count()).max().unwrap_or(0).min(most)
    };
    let values = widest(|setting| &setting.key, KEYS) + 2;
    let places = values + widest(|setting| &setting.value, VALUES) + 2;
    for setting in &policy.settings {
        page.text(&setting.key).to(values).text(&setting.value).to(places).dim(&setting.origin.to_string()).end()?;
    }
    if let Some((folders, origin)) = &policy.workspaces {
        page.blank()?;
        page.bold("workspaces").text(" lie in ").text(&folders.join(", ")).text("  ").dim(&origin.to_string()).end()?;
    }
    if !policy.narrowed.is_empty() {
        page.blank()?;
        page.bold("narrowed by the ceiling").end()?;
    }
    for rule in &policy.narrowed {
        let left = if rule.left.is_empty() { "nothing" } else { &rule.left };
        page.to(2).put(Tone::Odd, &rule.key).text(&format!(": asked {}, gets {left}  ", rule.asked));
        page.dim(&format!("{}, ceiling {}", rule.origin, rule.ceiling)).end()?;
    }
    if !policy.unreachable.is_empty() {
        page.blank()?;
        page.bold("never matters").end()?;
    }
    for rule in &policy.unreachable {
        page.to(2).put(Tone::Odd, &rule.key).text(&format!(": {}  ", rule.why)).dim(&rule.origin.to_string()).end()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_show_all_of_a_number() {
        assert_eq!([bytes(0), bytes(1536), bytes(1 << 30), bytes(1023)], ["0B", "1536B", "1GiB", "1023B"]);
        assert_eq!([time(0), time(90_000), time(7_200_000), time(1)], ["0ms", "90s", "2h", "1ms"]);
    }
}
