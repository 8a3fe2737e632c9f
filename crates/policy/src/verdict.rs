//! What a decision is: a [`Grant`], which only the decider can make and which opens the next door, or
//! a [`Denial`], which says everything anyone needs to know about a refusal.

use crate::model::Origin;
use crate::tool::ToolCall;
use serde::Serialize;
use serde_json::{Value, json};

/// A decision on one call.
#[must_use = "a verdict that nobody looks at decides nothing"]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Do it, once, as [`Grant::call`] says it.
    Allow(Grant),
    /// Don't.
    Deny(Denial),
}

/// Leave for one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub(crate) call: ToolCall,
    pub(crate) rules: Vec<String>,
    pub(crate) exec: Option<String>,
    pub(crate) reason: String,
    pub(crate) policy_digest: String,
}

impl Grant {
    /// The call that was decided, canonical: act on this, not on the request.
    #[must_use]
    pub fn call(&self) -> &ToolCall {
        &self.call
    }

    /// Ids of the rules that allow it, sorted.
    #[must_use]
    pub fn rules(&self) -> &[String] {
        &self.rules
    }

    /// Id of the `[[exec]]` entry, for an `exec` call.
    #[must_use]
    pub fn exec(&self) -> Option<&str> {
        self.exec.as_deref()
    }

    /// The rules, with file and line.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The object in its one spelling.
    #[must_use]
    pub fn object(&self) -> String {
        self.call.object()
    }

    /// SHA-256 of the resolved policy, hex.
    #[must_use]
    pub fn policy_digest(&self) -> &str {
        &self.policy_digest
    }
}

/// A refusal, as the journal and the operator see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Denial {
    /// `policy`, or `schema` if the arguments do not fit the tool.
    pub layer: &'static str,
    /// The rule that denies; `None` means that no rule allows.
    pub rule: Option<String>,
    /// Where the rule is written.
    pub origin: Option<Origin>,
    /// Why, for the operator; may name files.
    pub reason: String,
    /// SHA-256 of the resolved policy, hex.
    pub policy_digest: String,
    /// The object in its one spelling.
    pub object: String,
    /// Whether any policy could allow it.
    pub fixable: bool,
    /// The smallest change that would, for the operator.
    pub fix: Option<String>,
    /// Why, without paths of the host and names of files.
    #[serde(skip)]
    pub(crate) agent_reason: String,
    /// Whether the agent may see the rule's id.
    #[serde(skip)]
    pub(crate) public_rule: bool,
}

impl Denial {
    /// What the agent is told: no path of the host, no file name.
    #[must_use]
    pub fn for_agent(&self) -> Value {
        let rule = self.rule.as_deref().filter(|_| self.public_rule);
        json!({
            "error": "denied",
            "layer": self.layer,
            "rule": rule,
            "reason": self.agent_reason,
            "object": self.object,
            "policy": self.policy_digest,
            "fixable": self.fixable,
        })
    }
}

/// Text without controls. Quotes stay as they are: an object may be JSON.
fn one_line(text: &str) -> String {
    let visible = |c: char| if matches!(c, '"' | '\'' | '\\') { c.to_string() } else { c.escape_debug().to_string() };
    text.chars().map(visible).collect()
}

impl std::fmt::Display for Denial {
    /// One paragraph for the operator.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rule = self.rule.as_deref().unwrap_or("no rule");
        write!(f, "denied by {} ({rule}", self.layer)?;
        if let Some(origin) = &self.origin {
            write!(f, ", {origin}")?;
        }
        write!(f, "): {}: {}", one_line(&self.object), self.reason)?;
        match &self.fix {
            Some(fix) => write!(f, "; to allow it, {fix}"),
            None if self.fixable => Ok(()),
            None => f.write_str("; no policy can allow it"),
        }
    }
}
