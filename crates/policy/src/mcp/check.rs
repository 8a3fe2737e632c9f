//! Arguments against their schema, in bounded time.

use super::json::{At, MAX_DEPTH, kind};
use super::shape::{Extra, Id, Node, Shape, types};
use serde_json::{Map, Number, Value};
use std::cmp::Ordering;
use std::collections::HashSet;

/// Pairs of schema and value one call may take; `anyOf` within `anyOf` multiplies.
const MAX_STEPS: usize = 200_000;
/// Bytes of a string that a pattern is matched against.
const MAX_MATCHED: usize = 256 * 1024;

/// Why arguments do not fit a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgError {
    /// JSON pointer (RFC 6901) into the arguments; empty for the whole.
    pub at: String,
    /// What is wrong.
    pub message: String,
}

impl ArgError {
    pub(super) fn at(at: &At<'_>, message: impl Into<String>) -> Self {
        Self { at: at.to_string(), message: message.into() }
    }
}

impl std::fmt::Display for ArgError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", if self.at.is_empty() { "arguments" } else { &self.at }, self.message)
    }
}

impl std::error::Error for ArgError {}

/// Checks a value against the whole shape.
pub(super) fn check(shape: &Shape, value: &Value) -> Result<(), ArgError> {
    let mut checker = Checker { shape, steps: MAX_STEPS };
    checker.bounds(value, &At::Root, 0)?;
    checker.node(shape.root, value, &At::Root, 0)
}

struct Checker<'a> {
    shape: &'a Shape,
    steps: usize,
}

/// A schema says no; or time is up, which no `not` and no other branch may turn into a yes.
fn spent(error: &ArgError) -> bool {
    error.message == SPENT
}

const SPENT: &str = "checking it takes too long; send less";

impl Checker<'_> {
    fn step(&mut self, cost: usize, at: &At<'_>, depth: usize) -> Result<(), ArgError> {
        match self.steps.checked_sub(cost) {
            Some(left) if depth <= 2 * MAX_DEPTH => {
                self.steps = left;
                Ok(())
            }
            _ => Err(ArgError::at(at, SPENT)),
        }
    }

    /// What holds for any arguments: depth, size, and numbers that every reader reads alike.
    fn bounds(&mut self, value: &Value, at: &At<'_>, depth: usize) -> Result<(), ArgError> {
        if depth > MAX_DEPTH {
            return Err(ArgError::at(at, format!("nested deeper than {MAX_DEPTH}")));
        }
        self.step(1, at, depth)?;
        match value {
            Value::Number(n) if n.is_u64() && n.as_i64().is_none() => {
                Err(ArgError::at(at, "an integer over 2^63 - 1; send it as a string if the tool takes one"))
            }
            Value::Array(list) => {
                list.iter().enumerate().try_for_each(|(n, item)| self.bounds(item, &At::Index(at, n), depth + 1))
            }
            Value::Object(map) => {
                map.iter().try_for_each(|(key, item)| self.bounds(item, &At::Key(at, key), depth + 1))
            }
            _ => Ok(()),
        }
    }

    fn node(&mut self, id: Id, value: &Value, at: &At<'_>, depth: usize) -> Result<(), ArgError> {
        self.step(1, at, depth)?;
        let shape = self.shape;
        let Some(node) = shape.get(id) else { return Err(ArgError::at(at, "its schema is not there")) };
        if node.never {
            return Err(ArgError::at(at, "nothing is allowed here"));
        }
        typed(node, value, at)?;
        self.listed(node, value, at, depth)?;
        match value {
            Value::String(text) => string(node, text, at)?,
            Value::Number(n) => number(node, n, at)?,
            Value::Array(list) => self.array(node, list, at, depth)?,
            Value::Object(map) => self.object(node, map, at, depth)?,
            Value::Null | Value::Bool(_) => {}
        }
        self.combined(node, value, at, depth)
    }

    fn listed(&mut self, node: &Node, value: &Value, at: &At<'_>, depth: usize) -> Result<(), ArgError> {
        if let Some(values) = &node.values {
            self.step(values.len(), at, depth)?;
            if !values.iter().any(|v| equal(v, value)) {
                let shown: Vec<String> = values.iter().take(8).map(ToString::to_string).collect();
                let more = if values.len() > 8 { ", …" } else { "" };
                let shown: String = format!("{}{more}", shown.join(", ")).chars().take(400).collect();
                return Err(ArgError::at(at, format!("must be one of {shown}")));
            }
        }
        match &node.constant {
            Some(want) if !equal(want, value) => {
                let shown: String = want.to_string().chars().take(200).collect();
                Err(ArgError::at(at, format!("must be {shown}")))
            }
            _ => Ok(()),
        }
    }

    fn array(&mut self, node: &Node, list: &[Value], at: &At<'_>, depth: usize) -> Result<(), ArgError> {
        within(list.len() as u64, node.items_count, "items", at)?;
        if node.unique {
            let mut seen = HashSet::new();
            if let Some(at_item) = list.iter().position(|item| !seen.insert(spelled(item))) {
                return Err(ArgError::at(&At::Index(at, at_item), "comes twice in an array that has each once"));
            }
        }
        for (n, item) in list.iter().enumerate() {
            if let Some(id) = node.first_items.get(n).copied().or(node.items) {
                self.node(id, item, &At::Index(at, n), depth + 1)?;
            }
        }
        Ok(())
    }

    fn object(&mut self, node: &Node, map: &Map<String, Value>, at: &At<'_>, depth: usize) -> Result<(), ArgError> {
        within(map.len() as u64, node.properties_count, "entries", at)?;
        self.step(node.required.len(), at, depth)?;
        if let Some(name) = node.required.iter().find(|name| !map.contains_key(*name)) {
            return Err(ArgError::at(&At::Key(at, name), "missing"));
        }
        for (key, item) in map {
            let at = At::Key(at, key);
            match (node.properties.get(key), node.extra) {
                (Some(id), _) => self.node(*id, item, &at, depth + 1)?,
                (None, Extra::As(id)) => self.node(id, item, &at, depth + 1)?,
                (None, Extra::Refused) => return Err(unknown(node.properties.keys(), &at)),
                (None, Extra::Allowed | Extra::Unsaid) => {}
            }
        }
        Ok(())
    }

    fn combined(&mut self, node: &Node, value: &Value, at: &At<'_>, depth: usize) -> Result<(), ArgError> {
        for id in node.target.iter().chain(&node.all) {
            self.node(*id, value, at, depth + 1)?;
        }
        if let Some(branches) = &node.any {
            self.count_fitting(branches, value, at, depth, true)?;
        }
        if let Some(branches) = &node.one
            && self.count_fitting(branches, value, at, depth, false)? > 1
        {
            return Err(ArgError::at(at, "fits more than one of the forms of which it may have one"));
        }
        match node.not {
            None => Ok(()),
            Some(id) => match self.node(id, value, at, depth + 1) {
                Ok(()) => Err(ArgError::at(at, "has a form that is excluded")),
                Err(error) if spent(&error) => Err(error),
                Err(_) => Ok(()),
            },
        }
    }

    /// How many of the branches take the value, at least one; with `first` it stops there.
    fn count_fitting(
        &mut self,
        branches: &[Id],
        value: &Value,
        at: &At<'_>,
        depth: usize,
        first: bool,
    ) -> Result<usize, ArgError> {
        let (mut fitting, mut why) = (0, None);
        for id in branches {
            match self.node(*id, value, at, depth + 1) {
                Ok(()) if first => return Ok(1),
                Ok(()) => fitting += 1,
                Err(error) if spent(&error) => return Err(error),
                // What is wrong deep inside of a branch says more than that its type is another.
                Err(error) => match &why {
                    Some(ArgError { at, .. }) if at.len() >= error.at.len() => {}
                    _ => why = Some(error),
                },
            }
        }
        match why {
            Some(error) if fitting == 0 => {
                Err(ArgError { message: format!("fits none of its forms; one says: {}", error.message), at: error.at })
            }
            _ => Ok(fitting),
        }
    }
}

/// An argument that its schema does not name.
pub(super) fn unknown<'k>(known: impl Iterator<Item = &'k String>, at: &At<'_>) -> ArgError {
    let known: Vec<&str> = known.take(32).map(String::as_str).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    ArgError::at(at, format!("unknown argument; known: {known}"))
}

fn typed(node: &Node, value: &Value, at: &At<'_>) -> Result<(), ArgError> {
    let Some(set) = node.types else { return Ok(()) };
    let fits = match value {
        Value::Null => types::NULL,
        Value::Bool(_) => types::BOOLEAN,
        // `1.0` is an integer to JSON Schema, and to Cedar nothing.
        Value::Number(n) if n.is_i64() => types::INTEGER | types::NUMBER,
        Value::Number(_) => types::NUMBER,
        Value::String(_) => types::STRING,
        Value::Array(_) => types::ARRAY,
        Value::Object(_) => types::OBJECT,
    };
    if set & fits != 0 {
        return Ok(());
    }
    let names = ["null", "boolean", "integer", "number", "string", "array", "object"];
    let want: Vec<&str> = names.into_iter().filter(|n| types::of(n).is_some_and(|bit| set & bit != 0)).collect();
    Err(ArgError::at(at, format!("must be of type {}, not {}", want.join(" or "), kind(value))))
}

fn within(found: u64, (least, most): (u64, u64), what: &str, at: &At<'_>) -> Result<(), ArgError> {
    if found < least {
        return Err(ArgError::at(at, format!("has {found} {what}; at least {least} are asked for")));
    }
    if found > most {
        return Err(ArgError::at(at, format!("has {found} {what}; at most {most} are allowed")));
    }
    Ok(())
}

fn string(node: &Node, text: &str, at: &At<'_>) -> Result<(), ArgError> {
    within(text.chars().count() as u64, node.length, "characters", at)?;
    match &node.pattern {
        Some(_) if text.len() > MAX_MATCHED => {
            Err(ArgError::at(at, format!("has {} bytes; a string with a pattern may have {MAX_MATCHED}", text.len())))
        }
        Some(pattern) if !pattern.is_match(text) => {
            let shown: String = pattern.as_str().chars().take(200).collect();
            Err(ArgError::at(at, format!("does not match `{}`", shown.escape_debug())))
        }
        _ => Ok(()),
    }
}

fn number(node: &Node, n: &Number, at: &At<'_>) -> Result<(), ArgError> {
    // Each bound with the orders of value to bound that it allows.
    let bounds: [(&Option<Number>, &[Ordering], &str); 4] = [
        (&node.minimum, &[Ordering::Equal, Ordering::Greater], "at least"),
        (&node.maximum, &[Ordering::Equal, Ordering::Less], "at most"),
        (&node.above, &[Ordering::Greater], "more than"),
        (&node.below, &[Ordering::Less], "less than"),
    ];
    for (bound, allowed, words) in bounds {
        if let Some(bound) = bound
            && !order(n, bound).is_some_and(|o| allowed.contains(&o))
        {
            return Err(ArgError::at(at, format!("must be {words} {bound}")));
        }
    }
    match node.multiple {
        Some(step) if n.as_i64().is_none_or(|n| n.checked_rem(step) != Some(0)) => {
            Err(ArgError::at(at, format!("must be a multiple of {step}")))
        }
        _ => Ok(()),
    }
}

/// Integers exactly, others as doubles.
fn order(a: &Number, b: &Number) -> Option<Ordering> {
    match (a.as_i128(), b.as_i128()) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
    }
}

/// Equality of JSON Schema: `1` and `1.0` are the same. It ends at the first difference, so that a large
/// argument costs no more than what it is compared with.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => order(a, b) == Some(Ordering::Equal),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        _ => a == b,
    }
}

/// A text that equal values share.
fn spelled(value: &Value) -> String {
    let mut out = String::new();
    super::pin::canonical(value, &mut out);
    out
}
