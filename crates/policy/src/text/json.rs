//! JSON (RFC 8259) to the tree: the same keys and values as in TOML, strictly, with no key twice.

use super::tree::{Key, MAX_DEPTH, Node, Table, Value};
use crate::diagnostic::{Diagnostic, Place, SourceText};
use jsonc_parser::ast;
use jsonc_parser::common::{Range, Ranged};
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use std::collections::HashSet;
use std::sync::Arc;

pub(super) fn parse(source: &Arc<SourceText>) -> Result<Table, Vec<Diagnostic>> {
    let strict = ParseOptions {
        allow_comments: false,
        allow_loose_object_property_names: false,
        allow_trailing_commas: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let place = |range: Range| Place { source: Arc::clone(source), span: range.start..range.end };
    let parsed = parse_to_ast(&source.text, &CollectOptions::default(), &strict).map_err(|error| {
        vec![
            Diagnostic::at(&place(error.range()), format!("not JSON: {}", error.kind()))
                .help("correct the syntax here"),
        ]
    })?;
    match parsed.value.as_ref().map(|value| node(value, 0)) {
        Some(Ok(Node { value: Value::Table(table), .. })) => Ok(table),
        Some(Err(Fault { range, message })) => Err(vec![Diagnostic::at(&place(range), message).help("remove it")]),
        Some(Ok(_)) | None => Err(vec![
            Diagnostic::of(&source.name, "a policy in JSON is one object").help("begin with { and end with }"),
        ]),
    }
}

struct Fault {
    range: Range,
    message: String,
}

fn node(value: &ast::Value<'_>, depth: usize) -> Result<Node, Fault> {
    let range = value.range();
    if depth > MAX_DEPTH {
        return Err(Fault { range, message: format!("nested deeper than {MAX_DEPTH}") });
    }
    let value = match value {
        ast::Value::StringLit(text) => Value::Text(text.value.to_string()),
        ast::Value::BooleanLit(truth) => Value::Bool(truth.value),
        ast::Value::NumberLit(number) => match number.value.parse() {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Number(number.value.to_owned()),
        },
        ast::Value::NullKeyword(_) => Value::Other("null"),
        ast::Value::Array(list) => {
            Value::List(list.elements.iter().map(|value| node(value, depth + 1)).collect::<Result<_, _>>()?)
        }
        ast::Value::Object(object) => {
            let mut pairs = Vec::with_capacity(object.properties.len());
            let mut seen = HashSet::new();
            for property in &object.properties {
                let (name, range) = (property.name.as_str().to_owned(), property.name.range());
                if !seen.insert(name.clone()) {
                    let shown: String = name.escape_debug().take(64).collect();
                    return Err(Fault { range, message: format!("`{shown}` is here for the second time") });
                }
                let key = Key { name, span: range.start..range.end };
                pairs.push((key, node(&property.value, depth + 1)?));
            }
            Value::Table(Table(pairs))
        }
    };
    Ok(Node { value, span: range.start..range.end })
}
