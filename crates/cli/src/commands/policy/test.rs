//! `stockade policy test`.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use stockade_policy::testing::{TestResult, run_file, run_own};
use stockade_policy::{Diagnostics, Policy};

use super::load::{Loader, diagnostics};
use crate::args::policy::Test;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use crate::show::{Page, Tone};

#[derive(Serialize)]
struct Tested {
    file: String,
    /// Loaded, and every test passes.
    ok: bool,
    id: Option<String>,
    digest: Option<String>,
    tests: Vec<TestResult>,
    diagnostics: Vec<Value>,
    #[serde(skip)]
    refused: Vec<Diagnostics>,
}

#[derive(Serialize)]
struct Report {
    files: Vec<Tested>,
    passed: usize,
    failed: usize,
}

pub(super) fn test(args: &Test) -> Result<u8, Failure> {
    let loader = match Loader::new(&args.above, args.json) {
        Ok(loader) => loader.without_tests(),
        Err(ended) => return ended,
    };
    let files: Vec<Tested> = args.files.iter().map(|file| one(&loader, file, &args.tests)).collect();
    let all = || files.iter().flat_map(|file| &file.tests);
    let (passed, failed) = (all().filter(|test| test.passed).count(), all().filter(|test| !test.passed).count());
    let report = Report { passed, failed, files };
    if args.json {
        output::json(&report)?;
    } else {
        output::page(|page| show(page, &report))?;
    }
    Ok(match () {
        () if report.files.iter().any(|file| !file.refused.is_empty()) => exit::POLICY,
        () if failed > 0 => exit::FINDINGS,
        () => 0,
    })
}

fn one(loader: &Loader, path: &Path, more: &[PathBuf]) -> Tested {
    let file = path.display().to_string();
    let mut tested = Tested {
        file,
        ok: false,
        id: None,
        digest: None,
        tests: Vec::new(),
        diagnostics: Vec::new(),
        refused: Vec::new(),
    };
    match loader.load(path) {
        Ok(policy) => run(&mut tested, policy, more),
        Err(found) => tested.refused.push(found),
    }
    tested.diagnostics = tested.refused.iter().flat_map(diagnostics).collect();
    tested.ok = tested.refused.is_empty() && tested.tests.iter().all(|test| test.passed);
    tested
}

fn run(tested: &mut Tested, policy: Policy, more: &[PathBuf]) {
    let own = std::iter::once(run_own(&policy));
    for results in own.chain(more.iter().map(|file| run_file(&policy, file))) {
        match results {
            Ok(results) => tested.tests.extend(results),
            Err(found) => tested.refused.push(found),
        }
    }
    (tested.id, tested.digest) = (Some(policy.id), Some(policy.digest));
}

fn show(page: &mut Page<'_>, report: &Report) -> io::Result<()> {
    for file in &report.files {
        for found in &file.refused {
            page.rendered(&found.render(page.style.colour))?;
            page.blank()?;
        }
        let place = |test: &TestResult| test.origin.to_string();
        let column = file.tests.iter().map(|test| place(test).chars().count()).max().unwrap_or(0).min(40) + 8;
        for test in &file.tests {
            let (tone, word) = if test.passed { (Tone::Good, "pass") } else { (Tone::Bad, "FAIL") };
            page.put(tone, word).to(6).dim(&place(test)).to(column);
            page.text(&format!("{:<5}  {}", test.expect.name(), shortened(&test.object))).end()?;
            if !test.passed {
                failed(page, test)?;
            }
        }
        if file.tests.is_empty() && file.refused.is_empty() {
            page.put(Tone::Odd, "none").to(6).text(&file.file).text(" has no tests").end()?;
        }
    }
    let tone = if report.failed > 0 || report.files.iter().any(|file| !file.ok) { Tone::Bad } else { Tone::Good };
    let refused = report.files.iter().filter(|file| !file.refused.is_empty()).count();
    page.put(tone, &format!("{} passed, {} failed, {refused} refused", report.passed, report.failed)).end()
}

/// Arguments may be a file's content.
fn shortened(object: &str) -> String {
    if object.chars().count() <= 160 { object.to_owned() } else { object.chars().take(159).chain(['…']).collect() }
}

fn failed(page: &mut Page<'_>, test: &TestResult) -> io::Result<()> {
    if let Some(reason) = &test.reason {
        page.to(6).dim("meant").wrapped(14, Tone::Plain, reason)?;
    }
    let got = format!("{} ({}): {}", test.ruling.verdict.name(), test.ruling.layer, test.ruling.reason);
    page.to(6).dim("got").wrapped(14, Tone::Bad, &got)?;
    if let Some(origin) = &test.ruling.origin {
        page.to(6).dim("written").to(14).text(&origin.to_string()).end()?;
    }
    match test.ruling.denial.as_ref().and_then(|denial| denial.fix.as_ref()) {
        Some(fix) => page.to(6).dim("fix").wrapped(14, Tone::Plain, fix),
        None => Ok(()),
    }
}
