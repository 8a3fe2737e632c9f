//! The context of a decision: a call's arguments, and what Stockade says of the moment.

use crate::host::{Endpoint, Method, UrlPath};
use crate::tool::ToolCall;
use cedar_policy::{Context, RestrictedExpression as Expr};

/// Seconds of a day and of an hour.
const DAY: i64 = 86_400;
const HOUR: i64 = 3_600;

/// When a call is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub unix: i64,
}

impl Now {
    /// Hour of the day in UTC, 0 to 23.
    #[must_use]
    pub fn hour(self) -> i64 {
        self.unix.rem_euclid(DAY) / HOUR
    }

    /// Minute of the hour, 0 to 59.
    #[must_use]
    pub fn minute(self) -> i64 {
        self.unix.rem_euclid(HOUR) / 60
    }

    /// Day of the week in UTC as in ISO 8601: 1 for Monday to 7 for Sunday.
    #[must_use]
    pub fn weekday(self) -> i64 {
        // 1970-01-01 was a Thursday.
        self.unix.div_euclid(DAY).rem_euclid(7).wrapping_add(3) % 7 + 1
    }
}

/// Calls of this run that were allowed before this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Calls {
    /// All.
    pub total: u64,
    /// Of the same tool.
    pub tool: u64,
    /// Of the same tool in the last 60 seconds.
    pub minute: u64,
    /// All in the last 60 seconds.
    pub minute_all: u64,
}

/// What every context has beside the arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Common<'a> {
    /// Whether a person approved exactly this call.
    pub approved: bool,
    /// When.
    pub now: Now,
    /// How many before.
    pub calls: Calls,
    /// Id of the policy's entry that the call matches.
    pub rule: Option<&'a str>,
}

fn text(s: &str) -> Expr {
    Expr::new_string(s.to_owned())
}

fn count(n: u64) -> Expr {
    Expr::new_long(i64::try_from(n).unwrap_or(i64::MAX))
}

type Field = (&'static str, Expr);

fn record(fields: impl IntoIterator<Item = Field>) -> Result<Expr, String> {
    let fields = fields.into_iter().map(|(key, value)| (key.to_owned(), value));
    Expr::new_record(fields).map_err(|e| e.to_string())
}

/// `context.args` of a built-in tool's call.
///
/// # Errors
/// Cedar's account, which no parsed call is known to bring about.
pub fn args(call: &ToolCall) -> Result<Expr, String> {
    record(match call {
        ToolCall::Read { path, offset, length } => {
            vec![("path", text(path.as_str())), ("offset", count(*offset)), ("length", count(*length))]
        }
        ToolCall::Write { path, mode, size } => {
            vec![("path", text(path.as_str())), ("mode", text(mode.name())), ("size", count(*size))]
        }
        ToolCall::List { path, limit } => vec![("path", text(path.as_str())), ("limit", count(*limit))],
        ToolCall::Stat { path } => vec![("path", text(path.as_str()))],
        ToolCall::Clock => Vec::new(),
        ToolCall::Random { length } => vec![("length", count(*length))],
        ToolCall::Exec { argv, timeout_ms } => {
            let argc = count(argv.len() as u64);
            let mut fields = vec![("argv", Expr::new_set(argv.iter().map(|a| text(a)))), ("argc", argc)];
            fields.extend(timeout_ms.map(|ms| ("timeout_ms", count(ms))));
            fields
        }
    })
}

fn of(endpoint: &Endpoint) -> [Field; 2] {
    [("host", text(&endpoint.host.to_string())), ("port", count(u64::from(endpoint.port)))]
}

/// `context.args` of `egress.http`; its resource is `Host::"ENDPOINT"`. The scheme is `http` or `https`.
///
/// # Errors
/// Cedar's account.
pub fn http_args(scheme: &str, to: &Endpoint, method: &Method, path: &UrlPath) -> Result<Expr, String> {
    let what = [("scheme", text(scheme)), ("method", text(method.as_str())), ("path", text(path.as_str()))];
    record(of(to).into_iter().chain(what))
}

/// `context.args` of `egress.tcp`; its resource is `Host::"ENDPOINT"`.
///
/// # Errors
/// Cedar's account.
pub fn tcp_args(to: &Endpoint) -> Result<Expr, String> {
    record(of(to))
}

/// `context.args` of `model.chat`; its resource is `Model::"MODEL"`. `max_tokens` is the most the answer may have,
/// if the request bounds it.
///
/// # Errors
/// Cedar's account.
pub fn chat_args(model: &str, max_tokens: Option<u64>) -> Result<Expr, String> {
    record([("model", text(model))].into_iter().chain(max_tokens.map(|n| ("max_tokens", count(n)))))
}

/// A whole context, for `args` of a built-in tool, of an effect, or of an MCP tool
/// ([`crate::mcp::CedarArgs::into_expression`]).
///
/// # Errors
/// Cedar's account.
pub fn context(args: Expr, common: &Common<'_>) -> Result<Context, String> {
    let (at, calls) = (common.now, common.calls);
    let now = record([
        ("unix", Expr::new_long(at.unix)),
        ("hour", Expr::new_long(at.hour())),
        ("minute", Expr::new_long(at.minute())),
        ("weekday", Expr::new_long(at.weekday())),
    ])?;
    let calls = record([
        ("total", count(calls.total)),
        ("tool", count(calls.tool)),
        ("minute", count(calls.minute)),
        ("minute_all", count(calls.minute_all)),
    ])?;
    let approved = Expr::new_bool(common.approved);
    let fields = [("args", args), ("approved", approved), ("now", now), ("calls", calls)];
    let fields = fields.into_iter().chain(common.rule.map(|id| ("rule", text(id))));
    Context::from_pairs(fields.map(|(key, value)| (key.to_owned(), value))).map_err(|e| e.to_string())
}
