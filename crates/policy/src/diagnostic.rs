//! What is wrong with a policy, where, and what to do: with file, line, column and a caret.

use crate::model::Origin;
use annotate_snippets::{AnnotationKind, Element, Level, Renderer, Snippet};
use std::ops::Range;
use std::sync::Arc;

/// Findings shown at once; the rest is counted.
const SHOWN: usize = 20;

/// A text and the name it goes by.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SourceText {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) source: Arc<SourceText>,
    pub(crate) span: Range<usize>,
}

impl Place {
    fn before(&self) -> &str {
        self.source.text.get(..self.span.start).unwrap_or(&self.source.text)
    }

    pub(crate) fn text(&self) -> Option<&str> {
        self.source.text.get(self.span.clone())
    }

    /// From 1.
    pub(crate) fn line(&self) -> u32 {
        let newlines = self.before().bytes().filter(|b| *b == b'\n').count();
        u32::try_from(newlines).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// In characters, from 1.
    fn column(&self) -> u32 {
        let before = self.before();
        let line = before.rfind('\n').and_then(|at| before.get(at + 1..)).unwrap_or(before);
        u32::try_from(line.chars().count()).unwrap_or(u32::MAX).saturating_add(1)
    }

    pub(crate) fn origin(&self) -> Origin {
        Origin { file: self.source.name.clone(), line: self.line() }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// The file, as it was named, or `preset:NAME`.
    pub file: String,
    /// Line and column in characters, both from 1, if it is about a place in the text.
    pub position: Option<(u32, u32)>,
    place: Option<Place>,
}

impl Diagnostic {
    pub(crate) fn at(place: &Place, message: impl Into<String>) -> Self {
        let position = Some((place.line(), place.column()));
        let file = place.source.name.clone();
        Self { message: message.into(), help: None, file, position, place: Some(place.clone()) }
    }

    pub(crate) fn of(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None, file: file.into(), position: None, place: None }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    fn render(&self, renderer: &Renderer) -> String {
        let name = self.file.escape_debug().to_string();
        // Titles are made safe by the renderer, messages are not.
        let help = self.help.as_deref().map(visible);
        let help = help.as_ref().map(|h| Element::from(Level::HELP.message(h.as_str())));
        let Some(place) = &self.place else {
            // What is wrong with the file itself begins with its name.
            let named = self.message.starts_with(&format!("{name} "));
            let title = if named { self.message.clone() } else { format!("{name}: {}", self.message) };
            let group = Level::ERROR.primary_title(title).elements(help);
            return renderer.render(&[group]);
        };
        let snippet = Snippet::source(&place.source.text)
            .path(name)
            .annotation(AnnotationKind::Primary.span(clamp(&place.source.text, &place.span)));
        let group = Level::ERROR.primary_title(&self.message).element(snippet).elements(help);
        renderer.render(&[group])
    }
}

/// Text whose controls are written out.
fn visible(text: &str) -> String {
    let one = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(one).collect()
}

/// A span that lies on characters of the text, whatever a parser reported.
fn clamp(text: &str, span: &Range<usize>) -> Range<usize> {
    let floor = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = floor(span.start);
    start..floor(span.end).max(start)
}

/// Everything found wrong in one go; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics(pub(crate) Vec<Diagnostic>);

impl Diagnostics {
    /// The findings, in the order of the text.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.0.iter()
    }

    /// Text for a terminal; `styled` adds colours. Control characters of the source are made visible.
    #[must_use]
    pub fn render(&self, styled: bool) -> String {
        let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
        let mut parts: Vec<String> = self.0.iter().take(SHOWN).map(|d| d.render(&renderer)).collect();
        if let Some(more) = self.0.len().checked_sub(SHOWN).filter(|n| *n > 0) {
            parts.push(format!("error: {more} more"));
        }
        parts.join("\n\n")
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(one: Diagnostic) -> Self {
        Self(vec![one])
    }
}

impl std::fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}
