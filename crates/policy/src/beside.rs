//! Files that lie beside a policy: Cedar files, and what MCP servers were approved with.

use crate::diagnostic::{Diagnostic, Place, SourceText};
use crate::extends::Layer;
use crate::mcp::{McpServer, pin, read_tools};
use crate::model::McpRule;
use crate::source::Folder;
use crate::text::Located;
use crate::text::file::McpText;
use std::sync::Arc;

/// The folder, and what was read of it.
pub(crate) struct Beside<'f> {
    pub(crate) folder: Option<&'f Folder>,
    /// Names and texts, for the seal.
    pub(crate) read: Vec<(String, String)>,
}

/// An MCP server and its approved list.
pub(crate) struct Served {
    pub(crate) rule: McpRule,
    pub(crate) server: McpServer,
    /// The list's text.
    pub(crate) list: String,
}

impl Beside<'_> {
    /// Reads a file that the policy names.
    pub(crate) fn read(&mut self, name: &Located<String>) -> Result<SourceText, Diagnostic> {
        let Some(folder) = self.folder else {
            let shown: String = name.value.escape_debug().take(128).collect();
            return Err(Diagnostic::at(&name.place, format!("\"{shown}\" cannot be read: this policy is not a file"))
                .help("save the policy, with the file beside it"));
        };
        let source = folder.read(&name.value)?;
        self.read.push((name.value.clone(), source.text.clone()));
        Ok(source)
    }

    /// The MCP servers with what their approved lists say.
    pub(crate) fn servers(&mut self, layers: &[Layer]) -> Result<Vec<Served>, Vec<Diagnostic>> {
        let (mut servers, mut errors): (Vec<Served>, Vec<Diagnostic>) = (Vec::new(), Vec::new());
        for text in layers.iter().flat_map(|layer| &layer.file.mcp) {
            if let Some(twin) = servers.iter().find(|one| one.rule.name == text.name.value) {
                let message = format!(
                    "the name of [[mcp]] \"{}\" is taken by the entry at {}",
                    text.name.value, twin.rule.origin
                );
                errors.push(Diagnostic::at(&text.name.place, message).help("give it another name"));
                continue;
            }
            match self.read(&text.tools).and_then(|source| served(text, source)) {
                Ok(server) => servers.push(server),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(servers) } else { Err(errors) }
    }
}

fn served(text: &McpText, source: SourceText) -> Result<Served, Diagnostic> {
    let known = crate::presets::preset_names().find(|name| {
        text.policy
            .value
            .strip_prefix("preset:")
            .is_some_and(|wanted| wanted == *name || name.split('@').next() == Some(wanted))
    });
    if known.is_none() {
        let shown: String = text.policy.value.escape_debug().take(128).collect();
        return Err(Diagnostic::at(&text.policy.place, format!("there is no preset \"{shown}\""))
            .help("write policy = \"preset:mcp-readonly@1\""));
    }
    let source = Arc::new(source);
    let whole = Place { source: Arc::clone(&source), span: 0..0 };
    let fault = |error: crate::mcp::ReadError| {
        Diagnostic::at(&whole, format!("not a `tools/list` answer: {error}"))
            .help("save what the server answers to tools/list, as it was reviewed")
    };
    let page = read_tools(source.text.as_bytes()).map_err(fault)?;
    if page.next_cursor.is_some() {
        return Err(Diagnostic::at(&whole, "the list has a `nextCursor`: it is not the whole list")
            .help("put the tools of all pages into one list"));
    }
    let server = McpServer::new(&text.name.value, page.tools).map_err(fault)?;
    let mut pins: Vec<(String, String)> =
        server.tools().iter().map(|tool| (tool.name().to_owned(), pin(tool).digest)).collect();
    pins.sort();
    let rule = McpRule {
        name: text.name.value.clone(),
        command: text.command.clone(),
        policy: text.policy.value.clone(),
        pins,
        origin: text.place.origin(),
    };
    Ok(Served { rule, server, list: source.text.clone() })
}
