//! The policy language as data: every section and key with its meaning, unit, range, default and layer.
//!
//! One table serves the reader, which refuses what is not in it, the reference page, the JSON Schema and
//! the starters; so none of them can speak of a key that another does not know.

mod ceiling;
mod json_schema;
mod policy;
mod reference;
mod secret;

pub use ceiling::CEILING;
pub use json_schema::json_schema;
pub use policy::{POLICY, TESTS};
pub use reference::reference;

/// A table of the text: the file itself, `[limits]`, or one of `[[egress]]`.
#[derive(Debug)]
pub struct Section {
    /// Its full name; empty for the file itself.
    pub name: &'static str,
    /// What it is for, in a sentence or two of Markdown.
    pub about: &'static str,
    /// Its keys, in the order of the reference.
    pub keys: &'static [Key],
}

/// One key.
#[derive(Debug)]
pub struct Key {
    /// Without its section.
    pub name: &'static str,
    /// What its value may be.
    pub kind: Kind,
    /// Whether its section is refused without it.
    pub required: bool,
    /// What it means, in Markdown.
    pub meaning: &'static str,
    /// What holds if it is absent.
    pub default: &'static str,
    /// The layer that enforces it; empty where nothing needs to be enforced.
    pub layer: &'static str,
    /// A value, as TOML.
    pub example: &'static str,
}

/// What a value may be.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A whole number from the first to the second.
    Count(u64, u64),
    /// A size with its unit (`B KiB MiB GiB TiB`), in bytes from the first to the second.
    Size(u64, u64),
    /// A size a second (`10MiB/s`), in bytes.
    Rate(u64, u64),
    /// A time with its unit (`ms s m h d`), in milliseconds.
    Time(u64, u64),
    /// A share of one CPU in percent, in thousandths.
    Share(u64, u64),
    /// Truth.
    Bool,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A name for records: 1 to 64 of `a-z A-Z 0-9 - _ .`.
    Name,
    /// Text for people, or text with rules of its own.
    Text,
    /// A list of strings.
    Strings,
    /// A list of paths: absolute and canonical, or `@workspace` and beneath.
    Paths,
    /// A list of names of tools, or `*`.
    Tools,
    /// A port, or a list of ports.
    Ports,
    /// What a JSON object can hold.
    Object,
    /// A table.
    Table(&'static Section),
    /// A list of tables.
    Tables(&'static Section),
    /// A table whose keys are the author's own, each with a string.
    Map,
    /// A table whose keys are names of tools, each with a whole number in the range.
    Counts(u64, u64),
    /// The same with times, in milliseconds.
    Times(u64, u64),
}

impl Section {
    /// The key of that name.
    #[must_use]
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// `limits.memory`, or `memory` of the file itself.
    #[must_use]
    pub fn full(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    /// Every section in this one, itself first, in the order of the reference.
    pub fn all(&'static self) -> Vec<&'static Self> {
        let mut found = vec![self];
        for key in self.keys {
            if let Kind::Table(section) | Kind::Tables(section) = key.kind {
                found.extend(section.all());
            }
        }
        found
    }
}

/// A key with everything but its value; the tables are written with it.
const fn key(
    name: &'static str,
    kind: Kind,
    layer: &'static str,
    default: &'static str,
    example: &'static str,
    meaning: &'static str,
) -> Key {
    Key { name, kind, required: false, meaning, default, layer, example }
}

/// A key that its section must have.
const fn needed(
    name: &'static str,
    kind: Kind,
    layer: &'static str,
    example: &'static str,
    meaning: &'static str,
) -> Key {
    Key { name, kind, required: true, meaning, default: "must be written", layer, example }
}
