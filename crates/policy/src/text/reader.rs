//! Tables whose keys must be in the language: what is left over is an error with a suggestion.

use super::tree::{Node, Table, Value};
use super::units;
use crate::diagnostic::{Diagnostic, Place, SourceText};
use crate::language::{self, Kind};
use std::cell::RefCell;
use std::sync::Arc;

/// Entries one list may have.
pub(super) const MAX_LIST: usize = 1024;
/// Bytes one string may have.
pub(super) const MAX_STRING: usize = 32 * 1024;

/// A value and where it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Located<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

impl<T> Located<T> {
    pub(crate) fn map<U>(self, f: impl FnOnce(T) -> U) -> Located<U> {
        Located { value: f(self.value), place: self.place }
    }
}

/// Collects what is wrong while a text is read to its end.
pub(super) struct Reader {
    pub(super) source: Arc<SourceText>,
    errors: RefCell<Vec<Diagnostic>>,
}

impl Reader {
    pub(super) fn new(source: Arc<SourceText>) -> Self {
        Self { source, errors: RefCell::default() }
    }

    pub(super) fn report(&self, finding: Diagnostic) {
        self.errors.borrow_mut().push(finding);
    }

    pub(super) fn place(&self, span: std::ops::Range<usize>) -> Place {
        Place { source: Arc::clone(&self.source), span }
    }

    pub(super) fn finish(self) -> Vec<Diagnostic> {
        let mut errors = self.errors.into_inner();
        errors.sort_by_key(|e| e.position);
        errors
    }
}

/// One table of the text.
pub(super) struct Section<'a> {
    pub(super) reader: &'a Reader,
    known: &'static language::Section,
    root: &'static language::Section,
    table: &'a Table,
    pub(super) place: Place,
}

impl<'a> Section<'a> {
    /// The file itself.
    pub(super) fn top(reader: &'a Reader, table: &'a Table, known: &'static language::Section) -> Self {
        let place = reader.place(0..reader.source.text.find('\n').unwrap_or(reader.source.text.len()));
        Self { reader, known, root: known, table, place }.checked()
    }

    fn within(&self, table: &'a Table, span: std::ops::Range<usize>, known: &'static language::Section) -> Self {
        Self { reader: self.reader, known, root: self.root, table, place: self.reader.place(span) }.checked()
    }

    /// Reports every key that is not known and every one that must be there and is not.
    fn checked(self) -> Self {
        for (key, _) in &self.table.0 {
            if self.known.key(&key.name).is_none() {
                self.reader.report(self.unknown(&key.name, &self.reader.place(key.span.clone())));
            }
        }
        for key in self.known.keys.iter().filter(|key| key.required && self.table.get(key.name).is_none()) {
            let head =
                if self.known.name.is_empty() { "the policy".to_owned() } else { format!("[[{}]]", self.known.name) };
            let help = format!("add {} = {}", key.name, key.example);
            self.reader.report(Diagnostic::at(&self.place, format!("{head} has no `{}`", key.name)).help(help));
        }
        self
    }

    /// `limits.memory`, or `memory` at the top.
    pub(super) fn full(&self, key: &str) -> String {
        self.known.full(key)
    }

    fn unknown(&self, key: &str, place: &Place) -> Diagnostic {
        let full: String = self.full(key).escape_debug().take(128).collect();
        let found = Diagnostic::at(place, format!("unknown key `{full}`"));
        let home = || self.root.all().into_iter().find(|s| s.name != self.known.name && s.key(key).is_some());
        match suggestion(key, self.known.keys.iter().map(|k| k.name)) {
            Some(near) => found.help(format!("did you mean `{near}`?")),
            None => match home().filter(|home| !home.name.is_empty()) {
                Some(home) => found.help(format!("`{key}` belongs in [{}]", home.name)),
                None => {
                    let names: Vec<_> = self.known.keys.iter().map(|k| k.name).collect();
                    found.help(format!("known here: {}", names.join(", ")))
                }
            },
        }
    }

    /// Whether the key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.get(key).is_some()
    }

    fn get(&self, key: &str) -> Option<(&'a Node, Kind)> {
        let kind = self.known.key(key)?.kind;
        Some((self.table.get(key)?, kind))
    }

    pub(super) fn report(&self, place: &Place, message: impl Into<String>, help: impl Into<String>) {
        self.reader.report(Diagnostic::at(place, message).help(help));
    }

    fn wrong_type(&self, key: &str, value: &Node, want: &str) {
        let have = value.value.kind();
        let article = if have.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
        let place = self.reader.place(value.span.clone());
        self.reader
            .report(Diagnostic::at(&place, format!("`{}` must be {want}, not {article} {have}", self.full(key))));
    }

    /// A string of at most [`MAX_STRING`] bytes.
    pub(super) fn text(&self, key: &str) -> Option<Located<String>> {
        self.text_of(key, self.get(key)?.0)
    }

    fn text_of(&self, key: &str, node: &Node) -> Option<Located<String>> {
        let place = self.reader.place(node.span.clone());
        match &node.value {
            Value::Text(text) if text.len() > MAX_STRING => {
                let message =
                    format!("`{}` has {} bytes; at most {MAX_STRING} are allowed", self.full(key), text.len());
                self.report(&place, message, "shorten it");
                None
            }
            Value::Text(text) => Some(Located { value: text.clone(), place }),
            _ => {
                self.wrong_type(key, node, "a string");
                None
            }
        }
    }

    /// One of the words the language knows for this key.
    pub(super) fn choice(&self, key: &str) -> Option<Located<&'static str>> {
        let Some((_, Kind::Choice(words))) = self.get(key) else { return None };
        let text = self.text(key)?;
        if let Some(word) = words.iter().find(|word| **word == text.value) {
            return Some(Located { value: word, place: text.place });
        }
        let shown: String = text.value.escape_debug().take(64).collect();
        let help = match suggestion(&text.value, words.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("write {}", quoted(words)),
        };
        self.report(&text.place, format!("`{}` is \"{shown}\"", self.full(key)), help);
        None
    }

    pub(super) fn truth(&self, key: &str) -> Option<Located<bool>> {
        let (node, _) = self.get(key)?;
        match node.value {
            Value::Bool(value) => Some(Located { value, place: self.reader.place(node.span.clone()) }),
            _ => {
                self.wrong_type(key, node, "true or false");
                None
            }
        }
    }

    /// A number within the key's range, with its unit if it has one.
    pub(super) fn number(&self, key: &str) -> Option<Located<u64>> {
        let (node, kind) = self.get(key)?;
        self.quantity_of(key, node, kind)
    }

    fn quantity_of(&self, key: &str, node: &Node, kind: Kind) -> Option<Located<u64>> {
        let (least, most, unit): (u64, u64, Option<units::Unit>) = match kind {
            Kind::Count(least, most) => return self.count_of(key, node, least, most),
            Kind::Size(least, most) => (least, most, Some(units::SIZE)),
            Kind::Rate(least, most) => (least, most, Some(units::RATE)),
            Kind::Time(least, most) => (least, most, Some(units::TIME)),
            Kind::Share(least, most) => (least, most, Some(units::SHARE)),
            _ => return None,
        };
        let unit = unit?;
        let place = self.reader.place(node.span.clone());
        if let Value::Integer(number) = &node.value {
            let help = unit.read(&number.to_string()).err().unwrap_or_default();
            self.report(&place, format!("`{}` needs a unit", self.full(key)), help);
            return None;
        }
        let text = self.text_of(key, node)?;
        match unit.read(&text.value) {
            Ok(value) if (least..=most).contains(&value) => Some(Located { value, place }),
            Ok(_) => {
                let help = format!("allowed: {} to {}", unit.show(least), unit.show(most));
                self.report(&place, format!("`{}` is out of range", self.full(key)), help);
                None
            }
            Err(help) => {
                self.report(&place, format!("`{}` is not {}", self.full(key), unit.what), help);
                None
            }
        }
    }

    fn count_of(&self, key: &str, node: &Node, least: u64, most: u64) -> Option<Located<u64>> {
        let place = self.reader.place(node.span.clone());
        let out_of_range = || {
            let message = format!("`{}` is out of range", self.full(key));
            self.report(&place, message, format!("allowed: {least} to {most}"));
        };
        match &node.value {
            Value::Integer(number) => match u64::try_from(*number) {
                Ok(value) if (least..=most).contains(&value) => return Some(Located { value, place: place.clone() }),
                _ if least == most => {
                    let message = format!("`{}` {number} is not known", self.full(key));
                    self.report(&place, message, format!("this program reads {key} = {least}"));
                }
                _ => out_of_range(),
            },
            Value::Number(text) if text.chars().all(|c| c.is_ascii_digit()) => out_of_range(),
            _ => self.wrong_type(key, node, "a whole number"),
        }
        None
    }

    /// An array of strings.
    pub(super) fn strings(&self, key: &str) -> Vec<Located<String>> {
        let Some((node, _)) = self.get(key) else { return Vec::new() };
        let Some(list) = self.list(key, node, "an array of strings") else { return Vec::new() };
        let one = |(at, value): (usize, &Node)| self.text_of(&format!("{key}[{at}]"), value);
        list.iter().enumerate().filter_map(one).collect()
    }

    fn list(&self, key: &str, node: &'a Node, want: &str) -> Option<&'a [Node]> {
        let Value::List(list) = &node.value else {
            self.wrong_type(key, node, want);
            return None;
        };
        if list.len() > MAX_LIST {
            let place = self.reader.place(node.span.clone());
            let message = format!("`{}` has {} entries; at most {MAX_LIST} are allowed", self.full(key), list.len());
            self.report(&place, message, "name a directory above them, or split the policy");
            return None;
        }
        Some(list)
    }

    /// One port or several.
    pub(super) fn ports(&self, key: &str) -> Vec<Located<u16>> {
        let Some((node, _)) = self.get(key) else { return Vec::new() };
        let nodes = match &node.value {
            Value::List(_) => self.list(key, node, "a port or an array of ports").unwrap_or_default(),
            _ => std::slice::from_ref(node),
        };
        let port = |node: &Node| {
            let port = self.count_of(key, node, 1, u16::MAX.into())?;
            Some(port.map(|number| u16::try_from(number).unwrap_or_default()))
        };
        nodes.iter().filter_map(port).collect()
    }

    /// A table within this one.
    pub(super) fn section(&self, key: &str) -> Option<Section<'a>> {
        let (node, Kind::Table(known)) = self.get(key)? else { return None };
        match &node.value {
            Value::Table(table) => Some(self.within(table, node.span.clone(), known)),
            _ => {
                self.wrong_type(key, node, "a table");
                None
            }
        }
    }

    /// An array of tables: `[[key]]`.
    pub(super) fn sections(&self, key: &str) -> Vec<Section<'a>> {
        let Some((node, Kind::Tables(known))) = self.get(key) else { return Vec::new() };
        let Some(list) = self.list(key, node, "an array of tables") else { return Vec::new() };
        let one = |node: &'a Node| match &node.value {
            Value::Table(table) => Some(self.within(table, node.span.clone(), known)),
            _ => {
                self.wrong_type(key, node, "an array of tables");
                None
            }
        };
        list.iter().filter_map(one).collect()
    }

    fn own_keys(&self, key: &str, want: &str) -> Vec<(Located<String>, &'a Node)> {
        let Some((node, _)) = self.get(key) else { return Vec::new() };
        let Value::Table(table) = &node.value else {
            self.wrong_type(key, node, want);
            return Vec::new();
        };
        if table.0.len() > MAX_LIST {
            let message = format!("`{}` has more than {MAX_LIST} entries", self.full(key));
            self.report(&self.reader.place(node.span.clone()), message, "remove some");
            return Vec::new();
        }
        let pair = |(key, value): &'a (super::tree::Key, Node)| {
            (Located { value: key.name.clone(), place: self.reader.place(key.span.clone()) }, value)
        };
        table.0.iter().map(pair).collect()
    }

    /// A table whose keys are the author's own and whose values are strings.
    pub(super) fn pairs(&self, key: &str) -> Vec<(Located<String>, Located<String>)> {
        let text = |(name, node): (Located<String>, &Node)| {
            let text = self.text_of(&format!("{key}.{}", name.value.escape_debug()), node)?;
            Some((name, text))
        };
        self.own_keys(key, "a table of strings").into_iter().filter_map(text).collect()
    }

    /// A table whose keys are the author's own and whose values are whole numbers in the key's range.
    pub(super) fn counts(&self, key: &str) -> Vec<(Located<String>, Located<u64>)> {
        let Some((_, Kind::Counts(least, most))) = self.get(key) else { return Vec::new() };
        let count = |(name, node): (Located<String>, &Node)| {
            let count = self.count_of(&format!("{key}.{}", name.value.escape_debug()), node, least, most)?;
            Some((name, count))
        };
        self.own_keys(key, "a table of whole numbers").into_iter().filter_map(count).collect()
    }

    /// A table whose keys are the author's own and whose values are times in the key's range, in milliseconds.
    pub(super) fn times(&self, key: &str) -> Vec<(Located<String>, Located<u64>)> {
        let Some((_, Kind::Times(least, most))) = self.get(key) else { return Vec::new() };
        let time = |(name, node): (Located<String>, &Node)| {
            let time =
                self.quantity_of(&format!("{key}.{}", name.value.escape_debug()), node, Kind::Time(least, most))?;
            Some((name, time))
        };
        self.own_keys(key, "a table of times").into_iter().filter_map(time).collect()
    }

    /// Any value.
    pub(super) fn node(&self, key: &str) -> Option<Located<&'a Node>> {
        self.get(key).map(|(node, _)| Located { value: node, place: self.reader.place(node.span.clone()) })
    }

    /// Where a key's value is, or its section if it has none.
    pub(super) fn place_of(&self, key: &str) -> Place {
        self.get(key).map_or_else(|| self.place.clone(), |(node, _)| self.reader.place(node.span.clone()))
    }
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ")
}

/// The known word that `word` was probably meant to be.
pub(crate) fn suggestion<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    if word.len() > 64 {
        return None;
    }
    let lower = word.to_lowercase().replace('-', "_");
    let scored = known.map(|k| (strsim::damerau_levenshtein(&lower, &k.replace('-', "_")), k));
    let (distance, near) = scored.min_by_key(|(distance, _)| *distance)?;
    (distance <= 2 && distance < near.len().max(2) / 2 + 1).then_some(near)
}
