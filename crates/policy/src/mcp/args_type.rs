//! What a policy sees of a tool's arguments: the part of their JSON Schema that Cedar has words for.

use super::json::At;
use super::shape::{Extra, Id, Node, Remark, Shape, types};
use crate::cedar::quote;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Records and sets within one another.
const MAX_DEPTH: usize = 12;
/// Schemas on the way to an argument, references and branches counted.
const MAX_PATH: usize = 48;
/// Fields of one tool, nested ones counted; `$defs` that use each other twice multiply.
const MAX_FIELDS: usize = 512;
/// Schemas that are looked at for one tool; branches that use each other multiply.
const MAX_STEPS: usize = 20_000;
/// Remarks one tool may collect.
const MAX_REMARKS: usize = 512;

/// The Cedar type of an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArgType {
    /// `boolean`
    Bool,
    /// `integer`
    Long,
    /// `string`, and `enum` or `const` of strings
    String,
    /// `array`; the order and number of its items are lost
    Set(Box<ArgType>),
    /// `object`
    Record(Fields),
}

/// The fields of a record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fields {
    /// By name: the type, and whether it is always there.
    pub fields: BTreeMap<String, (ArgType, bool)>,
    /// Names a call may use and no policy sees.
    pub(super) hidden: BTreeSet<String>,
    /// Whether a call may use names of its own choice, which no policy sees.
    pub open: bool,
}

impl Fields {
    /// How many there are, those of nested records counted.
    pub(super) fn count(&self) -> usize {
        let within = |mut arg: &ArgType| loop {
            match arg {
                ArgType::Set(items) => arg = items,
                ArgType::Record(fields) => break fields.count(),
                _ => break 0,
            }
        };
        self.fields.values().map(|(arg, _)| 1 + within(arg)).sum()
    }
}

impl ArgType {
    fn is_scalar(&self) -> bool {
        matches!(self, Self::Bool | Self::Long | Self::String)
    }
}

impl std::fmt::Display for ArgType {
    /// As Cedar schemas have it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool => f.write_str("Bool"),
            Self::Long => f.write_str("Long"),
            Self::String => f.write_str("String"),
            Self::Set(items) => write!(f, "Set<{items}>"),
            Self::Record(fields) => write!(f, "{fields}"),
        }
    }
}

impl std::fmt::Display for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let one = |(name, (kind, required)): (&String, &(ArgType, bool))| {
            format!("{}{}: {kind}", key(name), if *required { "" } else { "?" })
        };
        let fields: Vec<String> = self.fields.iter().map(one).collect();
        if fields.is_empty() { f.write_str("{}") } else { write!(f, "{{ {} }}", fields.join(", ")) }
    }
}

/// A name as a key of a record type: quoted unless it is a plain identifier that Cedar reserves nowhere.
fn key(name: &str) -> String {
    const RESERVED: [&str; 12] =
        ["true", "false", "if", "then", "else", "in", "is", "like", "has", "__cedar", "principal", "context"];
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain && !RESERVED.contains(&name) { name.to_owned() } else { quote(name) }
}

/// The type of a tool's arguments, and what is not in it.
pub(super) fn map(shape: &Shape) -> (Fields, Vec<Remark>) {
    let mut mapper = Mapper { shape, unmapped: Vec::new(), left: MAX_FIELDS, steps: MAX_STEPS, path: Vec::new() };
    let fields = match shape.get(shape.root) {
        Some(root) => mapper.record(root, &At::Root),
        None => Fields::default(),
    };
    (fields, mapper.unmapped)
}

struct Mapper<'a> {
    shape: &'a Shape,
    unmapped: Vec<Remark>,
    left: usize,
    steps: usize,
    /// Schemas that are being mapped, the innermost last.
    path: Vec<Id>,
}

/// A type, and whether `null` may stand in its place.
type Mapped = Result<(ArgType, bool), &'static str>;

impl Mapper<'_> {
    fn remark(&mut self, at: &At<'_>, why: &str) {
        if self.unmapped.len() < MAX_REMARKS {
            self.unmapped.push(Remark { at: at.to_string(), why: why.to_owned() });
        } else if self.unmapped.len() == MAX_REMARKS {
            self.unmapped.push(Remark { at: String::new(), why: "there are more arguments like these".to_owned() });
        }
    }

    fn record(&mut self, node: &Node, at: &At<'_>) -> Fields {
        let mut record = Fields::default();
        for (name, id) in &node.properties {
            let at = At::Key(at, name);
            let mapped = match self.left.checked_sub(1) {
                Some(left) => {
                    self.left = left;
                    self.schema(*id, &at)
                }
                None => Err("the tool has too many arguments for a policy"),
            };
            match mapped {
                Ok((kind, nullable)) => {
                    let required = !nullable && node.required.contains(name);
                    record.fields.insert(name.clone(), (kind, required));
                }
                Err(why) => {
                    self.remark(&at, why);
                    record.hidden.insert(name.clone());
                }
            }
        }
        record.open = match node.extra {
            Extra::Refused => false,
            Extra::Allowed | Extra::As(_) => true,
            Extra::Unsaid => node.is_combined(),
        };
        if record.open {
            self.remark(&At::Key(at, "*"), "names that the schema does not fix; a policy sees only fixed ones");
        }
        record
    }

    fn schema(&mut self, id: Id, at: &At<'_>) -> Mapped {
        if self.path.contains(&id) {
            return Err("it is recursive, and Cedar's types are not");
        }
        if at.depth() > MAX_DEPTH || self.path.len() >= MAX_PATH {
            return Err("it is nested too deeply for a policy");
        }
        self.steps = self.steps.checked_sub(1).ok_or("its schema is too large for a policy")?;
        let Some(node) = self.shape.get(id) else { return Err("its schema is not there") };
        self.path.push(id);
        let (remarks, left) = (self.unmapped.len(), self.left);
        let mapped = self.node(node, at);
        if mapped.is_err() {
            // It is named as a whole; its parts need not be.
            self.unmapped.truncate(remarks);
            self.left = left;
        }
        self.path.pop();
        mapped
    }

    fn node(&mut self, node: &Node, at: &At<'_>) -> Mapped {
        let said = node.types.is_some() || node.values.is_some() || node.constant.is_some();
        if !said && node.properties.is_empty() {
            return self.by_reference(node, at);
        }
        let of_types = match node.types {
            Some(set) => Some(self.by_type(set, node, at)?),
            None if !node.properties.is_empty() => Some((ArgType::Record(self.record(node, at)), false)),
            None => None,
        };
        match (of_types, listed(node)) {
            (Some(mapped), None) => Ok(mapped),
            (None, Some(listed)) => listed,
            (Some((kind, nullable)), Some(listed)) => match listed? {
                (other, null) if other == kind => Ok((kind, nullable && null)),
                _ => Err("its type and its values differ"),
            },
            (None, None) => Err("its schema does not say its type"),
        }
    }

    fn by_type(&mut self, set: u8, node: &Node, at: &At<'_>) -> Mapped {
        let nullable = set & types::NULL != 0;
        let kind = match set & !types::NULL {
            types::BOOLEAN => ArgType::Bool,
            types::INTEGER => ArgType::Long,
            types::STRING => ArgType::String,
            types::ARRAY => ArgType::Set(Box::new(self.items(node, at)?)),
            types::OBJECT => ArgType::Record(self.record(node, at)),
            0 => return Err("it is null, which Cedar does not have"),
            types::NUMBER => return Err("it is a number that need not be whole, which Cedar does not have"),
            _ => return Err("it is of more than one type"),
        };
        Ok((kind, nullable))
    }

    fn items(&mut self, node: &Node, at: &At<'_>) -> Result<ArgType, &'static str> {
        let (Some(items), true) = (node.items, node.first_items.is_empty()) else {
            return Err("it is an array whose items are not all of one type");
        };
        match self.schema(items, &At::Key(at, "*")) {
            Ok((kind, false)) => Ok(kind),
            Ok((_, true)) => Err("it is an array in which null may be, which Cedar does not have"),
            Err(_) => Err("it is an array of what Cedar has no type for"),
        }
    }

    /// A schema that leaves its type to others: `$ref`, `T or null`, or scalars of one type.
    fn by_reference(&mut self, node: &Node, at: &At<'_>) -> Mapped {
        let alone = node.all.is_empty() && node.not.is_none();
        let mixed = "it is of more than one type";
        match (node.target, &node.any, &node.one) {
            (Some(target), None, None) if alone => self.schema(target, at),
            (None, None, None) if alone => Err("its schema does not say its type"),
            (None, Some(branches), None) | (None, None, Some(branches)) if alone => {
                let mut found: Option<ArgType> = None;
                let mut nullable = false;
                for branch in branches {
                    if self.shape.get(*branch).is_some_and(is_null) {
                        nullable = true;
                        continue;
                    }
                    let (kind, null) = self.schema(*branch, at)?;
                    nullable |= null;
                    match &found {
                        None => found = Some(kind),
                        Some(other) if *other == kind && kind.is_scalar() => {}
                        Some(_) => return Err(mixed),
                    }
                }
                found.map(|kind| (kind, nullable)).ok_or("it is null, which Cedar does not have")
            }
            _ => Err("it is a combination of schemas"),
        }
    }
}

fn is_null(node: &Node) -> bool {
    node.types == Some(types::NULL) || node.constant == Some(Value::Null)
}

/// The type that all values of `enum` or `const` share.
fn listed(node: &Node) -> Option<Mapped> {
    let values: Vec<&Value> = match (&node.constant, &node.values) {
        (Some(one), _) => vec![one],
        (None, Some(list)) => list.iter().collect(),
        (None, None) => return None,
    };
    let nullable = values.iter().any(|v| v.is_null());
    let mut rest = values.into_iter().filter(|v| !v.is_null());
    let kind = |v: &Value| match v {
        Value::Bool(_) => Some(ArgType::Bool),
        Value::Number(n) if n.is_i64() => Some(ArgType::Long),
        Value::String(_) => Some(ArgType::String),
        _ => None,
    };
    let Some(first) = rest.next().and_then(kind) else { return Some(Err("its values are none that Cedar has")) };
    let same = rest.all(|v| kind(v).as_ref() == Some(&first));
    Some(if same { Ok((first, nullable)) } else { Err("its values are of more than one type") })
}
