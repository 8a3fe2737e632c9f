//! A [`Denial`] says everything anyone needs to know about a refusal, and is the same everywhere it shows.

use crate::bundle::Bundle;
use crate::model::{Origin, ToolLimit};
use serde::Serialize;
use serde_json::{Value, json};

/// A refusal, as the journal and the operator see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Denial {
    /// `policy`; `schema` if the arguments do not fit the tool; `limit`; `concurrent` if too many calls are under way;
    /// `mcp` if a server's tool is not the one that was approved; `approval` if nobody gave the one it needs.
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
    /// All changes that together would allow it, in one line for the operator.
    pub fix: Option<String>,
    /// The same changes, each for itself.
    pub fixes: Vec<Fix>,
    /// Why, without paths of the host and names of files.
    #[serde(skip)]
    pub(crate) agent_reason: String,
    /// Whether the agent may see the rule's id.
    #[serde(skip)]
    pub(crate) public_rule: bool,
    /// Whether a rule denies, and not only that none allows.
    #[serde(skip)]
    pub(crate) forbidden: bool,
}

/// One change of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fix {
    /// What is to be changed: `tools.allow`, `fs.read`, `[[exec]]`, or a rule's id.
    pub key: String,
    /// How.
    pub change: String,
    /// In which file.
    pub file: Option<String>,
    /// In which line, if what is to be changed is there already.
    pub line: Option<u32>,
}

impl std::fmt::Display for Fix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let file = self.file.as_deref().map(str::escape_debug);
        match (file, self.line) {
            (Some(file), Some(line)) => write!(f, "{} {} at {file}:{line}", self.change, self.key),
            (Some(file), None) if self.key == EXEC || self.key == EGRESS => write!(f, "{} to {file}", self.change),
            (Some(file), None) if self.change.starts_with("add ") => {
                write!(f, "{} to {} in {file}", self.change, self.key)
            }
            (Some(file), None) => write!(f, "{} {} in {file}", self.change, self.key),
            (None, _) => write!(f, "{} {}", self.change, self.key),
        }
    }
}

/// The key of a command's entry.
pub(crate) const EXEC: &str = "[[exec]]";
/// The key of a host's entry.
pub(crate) const EGRESS: &str = "[[egress]]";

impl Denial {
    /// One by no rule, and for good. A layer of the caller's own says why in words that an agent may see.
    #[must_use]
    pub fn of(layer: &'static str, object: String, reason: String, policy_digest: &str) -> Self {
        Self {
            layer,
            rule: None,
            origin: None,
            agent_reason: reason.clone(),
            reason,
            policy_digest: policy_digest.to_owned(),
            object,
            fixable: false,
            fix: None,
            fixes: Vec::new(),
            public_rule: false,
            forbidden: false,
        }
    }

    /// That of a call over `limits.calls`, on which no rule is asked.
    #[must_use]
    pub fn over_calls(bundle: &Bundle, object: String) -> Self {
        let raise = Fix {
            key: "limits.calls".to_owned(),
            change: "raise".to_owned(),
            file: Some(bundle.file.clone()),
            line: None,
        };
        Self::of("limit", object, Self::over_calls_reason(bundle.calls), &bundle.digest).fixed_by(vec![raise])
    }

    /// Why a call over `limits.calls` is refused, also where it is counted alone.
    #[must_use]
    pub fn over_calls_reason(calls: u64) -> String {
        format!("limits.calls: this run has had its {calls} calls")
    }

    /// That of a call over `limits.concurrent`.
    #[must_use]
    pub fn over_concurrent(bundle: &Bundle, tool: &str, limit: &ToolLimit) -> Self {
        let key = format!("limits.concurrent.{}", limit.tool);
        let reason =
            format!("{key}: {} calls are under way, and no more may be; ask again when one has ended", limit.most);
        let raise = Fix {
            key,
            change: "wait, or raise".to_owned(),
            file: Some(limit.origin.file.clone()),
            line: Some(limit.origin.line),
        };
        let mut denial = Self::of("concurrent", tool.to_owned(), reason, &bundle.digest).fixed_by(vec![raise]);
        denial.origin = Some(limit.origin.clone());
        denial
    }

    /// That of a call of a server's tool that is not the one that was approved. What the server says of it now is for the
    /// operator alone: it may be made to steer whoever reads it.
    #[must_use]
    pub fn drifted(bundle: &Bundle, tool: &str, server: &str, how: &str) -> Self {
        let approve = Fix {
            key: "[[mcp]] tools".to_owned(),
            change: format!("look at it with `stockade mcp pin FILE {server}`, and approve"),
            file: Some(bundle.file.clone()),
            line: None,
        };
        let mut denial = Self::of("mcp", tool.to_owned(), how.to_owned(), &bundle.digest).fixed_by(vec![approve]);
        "its server does not offer it as it was approved".clone_into(&mut denial.agent_reason);
        denial
    }

    /// The same, with what would allow it.
    #[must_use]
    pub fn fixed_by(mut self, fixes: Vec<Fix>) -> Self {
        self.fixable = true;
        let texts: Vec<String> = fixes.iter().map(ToString::to_string).collect();
        self.fix = (!texts.is_empty()).then(|| texts.join(" and "));
        self.fixes = fixes;
        self
    }

    /// The same, with what would allow it, if anything can.
    #[must_use]
    pub fn fixed_by_all(self, fixes: Option<Vec<Fix>>) -> Self {
        match fixes {
            Some(fixes) => self.fixed_by(fixes),
            None => self,
        }
    }

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

    /// The record, for a journal.
    #[must_use]
    pub fn record(&self) -> Value {
        // Strings, numbers and lists of them: serialising cannot fail.
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// Text without controls. Quotes stay as they are: an object may be JSON.
pub(crate) fn one_line(text: &str) -> String {
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
