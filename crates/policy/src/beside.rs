//! Files that lie beside a policy: Cedar files, and what MCP servers were approved with.

use crate::bundle::MAX_SERVERS;
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
    /// Servers are to be looked at before their lists are approved: no list is read, and none has a tool.
    pub(crate) unlisted: bool,
}

/// An MCP server and its approved list.
pub(crate) struct Served {
    pub(crate) rule: McpRule,
    /// What names the policy of its cell.
    pub(crate) policy: Located<String>,
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

    /// The text of the policy that a cell of its own is to have: a preset, or a file.
    pub(crate) fn policy(&mut self, name: &Located<String>) -> Result<SourceText, Diagnostic> {
        let Some(wanted) = name.value.strip_prefix("preset:") else { return self.read(name) };
        let known = crate::presets::preset_names()
            .filter(|known| *known == wanted || known.split('@').next() == Some(wanted))
            .max_by_key(|known| known.rsplit('@').next().and_then(|version| version.parse::<u32>().ok()));
        let Some((known, text)) = known.and_then(|known| Some((known, crate::presets::preset(known)?))) else {
            let shown: String = name.value.escape_debug().take(128).collect();
            return Err(Diagnostic::at(&name.place, format!("there is no preset \"{shown}\""))
                .help("write policy = \"preset:mcp-readonly@1\", or name a policy file beside this one"));
        };
        Ok(SourceText { name: format!("preset:{known}"), text: text.to_owned() })
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
            if servers.len() >= MAX_SERVERS {
                let message = format!("[[mcp]] \"{}\" is one server too many", text.name.value);
                let help = format!("at most {MAX_SERVERS} are taken");
                errors.push(Diagnostic::at(&text.name.place, message).help(help));
                break;
            }
            let list = match self.unlisted {
                true => Ok(SourceText { name: text.tools.value.clone(), text: "{\"tools\":[]}".to_owned() }),
                false => self.read(&text.tools),
            };
            match list.and_then(|source| served(text, source)) {
                Ok(server) => servers.push(server),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(servers) } else { Err(errors) }
    }
}

fn served(text: &McpText, source: SourceText) -> Result<Served, Diagnostic> {
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
        // Known when it is loaded.
        policy_digest: String::new(),
        pins,
        origin: text.place.origin(),
    };
    Ok(Served { rule, policy: text.policy.clone(), server, list: source.text.clone() })
}
