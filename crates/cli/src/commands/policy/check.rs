//! `stockade policy check`.

use std::io;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use stockade_policy::check::{Finding, Severity, check as lint};
use stockade_policy::{Diagnostics, Policy};
use stockade_supervisor::fit::gaps;

use super::load::{Loader, diagnostics};
use crate::args::policy::{Check, FailOn};
use crate::exit;
use crate::failure::Failure;
use crate::output;
use crate::show::{Page, Tone};

/// What is said of one file.
#[derive(Serialize)]
struct Checked {
    file: String,
    ok: bool,
    id: Option<String>,
    digest: Option<String>,
    findings: Vec<Finding>,
    diagnostics: Vec<Value>,
    #[serde(skip)]
    refused: Option<Diagnostics>,
}

#[derive(Serialize)]
struct Report {
    files: Vec<Checked>,
}

pub(super) fn check(args: &Check) -> Result<u8, Failure> {
    let loader = match Loader::new(&args.above, args.json) {
        Ok(loader) => loader,
        Err(ended) => return ended,
    };
    let report = Report { files: args.files.iter().map(|file| one(&loader, file, args.host)).collect() };
    if args.json {
        output::json(&report)?;
    } else {
        output::page(|page| show(page, &report))?;
    }
    let least = match args.fail_on {
        FailOn::Note => Severity::Note,
        FailOn::Warning => Severity::Warning,
        FailOn::Error => Severity::Error,
    };
    let mut findings = report.files.iter().flat_map(|file| &file.findings);
    Ok(match () {
        () if report.files.iter().any(|file| !file.ok) => exit::POLICY,
        () if findings.any(|finding| finding.severity >= least) => exit::FINDINGS,
        () => 0,
    })
}

fn one(loader: &Loader, path: &Path, host: bool) -> Checked {
    let file = path.display().to_string();
    match loader.load(path) {
        Ok(policy) => Checked {
            file,
            ok: true,
            findings: findings(&policy, host),
            id: Some(policy.id),
            digest: Some(policy.digest),
            diagnostics: Vec::new(),
            refused: None,
        },
        Err(found) => Checked {
            file,
            ok: false,
            id: None,
            digest: None,
            findings: Vec::new(),
            diagnostics: diagnostics(&found),
            refused: Some(found),
        },
    }
}

fn findings(policy: &Policy, host: bool) -> Vec<Finding> {
    let mut found = lint(policy);
    if host {
        found.extend(gaps(policy).into_iter().map(|gap| Finding {
            code: gap.code,
            severity: Severity::Error,
            message: gap.message,
            origin: gap.origin,
            help: String::new(),
        }));
        // The host's own order: what keeps a run from beginning is first.
        found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    }
    found
}

fn word(severity: Severity) -> (Tone, &'static str) {
    match severity {
        Severity::Error => (Tone::Bad, "error"),
        Severity::Warning => (Tone::Odd, "warning"),
        Severity::Note => (Tone::Dim, "note"),
    }
}

fn show(page: &mut Page<'_>, report: &Report) -> io::Result<()> {
    for file in &report.files {
        if let Some(found) = &file.refused {
            page.rendered(&found.render(page.style.colour))?;
            page.blank()?;
        }
        for finding in &file.findings {
            let (tone, word) = word(finding.severity);
            match &finding.origin {
                Some(origin) => page.text(&format!("{origin}: ")),
                None => page.text(&format!("{}: ", file.file)),
            };
            page.put(tone, word).text(&format!("[{}]: {}", finding.code, finding.message)).end()?;
            if !finding.help.is_empty() {
                page.to(4).dim(&format!("help: {}", finding.help)).end()?;
            }
        }
    }
    summary(page, report)
}

fn summary(page: &mut Page<'_>, report: &Report) -> io::Result<()> {
    let files = report.files.len();
    let refused = report.files.iter().filter(|file| !file.ok).count();
    let all = || report.files.iter().flat_map(|file| &file.findings);
    let of = |severity| all().filter(|finding| finding.severity == severity).count();
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    // Each thing for which a file does not load is an error.
    let refusals: usize = report.files.iter().map(|file| file.diagnostics.len()).sum();
    let (errors, warnings, notes) = (of(Severity::Error) + refusals, of(Severity::Warning), of(Severity::Note));
    let tone = if refused + errors > 0 { Tone::Bad } else { Tone::Good };
    page.put(tone, &format!("{}, {refused} refused", count(files, "file")));
    page.text(&format!(": {}, {}, {}", count(errors, "error"), count(warnings, "warning"), count(notes, "note"))).end()
}
