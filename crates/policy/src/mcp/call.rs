//! One call's arguments, as Cedar sees them.

use super::args_type::{ArgType, Fields};
use super::check::{ArgError, check, unknown};
use super::json::{At, kind};
use super::list::McpTool;
use cedar_policy_core::ast::Value as Cedar;
use serde_json::{Map, Value};

/// Arguments that fit their tool. What is [`McpTool::unmapped`] is not in them.
#[derive(Debug, Clone)]
pub struct CedarArgs(Cedar);

impl CedarArgs {
    /// The record for `context.args`; it conforms to the schema that was generated for the tool.
    pub(crate) fn into_value(self) -> Cedar {
        self.0
    }
}

/// Checks a call's arguments against the tool's `inputSchema`, and takes what policies see.
///
/// Stricter than JSON Schema in three ways: a name that a schema does not have is refused unless the schema
/// says `additionalProperties`, an integer has no fraction (`1.0`), and none is over 2^63 - 1. An argument that
/// is `null` where that is allowed looks to a policy as if it were not there.
///
/// # Errors
/// [`ArgError`] names the first argument at fault.
pub fn check_args(tool: &McpTool, args: &Value) -> Result<CedarArgs, ArgError> {
    check_schema(tool, args)?;
    match args {
        Value::Object(map) => record(&tool.fields, map, &At::Root).map(CedarArgs),
        other => Err(mismatch("an object", other, &At::Root)),
    }
}

/// Checks arguments against the tool's `inputSchema` alone.
pub(crate) fn check_schema(tool: &McpTool, args: &Value) -> Result<(), ArgError> {
    check(&tool.shape, args)
}

fn mismatch(want: &str, found: &Value, at: &At<'_>) -> ArgError {
    ArgError::at(at, format!("must be {want}, not {}", kind(found)))
}

fn expression(arg: &ArgType, value: &Value, at: &At<'_>) -> Result<Cedar, ArgError> {
    match (arg, value) {
        (ArgType::Bool, Value::Bool(b)) => Ok(Cedar::from(*b)),
        (ArgType::String, Value::String(s)) => Ok(Cedar::from(s.as_str())),
        (ArgType::Long, Value::Number(n)) => {
            n.as_i64().map(Cedar::from).ok_or_else(|| ArgError::at(at, "must be a whole number below 2^63"))
        }
        (ArgType::Set(items), Value::Array(list)) => {
            let items = list.iter().enumerate().map(|(n, item)| expression(items, item, &At::Index(at, n)));
            Ok(Cedar::set(items.collect::<Result<Vec<_>, _>>()?, None))
        }
        (ArgType::Record(fields), Value::Object(map)) => record(fields, map, at),
        (ArgType::Bool, other) => Err(mismatch("a boolean", other, at)),
        (ArgType::String, other) => Err(mismatch("a string", other, at)),
        (ArgType::Long, other) => Err(mismatch("a whole number", other, at)),
        (ArgType::Set(_), other) => Err(mismatch("an array", other, at)),
        (ArgType::Record(_), other) => Err(mismatch("an object", other, at)),
    }
}

fn record(known: &Fields, map: &Map<String, Value>, at: &At<'_>) -> Result<Cedar, ArgError> {
    let mut pairs = Vec::with_capacity(map.len());
    for (name, value) in map {
        let at = At::Key(at, name);
        match known.fields.get(name) {
            Some((_, false)) if value.is_null() => {}
            Some((arg, _)) => pairs.push((name.as_str(), expression(arg, value, &at)?)),
            None if known.open || known.hidden.contains(name) => {}
            None => return Err(unknown(known.fields.keys().chain(&known.hidden), &at)),
        }
    }
    if let Some(name) = known.fields.iter().find(|(name, (_, required))| *required && !map.contains_key(*name)) {
        return Err(ArgError::at(&At::Key(at, name.0), "missing"));
    }
    Ok(Cedar::record(pairs, None))
}
