//! What a decision is: a [`Grant`], which only the decider can make and which opens the next door, a
//! [`Denial`], or a [`Question`], which only an approval of the very same action turns into a grant.

use crate::denial::{Denial, one_line};
use crate::digest;
use crate::tool::ToolCall;
use serde_json::{Value, json};

/// Why a call that needs an approval is denied, in words that an agent may see.
pub const NOBODY_TO_ASK: &str = "the call needs an approval, and there is none";

/// A decision on one call.
#[must_use = "a verdict that nobody looks at decides nothing"]
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Do it, once, as [`Grant::call`] says it.
    Allow(Grant),
    /// Don't.
    Deny(Denial),
    /// Don't, unless somebody approves.
    Ask(Question),
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

/// A call that would be allowed if it were approved. It is used up by its answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Question {
    pub(crate) grant: Grant,
    pub(crate) hash: String,
    pub(crate) rules: Vec<String>,
    /// The rules, with file and line.
    pub(crate) reason: String,
}

impl Question {
    /// SHA-256 of the canonical action, hex: the policy, the tool, the object and every byte of the arguments.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Ids of the rules whose answer turns on the approval, sorted.
    #[must_use]
    pub fn rules(&self) -> &[String] {
        &self.rules
    }

    /// The rules, with file and line, for whoever is asked.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The call, for whoever is asked. To act on it takes the grant.
    #[must_use]
    pub fn call(&self) -> &ToolCall {
        &self.grant.call
    }

    /// The denial it comes to if it is not approved; `why` may be seen by the agent.
    #[must_use]
    pub fn refused(&self, why: &str) -> Denial {
        let mut denial =
            Denial::of("approval", self.grant.object(), why.to_owned(), &self.grant.policy_digest).fixed_by(Vec::new());
        denial.reason = format!("{why} (asked for by {})", self.reason);
        denial
    }
}

impl std::fmt::Display for Question {
    /// One paragraph for the operator.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "to be approved ({}): {}", self.reason, one_line(&self.grant.object()))
    }
}

/// Somebody's consent to one action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// The [`Question::hash`] of what was approved.
    pub hash: String,
}

/// First bytes of what an action's hash is of; another form gets another line.
const DOMAIN: &str = "stockade action v1\n";

/// The hash an approval is bound to. The arguments are those of the request: content that a typed call leaves
/// out is part of what is approved.
pub(crate) fn action_hash(policy_digest: &str, call: &ToolCall, args: &Value) -> String {
    let mut text = String::from(DOMAIN);
    digest::canonical(&json!([policy_digest, call.name(), call.object(), args]), &mut text);
    digest::hex(text.as_bytes())
}
