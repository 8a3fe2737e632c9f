//! From a file's name to a [`Policy`]: open, parse, resolve, compile, and run its own tests.

use crate::bundle::{Bundle, Rule, RuleKind, VERSION};
use crate::cedar;
use crate::cedar_file;
use crate::decide::{Decider, Request};
use crate::diagnostic::{Diagnostic, Diagnostics, SourceText};
use crate::digest::digest;
use crate::extends::{Layer, layers};
use crate::model::{Fs, FsRule, Policy};
use crate::path::PathRule;
use crate::presets::shipped;
use crate::resolve::{Entry, Resolved, resolve};
use crate::rules::{generate, listed};
use crate::source::{self, Folder};
use crate::text::file::{TestText, parse};
use crate::verdict::Verdict;
use std::path::Path;
use std::sync::Arc;

/// Reads the policy at `path` and what it names, validates it, and runs its tests.
///
/// # Errors
/// Everything wrong with it, as far as one stage can tell: opening, parsing, resolving, Cedar, tests.
pub fn load(path: &Path) -> Result<Policy, Diagnostics> {
    let opened = source::read(path)?;
    build(opened.source, Some(&opened.folder))
}

/// As [`load`], for a text without files beside it (`tools.cedar` must be absent).
///
/// # Errors
/// As [`load`].
pub fn parse_policy(name: &str, text: &str) -> Result<Policy, Diagnostics> {
    build(SourceText { name: name.to_owned(), text: text.to_owned() }, None)
}

fn build(source: SourceText, folder: Option<&Folder>) -> Result<Policy, Diagnostics> {
    let name = source.name.clone();
    let main = parse(&Arc::new(source)).map_err(Diagnostics)?;
    let layers = layers(main, &shipped()).map_err(Diagnostics)?;
    let resolved = resolve(&layers, &name).map_err(Diagnostics)?;
    let rules = rules(&resolved, folder).map_err(Diagnostics)?;
    let bundle = bundle(&resolved, rules, &name);
    let tests: &[TestText] = layers.last().map_or(&[], |l: &Layer| &l.file.tests);
    let failures = run_tests(&bundle, tests)?;
    if !failures.is_empty() {
        return Err(Diagnostics(failures));
    }
    Ok(policy(resolved, bundle, tests.len()))
}

fn rules(resolved: &Resolved, folder: Option<&Folder>) -> Result<Vec<Rule>, Vec<Diagnostic>> {
    let mut rules = generate(resolved);
    if resolved.cedar.is_empty() {
        return Ok(rules);
    }
    let schema = cedar::schema().map_err(|e| vec![Diagnostic::of("schema", e.to_string())])?;
    let mut errors = Vec::new();
    for file in &resolved.cedar {
        let name = &file.value;
        let opened = match folder {
            Some(folder) => folder.read(name),
            None => Err(Diagnostic::at(
                &file.place,
                format!("\"{}\" cannot be read: this policy is not a file", name.escape_debug()),
            )
            .help("save the policy, with the Cedar file beside it")),
        };
        match opened.map_err(|e| vec![e]).and_then(|source| cedar_file::rules(source, &schema)) {
            Err(found) => errors.extend(found),
            Ok(found) => {
                for rule in found {
                    if let Some(twin) = rules.iter().find(|r| r.id == rule.id) {
                        let place = twin.origin.as_ref().map(|o| format!(" by the rule at {o}")).unwrap_or_default();
                        let message = format!("the id \"{}\" is taken{place}", rule.id);
                        let line = rule.origin.as_ref().map(|o| o.line).unwrap_or_default();
                        let at = rule.origin.as_ref().map_or_else(|| name.clone(), |o| o.file.clone());
                        errors.push(Diagnostic::of(format!("{at}:{line}"), message).help("give it another @id"));
                    } else {
                        rules.push(rule);
                    }
                }
            }
        }
    }
    if errors.is_empty() { Ok(rules) } else { Err(errors) }
}

fn bundle(resolved: &Resolved, rules: Vec<Rule>, file: &str) -> Bundle {
    let denied = |e: &Entry<PathRule>| match &e.value {
        PathRule::Workspace(path) => Some(path.clone()),
        PathRule::Host(_) => None,
    };
    let mut workspace_deny: Vec<String> = resolved.deny.iter().filter_map(denied).collect();
    workspace_deny.sort();
    workspace_deny.dedup();
    let generated = |rule: &Rule| rule.id.starts_with("exec.") || rule.id.contains("tools.allow[");
    Bundle {
        version: VERSION,
        policy: resolved.id.clone(),
        file: file.to_owned(),
        digest: digest(resolved, &rules),
        calls: resolved.limits.calls,
        output: resolved.limits.output,
        file_size: resolved.limits.file_size,
        journal: resolved.limits.journal,
        exec: resolved.exec.iter().map(|(rule, _)| rule.clone()).collect(),
        workspace_deny,
        listed: listed(resolved),
        user_permits: rules.iter().any(|r| r.kind == RuleKind::Allow && !generated(r)),
        rules,
    }
}

fn run_tests(bundle: &Bundle, tests: &[TestText]) -> Result<Vec<Diagnostic>, Diagnostics> {
    // Cedar files were validated when they were read, and what this crate generates is validated again by whoever
    // decides with it: a policy without tests need not wait for that here.
    if tests.is_empty() {
        return Ok(Vec::new());
    }
    let decider = Decider::new(bundle).map_err(|e| Diagnostics::from(Diagnostic::of(&bundle.file, e.to_string())))?;
    let mut failures = Vec::new();
    for test in tests {
        let verdict = decider.decide(&Request { tool: &test.call.value, args: &test.args });
        let (allowed, why) = match &verdict {
            Verdict::Allow(grant) => (true, grant.reason().to_owned()),
            Verdict::Deny(denial) => (false, denial.to_string()),
        };
        if allowed != test.allow {
            let want = if test.allow { "allow" } else { "deny" };
            let purpose = test.reason.as_ref().map(|r| format!(" ({r})")).unwrap_or_default();
            let message = format!("test failed: expected {want}{purpose}, but it is {why}");
            failures.push(Diagnostic::at(&test.call.place, message).help("change the rule or the test"));
        }
    }
    Ok(failures)
}

fn policy(resolved: Resolved, bundle: Bundle, tests: usize) -> Policy {
    let rules = |list: Vec<Entry<PathRule>>| {
        list.into_iter().map(|e| FsRule { origin: e.place.origin(), path: e.value }).collect()
    };
    Policy {
        id: resolved.id,
        digest: bundle.digest.clone(),
        require: resolved.require,
        limits: resolved.limits,
        fs: Fs {
            read: rules(resolved.read),
            execute: rules(resolved.execute),
            write: rules(resolved.write),
            deny: rules(resolved.deny),
        },
        env: resolved.env,
        env_pass: Vec::new(),
        syscalls: Vec::new(),
        exec: bundle.exec.clone(),
        tests,
        bundle,
    }
}
