//! A JSON Schema (2020-12, the keywords tools use) made ready to check values.

use super::json::{At, kind};
use super::keywords::{self, Duty};
use super::list::ReadError;
use regex::{Regex, RegexBuilder};
use serde_json::{Map, Number, Value};
use std::collections::BTreeMap;

/// Schemas one tool may have within its own.
const MAX_NODES: usize = 4096;
/// Values of one `enum`.
const MAX_ENUM: usize = 4096;
/// Patterns of one tool, and bytes of one.
const MAX_PATTERNS: usize = 64;
const MAX_PATTERN: usize = 1024;
/// Bytes of one compiled pattern; matching is linear in this and in the string.
const PATTERN_SIZE: usize = 256 * 1024;
/// Remarks one tool may collect; what is over it is one remark that says so.
const MAX_REMARKS: usize = 128;
/// Bytes of a property's name.
const MAX_KEY: usize = 128;

/// A part of a schema or of arguments, by JSON pointer, and what is so about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Remark {
    /// JSON pointer (RFC 6901); empty for the whole. In arguments `*` stands for any key or index.
    pub at: String,
    /// Why.
    pub why: String,
}

impl std::fmt::Display for Remark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", if self.at.is_empty() { "the whole" } else { &self.at }, self.why)
    }
}

pub(super) type Id = usize;

/// Types of JSON, one bit each.
pub(super) mod types {
    pub(crate) const NULL: u8 = 1;
    pub(crate) const BOOLEAN: u8 = 2;
    pub(crate) const INTEGER: u8 = 4;
    pub(crate) const NUMBER: u8 = 8;
    pub(crate) const STRING: u8 = 16;
    pub(crate) const ARRAY: u8 = 32;
    pub(crate) const OBJECT: u8 = 64;

    pub(crate) fn of(name: &str) -> Option<u8> {
        Some(match name {
            "null" => NULL,
            "boolean" => BOOLEAN,
            "integer" => INTEGER,
            "number" => NUMBER,
            "string" => STRING,
            "array" => ARRAY,
            "object" => OBJECT,
            _ => return None,
        })
    }
}

/// What a schema says of keys that `properties` does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extra {
    /// Nothing is said.
    Unsaid,
    Refused,
    Allowed,
    As(Id),
}

/// One schema.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// `false` as a schema.
    pub(super) never: bool,
    pub(super) types: Option<u8>,
    pub(super) target: Option<Id>,
    pub(super) values: Option<Vec<Value>>,
    pub(super) constant: Option<Value>,
    pub(super) properties: BTreeMap<String, Id>,
    pub(super) required: Vec<String>,
    pub(super) extra: Extra,
    pub(super) properties_count: (u64, u64),
    pub(super) items: Option<Id>,
    pub(super) first_items: Vec<Id>,
    pub(super) items_count: (u64, u64),
    pub(super) unique: bool,
    pub(super) length: (u64, u64),
    pub(super) pattern: Option<Regex>,
    pub(super) minimum: Option<Number>,
    pub(super) maximum: Option<Number>,
    pub(super) above: Option<Number>,
    pub(super) below: Option<Number>,
    pub(super) multiple: Option<i64>,
    pub(super) all: Vec<Id>,
    pub(super) any: Option<Vec<Id>>,
    pub(super) one: Option<Vec<Id>>,
    pub(super) not: Option<Id>,
}

const ANY: (u64, u64) = (0, u64::MAX);

impl Node {
    fn new() -> Self {
        Self {
            never: false,
            types: None,
            target: None,
            values: None,
            constant: None,
            properties: BTreeMap::new(),
            required: Vec::new(),
            extra: Extra::Unsaid,
            properties_count: ANY,
            items: None,
            first_items: Vec::new(),
            items_count: ANY,
            unique: false,
            length: ANY,
            pattern: None,
            minimum: None,
            maximum: None,
            above: None,
            below: None,
            multiple: None,
            all: Vec::new(),
            any: None,
            one: None,
            not: None,
        }
    }

    /// Whether other schemas have a say in what it takes.
    pub(super) fn is_combined(&self) -> bool {
        self.target.is_some() || !self.all.is_empty() || self.any.is_some() || self.one.is_some() || self.not.is_some()
    }
}

/// All schemas of one tool's arguments.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    nodes: Vec<Node>,
    pub(super) root: Id,
    /// Keywords that are not enforced.
    pub(super) unchecked: Vec<Remark>,
}

impl Shape {
    pub(super) fn get(&self, id: Id) -> Option<&Node> {
        self.nodes.get(id)
    }
}

/// Reads the schema at `at`.
pub(super) fn read(schema: &Value, at: &At<'_>) -> Result<Shape, ReadError> {
    let mut reader = Reader { nodes: Vec::new(), unchecked: Vec::new(), defs: BTreeMap::new(), patterns: 0 };
    if let Some(map) = schema.as_object() {
        reader.definitions(map, at)?;
    }
    let root = reader.node(schema, at, true)?;
    Ok(Shape { nodes: reader.nodes, root, unchecked: reader.unchecked })
}

struct Reader {
    nodes: Vec<Node>,
    unchecked: Vec<Remark>,
    /// Places of `$defs`, known before any of them is read, so that they may refer to each other.
    defs: BTreeMap<String, Id>,
    patterns: usize,
}

impl Reader {
    fn reserve(&mut self, at: &At<'_>) -> Result<Id, ReadError> {
        if self.nodes.len() >= MAX_NODES {
            return Err(ReadError::at(at, format!("more than {MAX_NODES} schemas in one tool; split the tool")));
        }
        self.nodes.push(Node::new());
        Ok(self.nodes.len() - 1)
    }

    fn definitions(&mut self, map: &Map<String, Value>, at: &At<'_>) -> Result<(), ReadError> {
        let Some(defs) = map.get("$defs") else { return Ok(()) };
        let at = At::Key(at, "$defs");
        let defs = object(defs, &at)?;
        for name in defs.keys() {
            let id = self.reserve(&At::Key(&at, name))?;
            self.defs.insert(name.clone(), id);
        }
        for (name, schema) in defs {
            let at = At::Key(&at, name);
            let node = self.fill(schema, &at, false)?;
            if let Some(place) = self.defs.get(name).and_then(|id| self.nodes.get_mut(*id)) {
                *place = node;
            }
        }
        Ok(())
    }

    fn node(&mut self, schema: &Value, at: &At<'_>, root: bool) -> Result<Id, ReadError> {
        let id = self.reserve(at)?;
        let node = self.fill(schema, at, root)?;
        if let Some(place) = self.nodes.get_mut(id) {
            *place = node;
        }
        Ok(id)
    }

    fn fill(&mut self, schema: &Value, at: &At<'_>, root: bool) -> Result<Node, ReadError> {
        let mut node = Node::new();
        match schema {
            Value::Bool(takes) => node.never = !takes,
            Value::Object(map) => {
                for (key, value) in map {
                    self.keyword(&mut node, key, value, &At::Key(at, key), root)?;
                }
                // Names it allows are extra ones to `properties`.
                if map.contains_key("patternProperties") {
                    node.extra = Extra::Allowed;
                }
            }
            other => {
                let message = format!("a schema is an object or a boolean, not {}", kind(other));
                return Err(ReadError::at(at, message));
            }
        }
        Ok(node)
    }

    fn remark(&mut self, at: &At<'_>, why: &str) {
        match self.unchecked.len() {
            n if n < MAX_REMARKS => self.unchecked.push(Remark { at: at.to_string(), why: why.to_owned() }),
            MAX_REMARKS => {
                self.unchecked.push(Remark { at: String::new(), why: "there are more keywords like these".to_owned() });
            }
            _ => {}
        }
    }

    fn keyword(&mut self, node: &mut Node, key: &str, value: &Value, at: &At<'_>, root: bool) -> Result<(), ReadError> {
        match key {
            "type" => node.types = Some(type_names(value, at)?),
            "enum" => node.values = Some(values(value, at)?),
            "const" => node.constant = Some(value.clone()),
            "properties" => {
                for (name, schema) in object(value, at)? {
                    let at = At::Key(at, name);
                    property_name(name, &at)?;
                    let id = self.node(schema, &at, false)?;
                    node.properties.insert(name.clone(), id);
                }
            }
            "required" => node.required = names(value, at)?,
            "additionalProperties" => {
                node.extra = match value {
                    Value::Bool(true) => Extra::Allowed,
                    Value::Bool(false) => Extra::Refused,
                    schema => Extra::As(self.node(schema, at, false)?),
                }
            }
            "patternProperties" => self.remark(at, "not enforced; names that `properties` does not have are all taken"),
            "minProperties" => node.properties_count.0 = count(value, at)?,
            "maxProperties" => node.properties_count.1 = count(value, at)?,
            "items" => node.items = Some(self.node(value, at, false)?),
            "prefixItems" => node.first_items = self.nodes_of(value, at)?,
            "minItems" => node.items_count.0 = count(value, at)?,
            "maxItems" => node.items_count.1 = count(value, at)?,
            "uniqueItems" => node.unique = value == &Value::Bool(true),
            "minLength" => node.length.0 = count(value, at)?,
            "maxLength" => node.length.1 = count(value, at)?,
            "pattern" => node.pattern = self.pattern(value, at)?,
            "minimum" => node.minimum = Some(number(value, at)?),
            "maximum" => node.maximum = Some(number(value, at)?),
            "exclusiveMinimum" => node.above = Some(number(value, at)?),
            "exclusiveMaximum" => node.below = Some(number(value, at)?),
            "multipleOf" => match value.as_i64().filter(|n| *n > 0) {
                Some(n) => node.multiple = Some(n),
                None => self.remark(at, "not enforced; only a positive whole number is"),
            },
            "allOf" => node.all = self.nodes_of(value, at)?,
            "anyOf" => node.any = Some(self.nodes_of(value, at)?),
            "oneOf" => node.one = Some(self.nodes_of(value, at)?),
            "not" => node.not = Some(self.node(value, at, false)?),
            "$ref" => node.target = Some(self.reference(value, at)?),
            "$defs" if root => {}
            _ => self.other(key, at, root)?,
        }
        Ok(())
    }

    fn other(&mut self, key: &str, at: &At<'_>, root: bool) -> Result<(), ReadError> {
        match keywords::duty(key, root) {
            Duty::Silent => {}
            Duty::NotEnforced(why) => self.remark(at, why),
            Duty::Refused(help) => return Err(ReadError::at(at, format!("this keyword is refused; {help}"))),
        }
        Ok(())
    }

    fn nodes_of(&mut self, value: &Value, at: &At<'_>) -> Result<Vec<Id>, ReadError> {
        let list = value.as_array().filter(|l| !l.is_empty());
        let list = list.ok_or_else(|| ReadError::at(at, "must be an array of one or more schemas"))?;
        list.iter().enumerate().map(|(n, schema)| self.node(schema, &At::Index(at, n), false)).collect()
    }

    fn reference(&self, value: &Value, at: &At<'_>) -> Result<Id, ReadError> {
        let name = value.as_str().and_then(|text| text.strip_prefix("#/$defs/"));
        let name = name.map(|n| n.replace("~1", "/").replace("~0", "~"));
        let id = name.and_then(|name| self.defs.get(&name));
        id.copied().ok_or_else(|| {
            ReadError::at(at, "a reference must be `#/$defs/NAME` and NAME be in `$defs` at the top; write it out")
        })
    }

    fn pattern(&mut self, value: &Value, at: &At<'_>) -> Result<Option<Regex>, ReadError> {
        let text = value.as_str().ok_or_else(|| ReadError::at(at, "must be a string"))?;
        self.patterns += 1;
        if text.len() > MAX_PATTERN || self.patterns > MAX_PATTERNS {
            let message = format!("at most {MAX_PATTERNS} patterns, each of {MAX_PATTERN} bytes; simplify");
            return Err(ReadError::at(at, message));
        }
        let built =
            RegexBuilder::new(text).size_limit(PATTERN_SIZE).dfa_size_limit(PATTERN_SIZE).nest_limit(64).build();
        if built.is_err() {
            self.remark(at, "not enforced; it needs look-around, back-references or too much memory");
        }
        Ok(built.ok())
    }
}

fn object<'v>(value: &'v Value, at: &At<'_>) -> Result<&'v Map<String, Value>, ReadError> {
    value.as_object().ok_or_else(|| ReadError::at(at, format!("must be an object, not {}", kind(value))))
}

fn type_names(value: &Value, at: &At<'_>) -> Result<u8, ReadError> {
    let one = |v: &Value| v.as_str().and_then(types::of);
    let all = match value {
        Value::Array(list) if !list.is_empty() => list.iter().try_fold(0, |set, v| one(v).map(|bit| set | bit)),
        single => one(single),
    };
    all.ok_or_else(|| ReadError::at(at, "must be one or more of null, boolean, integer, number, string, array, object"))
}

fn values(value: &Value, at: &At<'_>) -> Result<Vec<Value>, ReadError> {
    match value.as_array() {
        Some(list) if list.len() > MAX_ENUM => {
            Err(ReadError::at(at, format!("{} values; at most {MAX_ENUM}. Take a string", list.len())))
        }
        Some(list) if !list.is_empty() => Ok(list.clone()),
        _ => Err(ReadError::at(at, "must be an array of one or more values")),
    }
}

fn names(value: &Value, at: &At<'_>) -> Result<Vec<String>, ReadError> {
    let list = value.as_array().ok_or_else(|| ReadError::at(at, "must be an array of strings"))?;
    let one = |v: &Value| v.as_str().map(str::to_owned).ok_or_else(|| ReadError::at(at, "must be an array of strings"));
    list.iter().map(one).collect()
}

fn count(value: &Value, at: &At<'_>) -> Result<u64, ReadError> {
    // `1.0` is whole to JSON Schema.
    let whole = |f: &f64| f.fract() == 0.0 && (0.0..9_007_199_254_740_992.0).contains(f);
    let found = value.as_u64().or_else(|| value.as_f64().filter(whole).and_then(|f| format!("{f:.0}").parse().ok()));
    found.ok_or_else(|| ReadError::at(at, "must be a whole number, not negative"))
}

fn number(value: &Value, at: &At<'_>) -> Result<Number, ReadError> {
    value.as_number().cloned().ok_or_else(|| ReadError::at(at, "must be a number"))
}

fn property_name(name: &str, at: &At<'_>) -> Result<(), ReadError> {
    if name.is_empty() || name.len() > MAX_KEY || name.chars().any(char::is_control) {
        let message = format!("an argument's name has 1 to {MAX_KEY} bytes and no control characters; rename it");
        return Err(ReadError::at(at, message));
    }
    Ok(())
}
