//! The language as a page of documentation.

use super::{Key, Kind, Section};
use crate::text::units;
use std::fmt::Write as _;

/// Markdown of every section and key of a file; `depth` is the level of its headings.
#[must_use]
pub fn reference(file: &'static Section, depth: usize) -> String {
    let mut page = String::new();
    for section in file.all() {
        let heading = if section.name.is_empty() {
            "The file itself".to_owned()
        } else {
            format!("`{}`", bracketed(file, section))
        };
        let marks = "#".repeat(depth);
        // Writing to a String can't fail.
        let _ = write!(page, "{marks} {heading}\n\n{}\n\n", section.about);
        let _ = writeln!(page, "| key | value | absent | enforced by | meaning |\n|---|---|---|---|---|");
        for key in section.keys.iter().filter(|key| !key.meaning.is_empty()) {
            let _ = writeln!(page, "{}", row(key));
        }
        page.push('\n');
    }
    page
}

/// `[limits]` or `[[egress]]`.
fn bracketed(file: &'static Section, section: &Section) -> String {
    let array = file
        .all()
        .iter()
        .flat_map(|s| s.keys)
        .any(|key| matches!(key.kind, Kind::Tables(inner) if inner.name == section.name));
    if array { format!("[[{}]]", section.name) } else { format!("[{}]", section.name) }
}

fn row(key: &Key) -> String {
    let mut value = value(key.kind);
    // What may be written is said whole already.
    if !matches!(key.kind, Kind::Choice(_) | Kind::Bool | Kind::Count(1, 1)) {
        let _ = write!(value, ", as `{}`", key.example.replace('|', "\\|"));
    }
    format!("| `{}` | {value} | {} | {} | {} |", key.name, key.default, key.layer, key.meaning)
}

fn value(kind: Kind) -> String {
    let range = |unit: units::Unit, least, most| format!("{}, {} to {}", unit.what, unit.show(least), unit.show(most));
    match kind {
        Kind::Count(least, most) if least == most => format!("`{least}`"),
        Kind::Count(least, most) => format!("whole number, {least} to {most}"),
        Kind::Size(least, most) => range(units::SIZE, least, most),
        Kind::Rate(least, most) => range(units::RATE, least, most),
        Kind::Time(least, most) => range(units::TIME, least, most),
        Kind::Share(least, most) => range(units::SHARE, least, most),
        Kind::Bool => "`true` or `false`".to_owned(),
        Kind::Choice(words) => words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(" or "),
        Kind::Name => "name: 1 to 64 of `a-z A-Z 0-9 - _ .`".to_owned(),
        Kind::Text => "text".to_owned(),
        Kind::Strings => "list of strings".to_owned(),
        Kind::Paths => "list of paths".to_owned(),
        Kind::Tools => "list of tools".to_owned(),
        Kind::Ports => "port or list of ports".to_owned(),
        Kind::Object | Kind::Table(_) => "table".to_owned(),
        Kind::Tables(_) => "list of tables".to_owned(),
        Kind::Map => "table of strings".to_owned(),
        Kind::Counts(least, most) => format!("table of whole numbers, {least} to {most}, by tool"),
        Kind::Times(..) => "table of times, by tool".to_owned(),
    }
}
