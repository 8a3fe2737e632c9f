//! `context` of a request; see `schema.cedarschema`.

use crate::engine::Record;
use crate::facts::{Facts, Moment};
use crate::tool::ToolCall;
use cedar_policy_core::ast::{Value, ValueKind};
use std::sync::Arc;

/// The context of a call but for its `argv`, see [`with_argv`]; `rule` is the id of the `[[exec]]` entry it matches.
pub(crate) fn context(call: &ToolCall, rule: Option<&str>, facts: &Facts) -> Arc<Record> {
    let mut context = Record::new();
    context.insert("args".into(), args(call));
    context.insert("approved".into(), Value::from(facts.approved));
    context.insert("calls".into(), calls(facts));
    context.insert("now".into(), now(facts.now));
    if let Some(rule) = rule {
        context.insert("rule".into(), Value::from(rule));
    }
    Arc::new(context)
}

/// The same context, whole.
pub(crate) fn with_argv(context: &Record, call: &ToolCall) -> Arc<Record> {
    let mut context = context.clone();
    if let (ToolCall::Exec { argv, .. }, Some(args)) = (call, context.get_mut("args"))
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

fn args(call: &ToolCall) -> Value {
    match call {
        ToolCall::Read { path, offset, length } => {
            record([("length", number(*length)), ("offset", number(*offset)), ("path", Value::from(path.as_str()))])
        }
        ToolCall::Write { path, mode, size } => {
            record([("mode", Value::from(mode.name())), ("path", Value::from(path.as_str())), ("size", number(*size))])
        }
        ToolCall::List { path, limit } => record([("limit", number(*limit)), ("path", Value::from(path.as_str()))]),
        ToolCall::Stat { path } => record([("path", Value::from(path.as_str()))]),
        ToolCall::Clock => record([]),
        ToolCall::Random { length } => record([("length", number(*length))]),
        ToolCall::Exec { argv, timeout_ms } => {
            let mut args = vec![("argc", number(argv.len() as u64))];
            args.extend(timeout_ms.map(|ms| ("timeout_ms", number(ms))));
            Value::record(args, None)
        }
    }
}
