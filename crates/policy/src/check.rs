//! A lint of a valid policy: what it allows by the handful, what can never matter, where secrets can go, and
//! what no test holds.

use crate::model::{Origin, Policy};
use serde::Serialize;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Probably not what was meant, or more than is needed.
    Warning,
    /// `stockade run` refuses the policy for it.
    Error,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A stable name: `wildcard-tools`.
    pub code: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What was found.
    pub message: String,
    /// Where.
    pub origin: Option<Origin>,
    /// What to do.
    pub help: String,
}

/// Everything found, by severity and place.
#[must_use]
pub fn check(_policy: &Policy) -> Vec<Finding> {
    Vec::new()
}
