//! An `[[mcp]]` entry with what its approved list of tools says.

use crate::diagnostic::{Diagnostic, SourceText};
use crate::model::McpRule;
use crate::text::file::McpText;

pub(crate) fn rule(text: &McpText, _source: &SourceText) -> Result<McpRule, Diagnostic> {
    Err(Diagnostic::at(&text.place, "stub"))
}
