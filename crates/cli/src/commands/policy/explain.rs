//! `stockade policy explain`.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::{Value, json};
use stockade_policy::tool::MODEL_CHAT;
use stockade_policy::{Attempt, Checked, Expect, Judge, Origin, Policy, Ruling, check_fix, preset};

use super::attempt::attempt;
use super::load::Loader;
use crate::args::policy::{Attempted, Explain};
use crate::exit;
use crate::failure::Failure;
use crate::output;
use crate::show::{Page, Tone};

/// Column of what is said.
const SAID: usize = 10;
/// Largest file of which a line is shown.
const MOST: u64 = 1 << 20;

/// A rule that decides, and its line.
struct Rule {
    id: String,
    origin: Option<Origin>,
    line: Option<String>,
}

/// Everything there is to say.
struct Explained {
    asked: String,
    ruling: Ruling,
    rules: Vec<Rule>,
    checked: Option<Checked>,
    agent: Option<Value>,
    /// What no part of this version does yet.
    note: Option<&'static str>,
    policy: Policy,
}

pub(super) fn explain(args: &Explain) -> Result<u8, Failure> {
    let asked = attempt(&args.attempt)?;
    let loader = match Loader::new(&args.above, args.json) {
        Ok(loader) => loader.without_tests(),
        Err(ended) => return ended,
    };
    let policy = match loader.need(&args.file, args.json) {
        Ok(policy) => policy,
        Err(ended) => return ended,
    };
    let ruling = Judge::new(&policy).map_err(|error| Failure::internal(&error))?.rule(&asked);
    let line = |origin: &Origin| source_line(&args.file, args.above.ceiling.as_deref(), origin);
    let mut rules: Vec<Rule> = ruling
        .rules
        .iter()
        .map(|id| {
            let origin = policy.place_of(id).or(ruling.origin.as_ref()).cloned();
            Rule { id: id.clone(), line: origin.as_ref().and_then(&line), origin }
        })
        .collect();
    if let (true, Some(origin)) = (rules.is_empty(), &ruling.origin) {
        rules.push(Rule { id: String::new(), origin: Some(origin.clone()), line: line(origin) });
    }
    let checked = check_fix(&args.file, &loader.options, &asked, &ruling);
    let agent = agent(&args.attempt, &ruling);
    let explained = Explained { asked: asked.to_string(), rules, checked, agent, note: note(&asked), policy, ruling };
    if args.json {
        output::json(&whole(&explained, &asked))?;
    } else {
        output::page(|page| show(page, &explained))?;
    }
    Ok(match explained.ruling.verdict {
        Expect::Allow => 0,
        Expect::Deny => exit::DENIED,
        Expect::Ask => exit::ASKS,
    })
}

/// What the agent is told, if that was asked for.
fn agent(asked: &Attempted, ruling: &Ruling) -> Option<Value> {
    let Attempted::Call { agent: true, .. } = asked else { return None };
    Some(ruling.denial.as_ref().map_or(Value::Null, stockade_policy::Denial::for_agent))
}

/// What is decided, tested and explained, and not done yet.
fn note(asked: &Attempt) -> Option<&'static str> {
    match asked {
        Attempt::Host { .. } => Some("no part of this version opens connections: run refuses a policy with [[egress]]"),
        Attempt::Call { tool, .. } if tool.starts_with("mcp.") => {
            Some("no part of this version starts MCP servers: run refuses a policy with [[mcp]]")
        }
        Attempt::Call { tool, .. } if tool == MODEL_CHAT => {
            Some("no part of this version calls models: run refuses a policy with [[model]]")
        }
        _ => None,
    }
}

/// The line as it is written, in whichever file of the policy.
fn source_line(policy: &Path, ceiling: Option<&Path>, origin: &Origin) -> Option<String> {
    let named = |path: &Path| path.display().to_string() == origin.file;
    let text = match origin.file.strip_prefix("preset:") {
        Some(name) => preset(name)?.to_owned(),
        None if named(policy) => read(policy)?,
        None if origin.file == stockade_policy::CEILING => read(Path::new(stockade_policy::CEILING))?,
        None if ceiling.is_some_and(named) => read(ceiling?)?,
        // Its Cedar files have plain names, and lie beside it.
        None if !origin.file.contains('/') => read(&policy.parent()?.join(&origin.file))?,
        None => return None,
    };
    let line = usize::try_from(origin.line).ok()?.checked_sub(1)?;
    let line = text.lines().nth(line)?.trim_end();
    Some(if line.chars().count() > 200 { line.chars().take(199).chain(['…']).collect() } else { line.to_owned() })
}

fn read(path: &Path) -> Option<String> {
    let meta = fs::metadata(path).ok()?;
    if !meta.is_file() || meta.len() > MOST {
        return None;
    }
    fs::read_to_string(path).ok()
}

fn whole(explained: &Explained, asked: &Attempt) -> Value {
    let Explained { ruling, policy, .. } = explained;
    let rule = |rule: &Rule| {
        let id = (!rule.id.is_empty()).then_some(&rule.id);
        json!({ "id": id, "origin": rule.origin, "text": rule.line })
    };
    let checked = explained.checked.as_ref().map(|checked| match checked {
        Checked::Allowed { added, approved, failing } => {
            json!({ "status": "allowed", "added": added, "approved": approved, "failing_tests": failing })
        }
        Checked::Refused { added, reason } => json!({ "status": "refused", "added": added, "reason": reason }),
        Checked::NotChecked(why) => json!({ "status": "not_checked", "reason": why }),
    });
    let mut value = json!({
        "ok": true,
        "asked": asked.to_string(),
        "verdict": ruling.verdict,
        "layer": ruling.layer,
        "object": ruling.object,
        "rules": explained.rules.iter().map(rule).collect::<Vec<_>>(),
        "reason": ruling.reason,
        "fixable": ruling.denial.as_ref().map(|denial| denial.fixable),
        "fixes": ruling.denial.as_ref().map(|denial| &denial.fixes),
        "fix_checked": checked,
        "note": explained.note,
        "policy": { "id": policy.id, "digest": policy.digest },
    });
    if let (Some(map), Some(agent)) = (value.as_object_mut(), &explained.agent) {
        map.insert("agent".to_owned(), agent.clone());
    }
    value
}

fn show(page: &mut Page<'_>, explained: &Explained) -> io::Result<()> {
    let Explained { ruling, policy, .. } = explained;
    let (tone, word) = match ruling.verdict {
        Expect::Allow => (Tone::Good, "allow"),
        Expect::Ask => (Tone::Odd, "ask"),
        Expect::Deny => (Tone::Bad, "deny"),
    };
    page.put(tone, word).wrapped(SAID, Tone::Bold, &shortened(&explained.asked))?;
    page.dim("layer").to(SAID).text(ruling.layer).end()?;
    page.dim("object").wrapped(SAID, Tone::Plain, &ruling.object)?;
    if explained.rules.is_empty() {
        let none = if ruling.verdict == Expect::Deny { "none allows it" } else { "none: it needs no rule" };
        page.dim("rule").to(SAID).text(none).end()?;
    }
    for rule in &explained.rules {
        page.dim("rule").to(SAID).bold(&rule.id);
        if let Some(origin) = &rule.origin {
            page.text(if rule.id.is_empty() { "" } else { "  " }).text(&origin.to_string()).end()?;
            if let Some(line) = &rule.line {
                page.to(SAID).dim(&format!("{:>5} | ", origin.line)).text(line).end()?;
            }
        } else {
            page.end()?;
        }
    }
    page.dim("reason").wrapped(SAID, Tone::Plain, &ruling.reason)?;
    fixes(page, explained)?;
    if let Some(note) = explained.note {
        page.put(Tone::Odd, "note").wrapped(SAID, Tone::Plain, note)?;
    }
    page.dim("policy").to(SAID).text(&policy.id).text(" ").dim(&policy.digest).end()?;
    if let Some(agent) = &explained.agent {
        let told = if agent.is_null() { "nothing: the call is made".to_owned() } else { agent.to_string() };
        page.dim("agent").to(SAID).text(&told).end()?;
    }
    Ok(())
}

fn fixes(page: &mut Page<'_>, explained: &Explained) -> io::Result<()> {
    let Some(denial) = &explained.ruling.denial else { return Ok(()) };
    if !denial.fixable {
        return page.dim("fix").to(SAID).text("no policy can allow it").end();
    }
    if explained.ruling.verdict == Expect::Ask {
        let text = "have a person approve it while it waits: stockade approvals list";
        page.dim("fix").wrapped(SAID, Tone::Plain, text)?;
    }
    for fix in &denial.fixes {
        page.dim("fix").wrapped(SAID, Tone::Plain, &fix.to_string())?;
    }
    match &explained.checked {
        None => Ok(()),
        Some(Checked::Allowed { added, approved, failing }) => {
            let with = match (added.is_empty(), approved) {
                (true, _) => "with an approval",
                (false, true) => "with this change and an approval",
                (false, false) => "with this change",
            };
            page.put(Tone::Good, "checked").to(SAID).text(&format!("{with} it is allowed")).end()?;
            change(page, added)?;
            for origin in failing {
                page.put(Tone::Odd, "but")
                    .to(SAID)
                    .text(&format!("the policy's own test at {origin} fails with it"))
                    .end()?;
            }
            Ok(())
        }
        Some(Checked::Refused { added, reason }) => {
            page.put(Tone::Bad, "checked").wrapped(
                SAID,
                Tone::Plain,
                &format!("with this change alone it is not allowed: {reason}"),
            )?;
            change(page, added)
        }
        Some(Checked::NotChecked(why)) => {
            page.put(Tone::Odd, "checked").wrapped(SAID, Tone::Plain, &format!("not checked: {why}"))
        }
    }
}

fn change(page: &mut Page<'_>, added: &str) -> io::Result<()> {
    for line in added.lines().filter(|line| !line.is_empty()) {
        page.to(SAID).put(Tone::Dim, "    + ").text(line).end()?;
    }
    Ok(())
}

/// Arguments may be a file's content.
fn shortened(asked: &str) -> String {
    if asked.chars().count() <= 400 { asked.to_owned() } else { asked.chars().take(399).chain(['…']).collect() }
}
