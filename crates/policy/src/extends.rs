//! `extends`: presets in the order they apply, the file itself last.

use crate::diagnostic::{Diagnostic, SourceText};
use crate::text::file::{PolicyFile, parse};
use crate::text::{Located, suggestion};
use std::sync::Arc;

/// Presets on top of one another.
const MAX_DEPTH: usize = 8;

/// One file of a policy.
#[derive(Debug)]
pub(crate) struct Layer {
    /// `preset:base/` before its rules' ids; empty for the policy's own file.
    pub(crate) prefix: String,
    pub(crate) file: PolicyFile,
}

/// Finds a preset's text.
pub(crate) struct Presets {
    /// With their versions: `base@1`.
    pub(crate) names: Vec<&'static str>,
    pub(crate) text: fn(&str) -> Option<&'static str>,
}

impl Presets {
    /// The name with its version; without one the newest is meant.
    fn versioned(&self, name: &str) -> Option<&'static str> {
        let same = self.names.iter().copied().filter(|known| match name.contains('@') {
            true => *known == name,
            false => split(known).0 == name,
        });
        same.max_by_key(|known| split(known).1)
    }
}

/// `base@1` to `base` and 1.
fn split(name: &str) -> (&str, u32) {
    let (name, version) = name.split_once('@').unwrap_or((name, ""));
    (name, version.parse().unwrap_or(0))
}

/// Resolves `extends`: every preset once, those it extends before it.
pub(crate) fn layers(main: PolicyFile, presets: &Presets) -> Result<Vec<Layer>, Vec<Diagnostic>> {
    let mut walk = Walk { presets, layers: Vec::new(), open: Vec::new(), done: Vec::new(), errors: Vec::new() };
    for entry in &main.extends {
        walk.visit(entry);
    }
    if !walk.errors.is_empty() {
        return Err(walk.errors);
    }
    walk.layers.push(Layer { prefix: String::new(), file: main });
    Ok(walk.layers)
}

struct Walk<'p> {
    presets: &'p Presets,
    layers: Vec<Layer>,
    open: Vec<String>,
    done: Vec<String>,
    errors: Vec<Diagnostic>,
}

impl Walk<'_> {
    fn refuse(&mut self, entry: &Located<String>, message: String, help: String) {
        self.errors.push(Diagnostic::at(&entry.place, message).help(help));
    }

    fn visit(&mut self, entry: &Located<String>) {
        let shown = entry.value.escape_debug().to_string();
        let Some(name) = entry.value.strip_prefix("preset:") else {
            let help = format!("known: {}", self.known());
            return self.refuse(entry, format!("\"{shown}\" is not a preset"), help);
        };
        let Some(name) = self.presets.versioned(name) else {
            return self.unknown(entry, name);
        };
        if self.open.iter().any(|n| n == name) {
            let chain = self.open.join("\" extends \"preset:");
            let message = format!("\"preset:{chain}\" extends \"preset:{name}\": a circle");
            return self.refuse(entry, message, "remove one of these entries".to_owned());
        }
        if self.open.len() >= MAX_DEPTH {
            let message = format!("\"{shown}\" is preset number {} in one chain", self.open.len() + 1);
            return self.refuse(entry, message, format!("at most {MAX_DEPTH} presets may stand on one another"));
        }
        if self.done.iter().any(|n| n == name) {
            return;
        }
        if let Some(other) = self.done.iter().find(|other| split(other).0 == split(name).0) {
            let message = format!("\"preset:{name}\" and \"preset:{other}\" are versions of one preset");
            return self.refuse(entry, message, "stand on one of them".to_owned());
        }
        let Some(text) = (self.presets.text)(name) else { return self.unknown(entry, name) };
        let source = Arc::new(SourceText { name: format!("preset:{name}"), text: text.to_owned() });
        match parse(&source) {
            Err(errors) => self.errors.extend(errors),
            Ok(file) => {
                self.open.push(name.to_owned());
                for inner in &file.extends {
                    self.visit(inner);
                }
                self.open.pop();
                self.done.push(name.to_owned());
                self.layers.push(Layer { prefix: format!("preset:{name}/"), file });
            }
        }
    }

    fn unknown(&mut self, entry: &Located<String>, name: &str) {
        let bare = split(name).0;
        let near = self.presets.versioned(bare).or_else(|| {
            let names = self.presets.names.iter().map(|known| split(known).0);
            suggestion(bare, names).and_then(|near| self.presets.versioned(near))
        });
        let help = match near {
            Some(near) => format!("did you mean \"preset:{near}\"?"),
            None => format!("known: {}", self.known()),
        };
        let shown: String = entry.value.escape_debug().take(128).collect();
        self.refuse(entry, format!("there is no preset \"{shown}\""), help);
    }

    fn known(&self) -> String {
        self.presets.names.iter().map(|n| format!("\"preset:{n}\"")).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn text(name: &str) -> Option<&'static str> {
        Some(match name {
            "plain" => "version = 1\nid = 'plain'\n[tools]\nallow = ['clock']",
            "left" => "version = 1\nid = 'left'\nextends = ['preset:plain']",
            "right" => "version = 1\nid = 'right'\nextends = ['preset:plain']",
            "self" => "version = 1\nid = 'self'\nextends = ['preset:self']",
            "a" => "version = 1\nid = 'a'\nextends = ['preset:b']",
            "b" => "version = 1\nid = 'b'\nextends = ['preset:a']",
            "deep" => "version = 1\nid = 'deep'\nextends = ['preset:d1']",
            "d1" => "version = 1\nid = 'd1'\nextends = ['preset:d2']",
            "d2" => "version = 1\nid = 'd2'\nextends = ['preset:d3']",
            "d3" => "version = 1\nid = 'd3'\nextends = ['preset:d4']",
            "d4" => "version = 1\nid = 'd4'\nextends = ['preset:d5']",
            "d5" => "version = 1\nid = 'd5'\nextends = ['preset:d6']",
            "d6" => "version = 1\nid = 'd6'\nextends = ['preset:d7']",
            "d7" => "version = 1\nid = 'd7'\nextends = ['preset:d8']",
            "d8" => "version = 1\nid = 'd8'",
            "old@1" | "old@2" => "version = 1\nid = 'old'",
            "broken" => "version = 1\nid = 'broken'\nlimts = 1",
            _ => return None,
        })
    }

    fn resolve(extends: &str) -> Result<Vec<String>, Vec<String>> {
        let source =
            SourceText { name: "t.toml".into(), text: format!("version = 1\nid = 't'\nextends = [{extends}]") };
        let main = parse(&Arc::new(source)).unwrap();
        let all = [
            "plain", "left", "right", "self", "a", "b", "deep", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "d8",
            "broken", "old@1", "old@2",
        ];
        let presets = Presets { names: all.to_vec(), text };
        match layers(main, &presets) {
            Ok(layers) => Ok(layers.into_iter().map(|l| l.prefix).collect()),
            Err(errors) => {
                Err(errors.into_iter().map(|e| format!("{}: {} | {}", e.file, e.message, e.help.unwrap())).collect())
            }
        }
    }

    #[test]
    fn each_preset_applies_once_before_what_extends_it() {
        let order = resolve("'preset:left', 'preset:right'").unwrap();
        assert_eq!(order, ["preset:plain/", "preset:left/", "preset:right/", ""]);
    }

    #[test]
    fn a_preset_without_a_version_is_the_newest() {
        assert_eq!(resolve("'preset:old'").unwrap(), ["preset:old@2/", ""]);
        assert_eq!(resolve("'preset:old@1'").unwrap(), ["preset:old@1/", ""]);
        assert_eq!(
            resolve("'preset:old@1', 'preset:old'").unwrap_err(),
            ["t.toml: \"preset:old@2\" and \"preset:old@1\" are versions of one preset | stand on one of them"]
        );
        assert_eq!(
            resolve("'preset:old@3'").unwrap_err(),
            ["t.toml: there is no preset \"preset:old@3\" | did you mean \"preset:old@2\"?"]
        );
    }

    #[test]
    fn circles_depth_and_unknown_names_are_errors() {
        let first = |extends| resolve(extends).unwrap_err().remove(0);
        assert_eq!(
            first("'preset:self'"),
            "preset:self: \"preset:self\" extends \"preset:self\": a circle | remove one of these entries"
        );
        assert_eq!(
            first("'preset:a'"),
            "preset:b: \"preset:a\" extends \"preset:b\" extends \"preset:a\": a circle | remove one of these entries"
        );
        assert_eq!(
            first("'preset:deep'"),
            "preset:d7: \"preset:d8\" is preset number 9 in one chain | at most 8 presets may stand on one another"
        );
        assert_eq!(
            first("'preset:plane'"),
            "t.toml: there is no preset \"preset:plane\" | did you mean \"preset:plain\"?"
        );
        assert_eq!(
            first("'../other.toml'"),
            "t.toml: \"../other.toml\" is not a preset | known: \"preset:plain\", \"preset:left\", \"preset:right\", \
             \"preset:self\", \"preset:a\", \"preset:b\", \"preset:deep\", \"preset:d1\", \"preset:d2\", \"preset:d3\", \
             \"preset:d4\", \"preset:d5\", \"preset:d6\", \"preset:d7\", \"preset:d8\", \"preset:broken\", \
             \"preset:old@1\", \"preset:old@2\""
        );
        assert_eq!(first("'preset:broken'"), "preset:broken: unknown key `limts` | did you mean `limits`?");
    }
}
