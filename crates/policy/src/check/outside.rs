//! Where an agent and its secrets can go, and what of it this version enforces.

use super::{Findings, Severity};
use crate::host::AddressClass;
use crate::model::{Origin, Policy};

pub(super) fn check(policy: &Policy, found: &mut Findings) {
    for (what, origin) in unenforced(policy) {
        let message = format!("{what}: no layer of this version enforces it, so stockade run refuses the policy");
        let help = "keep it for check, test, explain and diff; take it out to run the policy";
        found.add(Severity::Warning, "not-enforced-yet", Some(&origin), message, help);
    }
    for rule in &policy.egress {
        if rule.host.to_string() == "*" {
            let message = format!("egress.{} reaches every name there is", rule.id);
            found.add(
                Severity::Warning,
                "wildcard-host",
                Some(&rule.origin),
                message,
                "name the hosts the agent needs",
            );
        }
        if rule.methods.is_none() && rule.scheme != crate::model::Scheme::Tcp {
            let message = format!("egress.{} allows every method", rule.id);
            found.add(
                Severity::Note,
                "wildcard-method",
                Some(&rule.origin),
                message,
                "name the methods the agent needs",
            );
        }
        let inner: Vec<&str> =
            rule.host.classes().into_iter().filter(|class| !class.is_global()).map(AddressClass::name).collect();
        if !inner.is_empty() {
            let message = format!("egress.{} reaches into {} addresses ({})", rule.id, inner.join(" and "), rule.host);
            let help =
                "such addresses are services of this host, its network or its cloud; name one only if it is meant";
            found.add(Severity::Warning, "inner-address", Some(&rule.origin), message, help);
        }
    }
    credentials(policy, found);
}

/// Where each secret can go.
fn credentials(policy: &Policy, found: &mut Findings) {
    for secret in &policy.secrets {
        let mut uses: Vec<String> = Vec::new();
        for rule in policy.egress.iter().filter(|rule| rule.credential.as_deref() == Some(secret.name.as_str())) {
            let methods = rule.methods.as_ref().map_or_else(
                || "every method".to_owned(),
                |methods| methods.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
            );
            uses.push(format!("{methods} {} (egress.{})", rule.host, rule.id));
            let writes = |method: &crate::host::Method| !matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS");
            if rule.methods.as_ref().is_none_or(|methods| methods.iter().any(writes)) {
                let message = format!("egress.{} can change things with the secret \"{}\"", rule.id, secret.name);
                let help = "allow only GET and HEAD if the agent only reads, or bind a secret that can do no more";
                found.add(Severity::Note, "credential-writes", Some(&rule.origin), message, help);
            }
            if rule.host.host().is_none() {
                let message =
                    format!("egress.{} sends the secret \"{}\" to many hosts ({})", rule.id, secret.name, rule.host);
                found.add(
                    Severity::Warning,
                    "credential-reach",
                    Some(&rule.origin),
                    message,
                    "name the host it is for",
                );
            }
        }
        for rule in policy.models.iter().filter(|rule| rule.credential.as_deref() == Some(secret.name.as_str())) {
            uses.push(format!("{} (model.{})", rule.url, rule.name));
        }
        let (code, message, help) = match uses.as_slice() {
            [] => ("unused-secret", format!("nothing uses the secret \"{}\"", secret.name), "remove it"),
            uses => (
                "credential-reach",
                format!("the secret \"{}\" goes to: {}", secret.name, uses.join("; ")),
                "see that each is meant",
            ),
        };
        found.add(Severity::Note, code, Some(&secret.origin), message, help);
    }
}

/// Everything a policy asks for that is decided here and enforced by no layer of this version, with its place.
#[must_use]
pub fn unenforced(policy: &Policy) -> Vec<(String, Origin)> {
    let egress = policy.egress.iter().map(|rule| (format!("egress.{}", rule.id), rule.origin.clone()));
    let models = policy.models.iter().map(|rule| (format!("model.{}", rule.name), rule.origin.clone()));
    let secrets = policy.secrets.iter().map(|rule| (format!("secret.{}", rule.name), rule.origin.clone()));
    let sockets = policy.sockets.iter().map(|rule| (format!("sockets.unix {}", rule.path), rule.origin.clone()));
    egress.chain(models).chain(secrets).chain(sockets).collect()
}
