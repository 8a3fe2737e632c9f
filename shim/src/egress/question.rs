//! A request or connection as egress asks about it, in the one spelling that is decided, recorded and dialled.

use serde_json::{Value, json};
use stockade_policy::host::{Endpoint, Method, UrlPath};
use stockade_policy::tool::{EGRESS_HTTP, EGRESS_TCP};
use stockade_wire::egress::ToShim;

/// Longest query that is kept whole in a record, in bytes.
const QUERY_KEPT: usize = 4096;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Where to.
    pub to: Endpoint,
    /// Of a request: TLS, method, path, query.
    pub request: Option<(bool, Method, UrlPath, String)>,
}

/// What has no spelling: the parts as they came, shortened, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unclear {
    /// `egress.http` or `egress.tcp`.
    pub tool: &'static str,
    /// For the record.
    pub args: Value,
    /// What does not fit.
    pub why: String,
}

impl Question {
    /// Reads a `Connect` or a `Request`; `None` for anything else.
    #[must_use]
    pub fn of(message: &ToShim) -> Option<Result<Self, Unclear>> {
        match message {
            ToShim::Connect { to, .. } => Some(match to.parse() {
                Ok(to) => Ok(Self { to, request: None }),
                Err(error) => Err(Unclear {
                    tool: EGRESS_TCP,
                    args: json!({ "to": short(to) }),
                    why: format!("not a host and port: {error}"),
                }),
            }),
            ToShim::Request { to, tls, host, method, path, query, .. } => {
                Some(request((to, host), *tls, method, path, query))
            }
            _ => None,
        }
    }

    /// `egress.http` or `egress.tcp`.
    #[must_use]
    pub fn tool(&self) -> &'static str {
        if self.request.is_some() { EGRESS_HTTP } else { EGRESS_TCP }
    }

    /// The arguments, for the record.
    #[must_use]
    pub fn args(&self) -> Value {
        let (host, port) = (self.to.host.to_string(), self.to.port);
        match &self.request {
            None => json!({ "host": host, "port": port }),
            Some((tls, method, path, query)) => {
                let scheme = if *tls { "https" } else { "http" };
                let mut args = json!({
                    "scheme": scheme, "host": host, "port": port, "method": method.as_str(), "path": path.as_str(),
                });
                if let (false, Some(args)) = (query.is_empty(), args.as_object_mut()) {
                    args.insert("query".to_owned(), short_to(query, QUERY_KEPT).into());
                }
                args
            }
        }
    }
}

fn request((to, host): (&str, &str), tls: bool, method: &str, path: &str, query: &str) -> Result<Question, Unclear> {
    let unclear = |why| Unclear {
        tool: EGRESS_HTTP,
        args: json!({ "to": short(to), "method": short(method), "path": short(path) }),
        why,
    };
    let to: Endpoint = to.parse().map_err(|error| unclear(format!("not a host and port: {error}")))?;
    // Two places name the host; a server would go by the one that was not decided on.
    if told_host(host, tls).as_ref() != Some(&to) {
        return Err(unclear(format!("its Host field is {:?}, and the request is to {to}", short(host))));
    }
    let method = Method::from_call(method).map_err(|error| unclear(format!("not a method: {error}")))?;
    let path = UrlPath::from_call(path).map_err(|error| unclear(format!("not a URL path: {error}")))?;
    Ok(Question { to, request: Some((tls, method, path, query.to_owned())) })
}

/// What a Host field names (RFC 9110, 7.2); without a port, that of the scheme.
fn told_host(field: &str, tls: bool) -> Option<Endpoint> {
    let bare = || format!("{field}:{}", if tls { 443 } else { 80 }).parse().ok();
    field.parse().ok().or_else(bare)
}

fn short(text: &str) -> String {
    short_to(text, 256)
}

fn short_to(text: &str, bytes: usize) -> String {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}
