//! What lies outside the cell: hosts, MCP servers, models, and the secrets that go there.

use super::super::reader::{Located, Section};
use super::names;
use crate::diagnostic::Place;
use crate::host::{Host, HostPattern, Method, UrlPath};
use crate::model::Scheme;
use crate::path::PathRule;

/// One `[[egress]]`.
#[derive(Debug, Clone)]
pub(crate) struct EgressText {
    pub(crate) id: Located<String>,
    pub(crate) host: Located<HostPattern>,
    pub(crate) scheme: Scheme,
    pub(crate) ports: Vec<u16>,
    /// `None` is any.
    pub(crate) methods: Option<Vec<Method>>,
    /// Empty is any.
    pub(crate) paths: Vec<UrlPath>,
    pub(crate) addresses: Vec<HostPattern>,
    pub(crate) credential: Option<Located<String>>,
    pub(crate) reason: Option<String>,
    pub(crate) place: Place,
}

/// One `[[egress]]` of a ceiling; empty lists are any.
#[derive(Debug, Clone)]
pub(crate) struct CeilingEgressText {
    pub(crate) host: Located<HostPattern>,
    pub(crate) ports: Vec<u16>,
    pub(crate) methods: Option<Vec<Method>>,
}

/// One `[[mcp]]`.
#[derive(Debug, Clone)]
pub(crate) struct McpText {
    pub(crate) name: Located<String>,
    pub(crate) command: Vec<String>,
    pub(crate) policy: Located<String>,
    pub(crate) tools: Located<String>,
    pub(crate) place: Place,
}

/// One `[[model]]`.
#[derive(Debug, Clone)]
pub(crate) struct ModelText {
    pub(crate) name: Located<String>,
    pub(crate) url: String,
    pub(crate) host: Host,
    pub(crate) models: Vec<String>,
    pub(crate) credential: Option<Located<String>>,
    pub(crate) tokens: u64,
    pub(crate) place: Place,
}

/// One `[[secret]]`.
#[derive(Debug, Clone)]
pub(crate) struct SecretText {
    pub(crate) name: Located<String>,
    pub(crate) from: String,
    pub(crate) hosts: Vec<HostPattern>,
    pub(crate) paths: Vec<UrlPath>,
    pub(crate) header: String,
    pub(crate) place: Place,
}

/// A value with rules of its own, whose error is what to do.
fn parsed<T, E: std::fmt::Display>(
    section: &Section<'_>,
    key: &str,
    what: &str,
    text: &Located<String>,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Option<T> {
    match parse(&text.value) {
        Ok(value) => Some(value),
        Err(why) => {
            section.report(&text.place, format!("`{}` is not {what}", section.full(key)), why.to_string());
            None
        }
    }
}

fn pattern(section: &Section<'_>, key: &str) -> Option<Located<HostPattern>> {
    let text = section.text(key)?;
    let value = parsed(section, key, "a host for a rule", &text, str::parse::<HostPattern>)?;
    Some(Located { value, place: text.place })
}

fn patterns(section: &Section<'_>, key: &str) -> Vec<HostPattern> {
    let one = |text: &Located<String>| parsed(section, key, "a host for a rule", text, str::parse::<HostPattern>);
    section.strings(key).iter().filter_map(one).collect()
}

/// Addresses and networks of them.
fn networks(section: &Section<'_>) -> Vec<HostPattern> {
    let found = patterns(section, "addresses");
    for name in found.iter().filter(|one| !one.is_network() && one.host().is_none_or(|host| host.ip().is_none())) {
        let message = format!("`{}` has {name}, which is no address", section.full("addresses"));
        section.report(&section.place_of("addresses"), message, "name networks, as in \"10.0.0.0/8\"");
    }
    found
}

fn url_paths(section: &Section<'_>) -> Vec<UrlPath> {
    let one = |text: &Located<String>| parsed(section, "paths", "a path for a rule", text, UrlPath::from_policy);
    section.strings("paths").iter().filter_map(one).collect()
}

/// Methods; `None` is any, which must be written.
fn methods(section: &Section<'_>) -> Option<Vec<Method>> {
    let texts = section.strings("methods");
    let any = texts.iter().any(|text| text.value == "*");
    (!any).then(|| {
        texts
            .iter()
            .filter_map(|text| parsed(section, "methods", "an HTTP method", text, Method::from_policy))
            .collect()
    })
}

pub(super) fn egress(section: &Section<'_>) -> Option<EgressText> {
    let id = names::name(section, "id");
    let host = pattern(section, "host");
    let scheme = match section.choice("scheme").map(|scheme| scheme.value) {
        Some("http") => Scheme::Http,
        Some("tcp") => Scheme::Tcp,
        _ => Scheme::Https,
    };
    let mut ports: Vec<u16> = section.ports("port").into_iter().map(|port| port.value).collect();
    if !section.has("port") {
        ports.extend(scheme.default_port());
    }
    let spoken = scheme != Scheme::Tcp;
    for key in ["methods", "paths", "credential"] {
        if !spoken && section.has(key) {
            let message = format!("`egress.{key}` cannot be enforced: layer shim sees no HTTP in scheme = \"tcp\"");
            section.report(&section.place_of(key), message, "remove it, or write scheme = \"https\"");
        }
    }
    let missing = |key: &str, help: &str| {
        section.report(&section.place, format!("[[egress]] has no `{key}`, and absent means deny"), help);
    };
    if spoken && !section.has("methods") {
        missing("methods", "add methods = [\"GET\"], or methods = [\"*\"] for all");
    }
    if ports.is_empty() && !section.has("port") {
        missing("port", "add port = 5432; only https and http have one of their own");
    }
    let (methods, paths) = (methods(section), url_paths(section));
    let addresses = networks(section);
    let credential = names::name(section, "credential");
    let reason = section.text("reason").map(|reason| reason.value);
    let place = section.place.clone();
    Some(EgressText { id: id?, host: host?, scheme, ports, methods, paths, addresses, credential, reason, place })
}

pub(super) fn ceiling_egress(section: &Section<'_>) -> Option<CeilingEgressText> {
    let ports = section.ports("port").into_iter().map(|port| port.value).collect();
    let methods = if section.has("methods") { methods(section) } else { None };
    Some(CeilingEgressText { host: pattern(section, "host")?, ports, methods })
}

pub(super) fn mcp(section: &Section<'_>) -> Option<McpText> {
    let name = names::name(section, "name").filter(|name| {
        let plain = !name.value.contains('.');
        if !plain {
            section.report(&name.place, "`mcp.name` has a dot", "its tools are mcp.NAME.TOOL: use - or _");
        }
        plain
    });
    let command = names::command(section, "command", "[\"/usr/bin/mcp-git\"]");
    let (policy, tools) = (section.text("policy"), section.text("tools"));
    Some(McpText { name: name?, command: command?, policy: policy?, tools: tools?, place: section.place.clone() })
}

pub(super) fn model(section: &Section<'_>) -> Option<ModelText> {
    let name = names::name(section, "name");
    let models: Vec<String> = section.strings("models").into_iter().map(|model| model.value).collect();
    let credential = names::name(section, "credential");
    let tokens = section.number("tokens").map(|tokens| tokens.value);
    if !models.is_empty() && !section.has("tokens") {
        section.report(
            &section.place,
            "[[model]] has no `tokens`",
            "absent does not mean unlimited: add tokens = 1_000_000",
        );
    }
    let text = section.text("url")?;
    let target = url::Url::parse(&text.value).ok().filter(|url| {
        url.scheme() == "https"
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    let target = target.and_then(|url| Some((url.host_str()?.parse::<Host>().ok()?, url.to_string())));
    let Some((host, canonical)) = target else {
        section.report(
            &text.place,
            "`model.url` is not a base URL",
            "write https://HOST/v1, without user, query and fragment",
        );
        return None;
    };
    if canonical.trim_end_matches('/') != text.value.trim_end_matches('/') {
        section.report(
            &text.place,
            "`model.url` is not in canonical form",
            format!("write \"{}\"", canonical.trim_end_matches('/')),
        );
        return None;
    }
    let place = section.place.clone();
    Some(ModelText { name: name?, url: text.value, host, models, credential, tokens: tokens.unwrap_or(0), place })
}

pub(super) fn secret(section: &Section<'_>) -> Option<SecretText> {
    let name = names::name(section, "name");
    let from = section.text("from").filter(|from| source(section, from));
    let hosts = patterns(section, "hosts");
    if section.has("hosts") && (hosts.is_empty() || hosts.iter().any(|host| host.to_string() == "*")) {
        let message = "`secret.hosts` binds the secret to no host";
        section.report(
            &section.place_of("hosts"),
            message,
            "name the hosts it may be sent to, as in [\"api.github.com\"]",
        );
    }
    let paths = url_paths(section);
    let header = section.text("header").filter(|header| {
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let good = (1..=64).contains(&header.value.len()) && header.value.chars().all(token);
        if !good {
            section.report(
                &header.place,
                "`secret.header` is not a field name (RFC 9110, 5.1)",
                "write \"Authorization\"",
            );
        }
        good
    });
    let header = header.map_or_else(|| "Authorization".to_owned(), |header| header.value);
    Some(SecretText { name: name?, from: from?.value, hosts, paths, header, place: section.place.clone() })
}

/// Where a secret comes from.
fn source(section: &Section<'_>, from: &Located<String>) -> bool {
    let absolute = |path: &str| matches!(path.parse::<PathRule>(), Ok(PathRule::Host(path)) if path != "/");
    let plain = |name: &str| {
        (1..=255).contains(&name.len())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
            && !name.starts_with('.')
    };
    let good = match from.value.split_once(':') {
        Some(("file" | "command", path)) => absolute(path),
        Some(("systemd", name)) => plain(name),
        _ => false,
    };
    if !good {
        let help = "write \"file:/etc/stockade/secrets/NAME\", \"systemd:NAME\" or \"command:/absolute/program\"; the secret itself never stands in a policy";
        section.report(&from.place, "`secret.from` names no source", help);
    }
    good
}
