//! Tables whose keys must be asked for by name: what is left over is an error with a suggestion.

use crate::diagnostic::{Diagnostic, Place, SourceText};
use std::cell::RefCell;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

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

/// What keys a table may have.
pub(super) struct Keys {
    /// Known and enforced.
    pub(super) known: &'static [&'static str],
    /// Of the language, but enforced by a later version.
    pub(super) later: &'static [&'static str],
}

/// One table of the text.
pub(super) struct Section<'a> {
    pub(super) reader: &'a Reader,
    name: String,
    table: &'a DeTable<'a>,
    pub(super) place: Place,
}

type Value<'a> = Spanned<DeValue<'a>>;

impl<'a> Section<'a> {
    /// Takes a table and reports every key that is not known.
    pub(super) fn new(reader: &'a Reader, name: &str, table: &'a Spanned<DeTable<'a>>, keys: &Keys) -> Self {
        Self::over(reader, name, table.get_ref(), reader.place(table.span()), keys)
    }

    /// The same table, said to lie elsewhere.
    pub(super) fn placed(self, place: Place) -> Self {
        Self { place, ..self }
    }

    fn over(reader: &'a Reader, name: &str, table: &'a DeTable<'a>, place: Place, keys: &Keys) -> Self {
        let section = Self { reader, name: name.to_owned(), table, place };
        for key in table.keys() {
            let name = key.get_ref().as_ref();
            if !keys.known.contains(&name) {
                reader.report(section.unknown(name, &reader.place(key.span()), keys));
            }
        }
        section
    }

    /// `limits.memory`, or `memory` at the top.
    pub(super) fn full(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    fn unknown(&self, key: &str, place: &Place, keys: &Keys) -> Diagnostic {
        let full = self.full(key).escape_debug().to_string();
        if keys.later.contains(&key) {
            return Diagnostic::at(place, format!("`{full}` is not enforced by this version"))
                .help("remove it: a policy that asks for what no layer enforces is refused");
        }
        let found = Diagnostic::at(place, format!("unknown key `{full}`"));
        match suggestion(key, keys.known.iter().chain(keys.later).copied()) {
            Some(near) => found.help(format!("did you mean `{near}`?")),
            None => match super::file::home_of(key) {
                Some(home) if home != self.name => found.help(format!("`{key}` belongs in [{home}]")),
                _ => found.help(format!("known here: {}", keys.known.join(", "))),
            },
        }
    }

    fn get(&self, key: &str) -> Option<&'a Value<'a>> {
        self.table.get(key)
    }

    fn wrong_type(&self, key: &str, value: &Value<'_>, want: &str) {
        let place = self.reader.place(value.span());
        let have = value.get_ref().type_str();
        let finding =
            Diagnostic::at(&place, format!("`{}` must be {want}, not {} {have}", self.full(key), article(have)));
        self.reader.report(finding);
    }

    /// A string of at most [`MAX_STRING`] bytes.
    pub(super) fn string(&self, key: &str) -> Option<Located<String>> {
        self.text_of(key, self.get(key)?)
    }

    fn text_of(&self, key: &str, value: &Value<'_>) -> Option<Located<String>> {
        let place = self.reader.place(value.span());
        match value.get_ref().as_str() {
            Some(text) if text.len() > MAX_STRING => {
                let message =
                    format!("`{}` has {} bytes; at most {MAX_STRING} are allowed", self.full(key), text.len());
                self.reader.report(Diagnostic::at(&place, message).help("shorten it"));
                None
            }
            Some(text) => Some(Located { value: text.to_owned(), place }),
            None => {
                self.wrong_type(key, value, "a string");
                None
            }
        }
    }

    /// A string that `parse` understands; its error is the help.
    pub(super) fn parsed<T>(
        &self,
        key: &str,
        what: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Located<T>> {
        let value = self.get(key)?;
        if let DeValue::Integer(number) = value.get_ref() {
            let place = self.reader.place(value.span());
            let help = parse(number.as_str()).err().unwrap_or_default();
            self.reader.report(Diagnostic::at(&place, format!("`{}` needs a unit", self.full(key))).help(help));
            return None;
        }
        let text = self.text_of(key, value)?;
        match parse(&text.value) {
            Ok(value) => Some(Located { value, place: text.place }),
            Err(help) => {
                let message = format!("`{}` is not {what}", self.full(key));
                self.reader.report(Diagnostic::at(&text.place, message).help(help));
                None
            }
        }
    }

    /// A whole number that is not negative.
    pub(super) fn integer(&self, key: &str) -> Option<Located<u64>> {
        let value = self.get(key)?;
        let place = self.reader.place(value.span());
        let Some(number) = value.get_ref().as_integer() else {
            self.wrong_type(key, value, "a whole number");
            return None;
        };
        match u64::from_str_radix(number.as_str(), number.radix()) {
            Ok(value) => Some(Located { value, place }),
            Err(_) => {
                let message = format!("`{}` is out of range", self.full(key));
                self.reader.report(Diagnostic::at(&place, message).help("write a whole number from 0 to 2^64 - 1"));
                None
            }
        }
    }

    /// An array of strings.
    pub(super) fn strings(&self, key: &str) -> Vec<Located<String>> {
        let Some(list) = self.list(key, "an array of strings") else { return Vec::new() };
        let one = |(at, value): (usize, &&'a Value<'a>)| self.text_of(&format!("{key}[{at}]"), value);
        list.iter().enumerate().filter_map(one).collect()
    }

    fn list(&self, key: &str, want: &str) -> Option<Vec<&'a Value<'a>>> {
        let value = self.get(key)?;
        let Some(list) = value.get_ref().as_array() else {
            self.wrong_type(key, value, want);
            return None;
        };
        if list.len() > MAX_LIST {
            let place = self.reader.place(value.span());
            let message = format!("`{}` has {} entries; at most {MAX_LIST} are allowed", self.full(key), list.len());
            self.reader
                .report(Diagnostic::at(&place, message).help("name a directory above them, or split the policy"));
            return None;
        }
        Some(list.iter().collect())
    }

    /// A table within this one.
    pub(super) fn section(&self, key: &str, keys: &Keys) -> Option<Section<'a>> {
        let value = self.get(key)?;
        match value.get_ref().as_table() {
            Some(table) => Some(Self::over(self.reader, &self.full(key), table, self.reader.place(value.span()), keys)),
            None => {
                self.wrong_type(key, value, "a table");
                None
            }
        }
    }

    /// An array of tables: `[[key]]`.
    pub(super) fn sections(&self, key: &str, keys: &Keys) -> Vec<Section<'a>> {
        let Some(list) = self.list(key, "an array of tables") else { return Vec::new() };
        let one = |value: &&'a Value<'a>| match value.get_ref().as_table() {
            Some(table) => Some(Self::over(self.reader, &self.full(key), table, self.reader.place(value.span()), keys)),
            None => {
                self.wrong_type(key, value, "an array of tables");
                None
            }
        };
        list.iter().filter_map(one).collect()
    }

    /// A table whose keys are the author's own and whose values are strings.
    pub(super) fn pairs(&self, key: &str) -> Vec<(Located<String>, Located<String>)> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let Some(table) = value.get_ref().as_table() else {
            self.wrong_type(key, value, "a table of strings");
            return Vec::new();
        };
        let whole = key;
        let pair = |(name, value): (&Spanned<toml::de::DeString<'a>>, &Value<'a>)| {
            let key = Located { value: name.get_ref().to_string(), place: self.reader.place(name.span()) };
            let text = self.text_of(&format!("{whole}.{}", key.value), value)?;
            Some((key, text))
        };
        table.iter().filter_map(pair).collect()
    }

    /// Any value.
    pub(super) fn value(&self, key: &str) -> Option<Located<&'a DeValue<'a>>> {
        self.get(key).map(|v| Located { value: v.get_ref(), place: self.reader.place(v.span()) })
    }

    /// Reports a key that is not there.
    pub(super) fn missing(&self, key: &str, help: &str) {
        let head = if self.name.is_empty() { "the policy".to_owned() } else { format!("[[{}]]", self.name) };
        self.reader.report(Diagnostic::at(&self.place, format!("{head} has no `{key}`")).help(help));
    }
}

fn article(word: &str) -> &'static str {
    if word.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

/// The known word that `word` was probably meant to be.
pub(crate) fn suggestion<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    if word.len() > 64 {
        return None;
    }
    let lower = word.to_lowercase().replace('-', "_");
    let scored = known.map(|k| (strsim::damerau_levenshtein(&lower, k), k));
    let (distance, near) = scored.min_by_key(|(distance, _)| *distance)?;
    (distance <= 2 && distance < near.len().max(2) / 2 + 1).then_some(near)
}
