//! The enforcement that was read back: one row a layer.

use std::io;

use serde_json::Value;

use super::page::{Page, Tone};
use super::text::{count, cut, short, value};

/// Layers in the order of the launch, outside in; others come after them as they are.
const ORDER: [&str; 13] = [
    "namespaces",
    "uid_map",
    "network",
    "cgroup",
    "mounts",
    "rlimits",
    "session",
    "descriptors",
    "credentials",
    "capabilities",
    "no_new_privs",
    "landlock",
    "seccomp",
];

/// Whether a layer holds, as its read-back says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    Yes,
    No,
    Unsaid,
}

fn holds(layer: &Value) -> Holds {
    match layer.get("ok").and_then(Value::as_bool) {
        Some(true) => Holds::Yes,
        Some(false) => Holds::No,
        None => Holds::Unsaid,
    }
}

/// The table, and one line on the whole of it.
pub(super) fn enforcement(page: &mut Page<'_>, layers: &Value) -> io::Result<()> {
    // Beside the layers there may be the name of a blob with all that was read back.
    let mut rows: Vec<_> = layers.as_object().into_iter().flatten().filter(|(name, _)| *name != "blob").collect();
    if rows.is_empty() {
        page.bold("ENFORCEMENT").text("  ").text(&value(layers, 200)).end()?;
        return page.blank();
    }
    rows.sort_by_key(|(name, _)| (ORDER.iter().position(|known| known == name).unwrap_or(ORDER.len()), *name));
    let held = rows.iter().filter(|(_, layer)| holds(layer) == Holds::Yes).count();

    page.bold("ENFORCEMENT").text("  read back from the kernel before any agent code ran: ");
    let verdict = format!("{held} of {} hold", count(rows.len() as u64, "layer"));
    page.put(if held == rows.len() { Tone::Good } else { Tone::Bad }, &verdict).end()?;
    let names = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).clamp(5, 24);
    page.dim("  layer").to(names + 4).dim("holds").to(names + 11).dim("what the kernel said").end()?;
    for (name, layer) in rows {
        page.text("  ").text(&cut(name, 24)).to(names + 4);
        match holds(layer) {
            Holds::Yes => page.put(Tone::Good, "yes"),
            Holds::No => page.put(Tone::Bad, "NO"),
            Holds::Unsaid => page.put(Tone::Odd, "?"),
        };
        page.wrapped(names + 11, Tone::Plain, &summary(layer))?;
    }
    if let Some(digest) = layers.pointer("/blob/sha256").and_then(Value::as_str) {
        page.dim(&format!("  all that was read back: blobs/{}…", short(digest))).end()?;
    }
    page.blank()
}

fn summary(layer: &Value) -> String {
    match layer.get("summary") {
        Some(Value::String(text)) => cut(text, 400),
        _ => value(layer, 200),
    }
}

/// `11 of 11 layers hold`, for a place that has no room for the table.
pub(super) fn in_short(layers: &Value) -> Option<String> {
    let map = layers.as_object()?;
    let layers = || map.iter().filter(|(name, _)| *name != "blob");
    let held = layers().filter(|(_, layer)| holds(layer) == Holds::Yes).count();
    Some(format!("{held} of {} hold", count(layers().count() as u64, "layer")))
}
