//! Values of the tree as JSON, for the arguments of a test.

use super::tree::{Node, Value as Tree};
use serde_json::{Map, Number, Value};

/// The JSON value, or what JSON has no word for. The reader has bounded the depth.
pub(super) fn to_json(node: &Node) -> Result<Value, String> {
    Ok(match &node.value {
        Tree::Text(text) => Value::String(text.clone()),
        Tree::Bool(truth) => Value::Bool(*truth),
        Tree::Integer(number) => Value::Number(Number::from_i128(*number).ok_or("a number out of range")?),
        Tree::Number(number) => {
            let parsed = number.parse::<f64>().ok().and_then(Number::from_f64);
            Value::Number(parsed.ok_or("a number that JSON cannot write")?)
        }
        Tree::Other("null") => Value::Null,
        Tree::Other(kind) => return Err(format!("a {kind}, which JSON does not have; write a string")),
        Tree::List(list) => Value::Array(list.iter().map(to_json).collect::<Result<_, _>>()?),
        Tree::Table(table) => {
            let pair = |(key, value): &(super::tree::Key, Node)| Ok((key.name.clone(), to_json(value)?));
            Value::Object(table.0.iter().map(pair).collect::<Result<Map<_, _>, String>>()?)
        }
    })
}
