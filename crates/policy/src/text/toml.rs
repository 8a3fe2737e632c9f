//! TOML to the tree.

use super::tree::{Key, MAX_DEPTH, Node, Table, Value};
use crate::diagnostic::{Diagnostic, Place, SourceText};
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Syntax errors reported for one file.
const MAX_SYNTAX: usize = 10;

pub(super) fn parse(source: &Arc<SourceText>) -> Result<Table, Vec<Diagnostic>> {
    let (top, errors) = DeTable::parse_recoverable(&source.text);
    if !errors.is_empty() {
        return Err(errors.iter().take(MAX_SYNTAX).fold(Vec::new(), |mut found, error| {
            let place = Place { source: Arc::clone(source), span: error.span().unwrap_or(0..0) };
            let next = syntax(&place, error.message());
            if found.last() != Some(&next) {
                found.push(next);
            }
            found
        }));
    }
    let deep = |span| {
        let place = Place { source: Arc::clone(source), span };
        vec![
            Diagnostic::at(&place, format!("nested deeper than {MAX_DEPTH}")).help("no key of the language needs that"),
        ]
    };
    table(top.get_ref(), 0).map_err(deep)
}

fn syntax(place: &Place, message: &str) -> Diagnostic {
    match (message, place.text()) {
        ("duplicate key", Some(key)) => {
            let key: String = key.escape_debug().take(64).collect();
            Diagnostic::at(place, format!("`{key}` is here for the second time")).help("keep one of them")
        }
        _ => Diagnostic::at(place, format!("not TOML: {message}"))
            .help("correct the syntax here; https://toml.io has the rules"),
    }
}

type Span = std::ops::Range<usize>;

fn table(table: &DeTable<'_>, depth: usize) -> Result<Table, Span> {
    let pair = |(key, value): (&Spanned<toml::de::DeString<'_>>, &Spanned<DeValue<'_>>)| {
        Ok((Key { name: key.get_ref().to_string(), span: key.span() }, node(value, depth + 1)?))
    };
    let mut pairs = table.iter().map(pair).collect::<Result<Vec<_>, Span>>()?;
    // The order of the text, not of the alphabet.
    pairs.sort_by_key(|(key, _)| key.span.start);
    Ok(Table(pairs))
}

fn node(value: &Spanned<DeValue<'_>>, depth: usize) -> Result<Node, Span> {
    let span = value.span();
    if depth > MAX_DEPTH {
        return Err(span);
    }
    let value = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Boolean(truth) => Value::Bool(*truth),
        DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Number(number.as_str().to_owned()),
        },
        DeValue::Float(number) => Value::Number(number.as_str().to_owned()),
        DeValue::Datetime(_) => Value::Other("date"),
        DeValue::Array(list) => Value::List(list.iter().map(|value| node(value, depth + 1)).collect::<Result<_, _>>()?),
        DeValue::Table(inner) => Value::Table(table(inner, depth)?),
    };
    Ok(Node { value, span })
}
