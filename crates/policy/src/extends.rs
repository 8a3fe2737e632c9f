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
    pub(crate) names: Vec<&'static str>,
    pub(crate) text: fn(&str) -> Option<&'static str>,
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
        let Some(text) = (self.presets.text)(name) else {
            let help = match suggestion(name, self.presets.names.iter().copied()) {
                Some(near) => format!("did you mean \"preset:{near}\"?"),
                None => format!("known: {}", self.known()),
            };
            return self.refuse(entry, format!("there is no preset \"{shown}\""), help);
        };
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

    fn known(&self) -> String {
        self.presets.names.iter().map(|n| format!("\"preset:{n}\"")).collect::<Vec<_>>().join(", ")
    }
}
