//! `context` of a request; see the schema (`stockade policy schema --cedar`).

use crate::engine::Record;
use crate::facts::{Facts, Moment};
use crate::host::{Endpoint, Method, UrlPath};
use crate::tool::ToolCall;
use cedar_policy_core::ast::{Value, ValueKind};
use std::sync::Arc;

/// The context of a call with these arguments; `rule` is the id of the entry of the policy it matches.
pub(crate) fn context(args: Value, rule: Option<&str>, facts: &Facts) -> Arc<Record> {
    let mut context = Record::new();
    context.insert("args".into(), args);
    context.insert("approved".into(), Value::from(facts.approved));
    context.insert("calls".into(), calls(facts));
    context.insert("now".into(), now(facts.now));
    if let Some(rule) = rule {
        context.insert("rule".into(), Value::from(rule));
    }
    Arc::new(context)
}

/// The same context with the arguments of a command as a set, which is costly to make.
pub(crate) fn with_argv(context: &Record, argv: &[String]) -> Arc<Record> {
    let mut context = context.clone();
    if let Some(args) = context.get_mut("args")
        && let ValueKind::Record(fields) = &args.value
    {
        let mut fields = Record::clone(fields);
        fields.insert("argv".into(), Value::set(argv.iter().map(|a| Value::from(a.as_str())), None));
        *args = Value::record_arc(Arc::new(fields), None);
    }
    Arc::new(context)
}

/// The same context after an approval.
pub(crate) fn approved(context: &Record) -> Arc<Record> {
    let mut context = context.clone();
    context.insert("approved".into(), Value::from(true));
    Arc::new(context)
}

fn number(n: u64) -> Value {
    Value::from(i64::try_from(n).unwrap_or(i64::MAX))
}

fn record<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::record(fields, None)
}

fn calls(facts: &Facts) -> Value {
    let calls = &facts.calls;
    record([
        ("minute", number(calls.minute)),
        ("minute_all", number(calls.minute_all)),
        ("tool", number(calls.tool)),
        ("total", number(calls.total)),
    ])
}

fn now(unix: u64) -> Value {
    let Moment { hour, minute, weekday } = Moment::of(unix);
    record([("hour", number(hour)), ("minute", number(minute)), ("unix", number(unix)), ("weekday", number(weekday))])
}

/// Arguments of a built-in tool, but for a command's `argv`: see [`with_argv`].
pub(crate) fn tool_args(call: &ToolCall) -> Value {
    match call {
        ToolCall::Read { path, offset, length } => {
            record([("length", number(*length)), ("offset", number(*offset)), ("path", Value::from(path.as_str()))])
        }
        ToolCall::Write { path, mode, size } => {
            record([("mode", Value::from(mode.name())), ("path", Value::from(path.as_str())), ("size", number(*size))])
        }
        ToolCall::List { path, limit } => record([("limit", number(*limit)), ("path", Value::from(path.as_str()))]),
        ToolCall::Stat { path } => record([("path", Value::from(path.as_str()))]),
        // What a server's tool is asked is taken by the tool's own schema.
        ToolCall::Clock | ToolCall::Tools | ToolCall::Mcp { .. } => record([]),
        ToolCall::Random { length } => record([("length", number(*length))]),
        ToolCall::Exec { argv: words, timeout_ms } => {
            let mut args = vec![("argc", number(words.len() as u64))];
            args.extend(timeout_ms.map(|ms| ("timeout_ms", number(ms))));
            Value::record(args, None)
        }
    }
}

/// Arguments of an HTTP request.
pub(crate) fn http_args(scheme: &str, to: &Endpoint, method: &Method, path: &UrlPath) -> Value {
    record([
        ("host", Value::from(to.host.to_string())),
        ("method", Value::from(method.as_str())),
        ("path", Value::from(path.as_str())),
        ("port", number(to.port.into())),
        ("scheme", Value::from(scheme)),
    ])
}

/// Arguments of a TCP connection.
pub(crate) fn tcp_args(to: &Endpoint) -> Value {
    record([("host", Value::from(to.host.to_string())), ("port", number(to.port.into()))])
}

/// Arguments of a chat with a model.
pub(crate) fn chat_args(model: &str, max_tokens: Option<u64>) -> Value {
    let mut args = vec![("model", Value::from(model))];
    args.extend(max_tokens.map(|most| ("max_tokens", number(most))));
    Value::record(args, None)
}
