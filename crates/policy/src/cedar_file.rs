//! The author's own Cedar files: parsed, validated strictly, and checked for what can never match.

use crate::bundle::RuleKind;
use crate::cedar_bounds::{Excess, MAX_NESTING, MAX_TOKENS, excess};
use crate::diagnostic::{Diagnostic, Place, SourceText};
use crate::host::Endpoint;
use crate::path::PathRule;
use crate::tool::Tool;
use crate::written::Rule;
use cedar_policy::{Effect, EntityUid, Policy, PolicySet, Schema, ValidationMode, Validator};
use miette::Diagnostic as Labelled;
use std::sync::Arc;

/// Policies that all files together may have.
pub(crate) const MAX_POLICIES: usize = 1024;

/// What there is for a policy to name.
#[derive(Debug, Clone)]
pub(crate) struct Known<'p> {
    /// The policy's id, which is its agent's.
    pub(crate) agent: &'p str,
    /// Models that an entry serves; `*` is any.
    pub(crate) models: Vec<&'p str>,
}

/// Reads one file; every policy becomes a rule.
pub(crate) fn rules(source: SourceText, schema: &Schema, known: &Known<'_>) -> Result<Vec<Rule>, Vec<Diagnostic>> {
    let source = Arc::new(source);
    if let Some((at, excess)) = excess(&source.text) {
        let message = match excess {
            Excess::Nesting => format!("brackets are nested deeper than {MAX_NESTING}"),
            Excess::Tokens => format!("this policy has more than {MAX_TOKENS} words and symbols"),
        };
        return Err(vec![Diagnostic::at(&place(&source, at, 1), message).help("write several policies")]);
    }
    let set: PolicySet = match source.text.parse() {
        Ok(set) => set,
        Err(errors) => {
            let errors: cedar_policy::ParseErrors = errors;
            return Err(errors.iter().map(|e| finding(&source, e, "Cedar syntax")).collect());
        }
    };
    if set.num_of_templates() > 0 || set.num_of_policies() > MAX_POLICIES {
        let message = format!("at most {MAX_POLICIES} policies, and no templates (?principal, ?resource)");
        return Err(vec![Diagnostic::of(&source.name, message).help("write each policy out")]);
    }
    let result = Validator::new(schema.clone()).validate(&set, ValidationMode::Strict);
    let mut errors: Vec<Diagnostic> =
        result.validation_errors().map(|e| finding(&source, e, "Cedar validation")).collect();
    // A warning is a policy that can never apply or that reads as something else: both fail open in a forbid.
    errors.extend(result.validation_warnings().map(|w| finding(&source, w, "Cedar validation")));
    let mut policies: Vec<(usize, &Policy)> = set.policies().map(|p| (offset(p), p)).collect();
    policies.sort_by_key(|(offset, _)| *offset);
    let mut rules = Vec::new();
    for (number, (offset, policy)) in policies.into_iter().enumerate() {
        let place = place(&source, offset, 1);
        for literal in policy.entity_literals() {
            errors.extend(
                unmatched(&literal, known)
                    .map(|help| Diagnostic::at(&place, format!("`{literal}` can never be part of a call")).help(help)),
            );
        }
        match rule(&source, &place, number, policy) {
            Ok(rule) => rules.push(rule),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(rules) } else { Err(errors) }
}

fn rule(source: &SourceText, place: &Place, number: usize, policy: &Policy) -> Result<Rule, Diagnostic> {
    let annotated = policy.annotation("id");
    let taken = ["tools.", "fs.", "exec.", "egress.", "limits.", "ask.", "gate.", "ceiling.", "preset:"];
    let plain = |id: &str| {
        id.len() <= 64
            && id.starts_with(|c: char| c.is_ascii_alphanumeric())
            && id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    if let Some(id) = annotated.filter(|id| !plain(id) || taken.iter().any(|t| id.starts_with(t))) {
        let message = format!("@id(\"{}\") is not a name for a rule", id.escape_debug());
        let help = format!("use at most 64 of a-z A-Z 0-9 - _ . and do not begin with {}", taken.join(" "));
        return Err(Diagnostic::at(place, message).help(help));
    }
    let Some(cedar) = policy.to_cedar() else {
        return Err(Diagnostic::at(place, "not a static policy").help("write it out, without a template"));
    };
    let kind = if policy.effect() == Effect::Permit { RuleKind::Allow } else { RuleKind::Deny };
    Ok(Rule {
        id: annotated.map_or_else(|| format!("{}#{number}", source.name), str::to_owned),
        kind,
        cedar,
        origin: Some(place.origin()),
        reason: policy.annotation("reason").map(str::to_owned),
        public: annotated.is_some(),
        author: true,
    })
}

/// Why an entity can never be principal, action or resource of a call.
fn unmatched(literal: &EntityUid, known: &Known<'_>) -> Option<String> {
    let id: &str = literal.id().as_ref();
    match literal.type_name().to_string().as_str() {
        "Path" => match id.parse::<PathRule>() {
            Ok(PathRule::Workspace(_)) => None,
            Ok(PathRule::Host(_)) => Some("a Path is beneath @workspace, as in Path::\"@workspace/docs\"".to_owned()),
            Err(e) => Some(e.to_string()),
        },
        "Program" => match id.parse::<PathRule>() {
            Ok(PathRule::Host(_)) => None,
            _ => Some("a Program is an absolute, canonical path, as in Program::\"/usr/bin/git\"".to_owned()),
        },
        "Host" => match id.parse::<Endpoint>() {
            Ok(endpoint) if endpoint.to_string() == id => None,
            Ok(endpoint) => Some(format!("a Host is in canonical form; write Host::\"{endpoint}\"")),
            Err(e) => Some(format!("a Host is a host and a port, as in Host::\"api.github.com:443\": {e}")),
        },
        "Agent" if id != known.agent => {
            Some(format!("the agent of this policy is Agent::\"{}\", by the policy's id", known.agent))
        }
        "Model" if !known.models.iter().any(|model| *model == "*" || *model == id) => {
            Some("no [[model]] serves it".to_owned())
        }
        "Tool" if Tool::from_name(id).is_none() => Some("there is no such tool".to_owned()),
        _ => None,
    }
}

fn offset(policy: &Policy) -> usize {
    policy.as_ref().loc().map_or(0, |loc| loc.span.offset())
}

fn place(source: &Arc<SourceText>, start: usize, length: usize) -> Place {
    Place { source: Arc::clone(source), span: start..start.saturating_add(length) }
}

fn finding(source: &Arc<SourceText>, error: &(impl Labelled + ?Sized), what: &str) -> Diagnostic {
    let label = error.labels().and_then(|mut labels| labels.next());
    let message = error.to_string();
    // The place says which policy; Cedar's own number for it says nothing.
    let message = match message.strip_prefix("for policy `").and_then(|rest| rest.split_once("`, ")) {
        Some((_, rest)) => format!("{what}: {rest}"),
        None => format!("{what}: {message}"),
    };
    let found = match &label {
        Some(label) => Diagnostic::at(&place(source, label.offset(), label.len()), message),
        None => Diagnostic::of(&source.name, message),
    };
    let marked = label.and_then(|l| l.label().map(str::to_owned));
    match error.help().map(|h| h.to_string()).or(marked) {
        Some(help) => found.help(help),
        None => found.help("the types of calls: stockade policy schema --cedar"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_no_call_has_is_told() {
        let known = Known { agent: "t", models: vec!["small"] };
        let help = |text: &str| unmatched(&text.parse().unwrap(), &known);
        assert_eq!(help("Host::\"api.github.com:443\""), None);
        assert_eq!(help("Host::\"[::1]:443\""), None);
        let found = help("Host::\"API.github.com.:443\"").unwrap();
        assert_eq!(found, "a Host is in canonical form; write Host::\"api.github.com:443\"");
        assert!(help("Host::\"0x7f.1:80\"").unwrap().contains("write Host::\"127.0.0.1:80\""));
        assert!(help("Host::\"api.github.com\"").unwrap().contains("a host and a port"));
    }
}
