//! `context` of a request; see `schema.cedarschema`.

use crate::engine::Record;
use crate::facts::{Facts, Moment};
use crate::tool::ToolCall;
use cedar_policy_core::ast::Value;
use std::sync::Arc;

/// The context of a call; `rule` is the id of the `[[exec]]` entry it matches. The arguments of a command are a
/// set that is costly to make: `argv` says whether some rule looks at it.
pub(crate) fn context(call: &ToolCall, rule: Option<&str>, facts: &Facts, argv: bool) -> Arc<Record> {
    let mut context = Record::new();
    context.insert("args".into(), args(call, argv));
    context.insert("approved".into(), Value::from(facts.approved));
    context.insert("calls".into(), calls(facts));
    context.insert("now".into(), now(facts.now));
    if let Some(rule) = rule {
        context.insert("rule".into(), Value::from(rule));
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

fn args(call: &ToolCall, with_argv: bool) -> Value {
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
            if with_argv {
                args.push(("argv", Value::set(argv.iter().map(|a| Value::from(a.as_str())), None)));
            }
            args.extend(timeout_ms.map(|ms| ("timeout_ms", number(ms))));
            Value::record(args, None)
        }
    }
}
