//! TOML values as JSON, for the arguments of a test.

use serde_json::{Map, Number, Value};
use toml::de::DeValue;

/// The JSON value, or what JSON has no word for. The parser has bounded the depth.
pub(super) fn to_json(value: &DeValue<'_>) -> Result<Value, String> {
    Ok(match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(truth) => Value::Bool(*truth),
        DeValue::Integer(number) => {
            let parsed = i128::from_str_radix(number.as_str(), number.radix()).ok().and_then(Number::from_i128);
            Value::Number(parsed.ok_or("a number out of range")?)
        }
        DeValue::Float(number) => {
            let parsed = number.as_str().parse::<f64>().ok().and_then(Number::from_f64);
            Value::Number(parsed.ok_or("a number that JSON cannot write")?)
        }
        DeValue::Datetime(_) => return Err("a date, which JSON does not have; write a string".to_owned()),
        DeValue::Array(list) => Value::Array(list.iter().map(|v| to_json(v.get_ref())).collect::<Result<_, _>>()?),
        DeValue::Table(table) => {
            let pair = |(key, value): (&toml::Spanned<toml::de::DeString<'_>>, &toml::Spanned<DeValue<'_>>)| {
                Ok((key.get_ref().to_string(), to_json(value.get_ref())?))
            };
            Value::Object(table.iter().map(pair).collect::<Result<Map<_, _>, String>>()?)
        }
    })
}
