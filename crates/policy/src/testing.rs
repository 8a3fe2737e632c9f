//! Tests of a policy, put to what decides.

use crate::diagnostic::{Diagnostic, Diagnostics, SourceText};
use crate::model::{Origin, Policy};
use crate::ruling::{Judge, Ruling};
use crate::source::{self, Trust};
use crate::text::file::{TestText, parse_tests};
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;

/// How one test ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TestResult {
    /// Where it is written.
    pub origin: Origin,
    /// What it asked.
    pub object: String,
    /// What must be decided.
    pub expect: crate::attempt::Expect,
    /// Whether it was.
    pub passed: bool,
    /// What was decided, and why.
    pub ruling: Ruling,
    /// The author's reason.
    pub reason: Option<String>,
}

/// Runs the policy's tests; what fails is found.
pub(crate) fn run(policy: &Policy, tests: &[TestText]) -> Result<Vec<Diagnostic>, Diagnostics> {
    let results = results(policy, tests)?;
    let failures = tests.iter().zip(&results).filter(|(_, result)| !result.passed);
    Ok(failures.map(|(test, result)| failure(test, result)).collect())
}

fn failure(test: &TestText, result: &TestResult) -> Diagnostic {
    let purpose = test.reason.as_ref().map(|r| format!(" ({r})")).unwrap_or_default();
    let got = match &result.ruling.denial {
        Some(denial) => denial.to_string(),
        None => result.ruling.reason.clone(),
    };
    let message = format!("test failed: expected {}{purpose}, but it is {got}", test.expect.name());
    Diagnostic::at(&test.place, message).help("change the rule or the test")
}

fn results(policy: &Policy, tests: &[TestText]) -> Result<Vec<TestResult>, Diagnostics> {
    if tests.is_empty() {
        return Ok(Vec::new());
    }
    let judge =
        Judge::new(policy).map_err(|e| Diagnostics::from(Diagnostic::of(&policy.bundle.file, e.to_string())))?;
    let one = |test: &TestText| {
        let ruling = judge.rule(&test.attempt);
        TestResult {
            origin: test.place.origin(),
            object: test.attempt.to_string(),
            expect: test.expect,
            passed: ruling.verdict == test.expect,
            ruling,
            reason: test.reason.clone(),
        }
    };
    Ok(tests.iter().map(one).collect())
}

/// Runs a file of tests against a policy, after the tests of its own.
///
/// # Errors
/// What is wrong with the file.
pub fn run_file(policy: &Policy, path: &Path) -> Result<Vec<TestResult>, Diagnostics> {
    let SourceText { name, text } = source::read(path, Trust::Inspect)?.source;
    let tests = parse_tests(&Arc::new(SourceText { name, text })).map_err(Diagnostics)?;
    results(policy, &tests)
}

/// Runs the tests that the policy carries.
///
/// # Errors
/// If the policy cannot be loaded as a shim loads it.
pub fn run_own(policy: &Policy) -> Result<Vec<TestResult>, Diagnostics> {
    results(policy, &policy.tests)
}
