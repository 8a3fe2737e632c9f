//! Tests of a policy, put to what decides.

use crate::decide::{Decider, Request};
use crate::facts::Facts;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::model::Policy;
use crate::attempt::{Attempt, Expect};
use crate::text::file::TestText;
use crate::verdict::Verdict;

/// Runs the tests; what fails is found.
pub(crate) fn run(policy: &Policy, tests: &[TestText]) -> Result<Vec<Diagnostic>, Diagnostics> {
    if tests.is_empty() {
        return Ok(Vec::new());
    }
    let decider = Decider::new(&policy.bundle).map_err(|e| Diagnostics::from(Diagnostic::of(&policy.bundle.file, e.to_string())))?;
    let mut failures = Vec::new();
    for test in tests {
        let Attempt::Call { tool, args, .. } = &test.attempt else { continue };
        let verdict = decider.decide(&Request { tool, args, facts: Facts::default() });
        let (got, why) = match &verdict {
            Verdict::Allow(grant) => (Expect::Allow, grant.reason().to_owned()),
            Verdict::Deny(denial) => (Expect::Deny, denial.to_string()),
            Verdict::Ask(question) => (Expect::Ask, question.to_string()),
        };
        if got != test.expect {
            let want = test.expect.name();
            let purpose = test.reason.as_ref().map(|r| format!(" ({r})")).unwrap_or_default();
            let message = format!("test failed: expected {want}{purpose}, but it is {why}");
            failures.push(Diagnostic::at(&test.place, message).help("change the rule or the test"));
        }
    }
    Ok(failures)
}
