//! `[[test]]`: what must hold of a policy.

use super::super::reader::{Located, Section};
use super::super::values;
use crate::attempt::{Access, Attempt, Expect, Http};
use crate::diagnostic::Place;

/// One test.
#[derive(Debug, Clone)]
pub(crate) struct TestText {
    pub(crate) attempt: Attempt,
    pub(crate) expect: Expect,
    pub(crate) reason: Option<String>,
    pub(crate) place: Place,
}

/// Keys that go with each subject.
const GOES_WITH: [(&str, &[&str]); 4] = [
    ("call", &["args", "approved"]),
    ("path", &["access"]),
    ("host", &["method", "url_path", "scheme"]),
    ("syscall", &[]),
];

pub(super) fn test(section: &Section<'_>) -> Option<TestText> {
    let subjects: Vec<_> = GOES_WITH.iter().filter(|(key, _)| section.has(key)).collect();
    let [(subject, own)] = subjects.as_slice() else {
        let message = if subjects.is_empty() { "[[test]] asks nothing" } else { "[[test]] asks two things at once" };
        section.report(&section.place, message, "give it one of: call, path, host, syscall");
        return None;
    };
    let stray = GOES_WITH.iter().flat_map(|(_, keys)| *keys).find(|key| section.has(key) && !own.contains(key));
    if let Some(stray) = stray {
        section.report(&section.place_of(stray), format!("`test.{stray}` does not go with `{subject}`"), "remove it");
        return None;
    }
    let attempt = match *subject {
        "call" => {
            let approved = section.truth("approved").is_some_and(|approved| approved.value);
            Attempt::Call { tool: section.text("call")?.value, args: args(section)?, approved }
        }
        "path" => {
            let access = section.choice("access").and_then(|access| Access::from_name(access.value));
            Attempt::Path { path: section.text("path")?.value, access: access.unwrap_or(Access::Read) }
        }
        "host" => {
            let path = section.text("url_path").map_or_else(|| "/".to_owned(), |path| path.value);
            let tls = section.choice("scheme").is_none_or(|scheme| scheme.value == "https");
            let http = section.text("method").map(|method| Http { tls, method: method.value, path });
            Attempt::Host { endpoint: section.text("host")?.value, http }
        }
        _ => Attempt::Syscall { name: section.text("syscall")?.value, args: [0; 6] },
    };
    let expect = match section.choice("expect")?.value {
        "allow" => Expect::Allow,
        "ask" => Expect::Ask,
        _ => Expect::Deny,
    };
    let reason = section.text("reason").map(|reason| reason.value);
    Some(TestText { attempt, expect, reason, place: section.place.clone() })
}

fn args(section: &Section<'_>) -> Option<serde_json::Value> {
    let Some(Located { value, place }) = section.node("args") else {
        return Some(serde_json::Value::Object(serde_json::Map::new()));
    };
    match values::to_json(value) {
        Ok(value) => Some(value),
        Err(why) => {
            section.report(&place, format!("`test.args` has {why}"), "arguments are what a JSON object can hold");
            None
        }
    }
}
