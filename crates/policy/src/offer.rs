//! Which tools there are, and which of them an agent is told of.

use crate::decide::Decider;
use crate::mcp::{McpServer, McpTool};
use crate::tool::{Tool, definition};
use serde_json::Value;

impl Decider {
    /// The server and the tool that `mcp.SERVER.TOOL` names.
    #[must_use]
    pub fn served(&self, name: &str) -> Option<(&McpServer, &McpTool)> {
        let (server, tool) = name.strip_prefix("mcp.")?.split_once('.')?;
        let server = self.servers.iter().find(|known| known.name() == server)?;
        Some((server, server.tool(tool)?))
    }

    /// Whether there is a tool of that name: one of ours, or one of a server's approved list.
    #[must_use]
    pub fn knows(&self, tool: &str) -> bool {
        Tool::from_name(tool).is_some() || self.served(tool).is_some()
    }

    /// The MCP servers of the policy, with their tools as they were approved.
    #[must_use]
    pub fn servers(&self) -> &[McpServer] {
        &self.servers
    }

    /// Whether some call of a tool could be allowed or asked about: a rule permits some, and none forbids all. Of a tool
    /// of which this does not hold every call is denied; where it holds, each is still decided.
    #[must_use]
    pub fn could_call(&self, tool: &str) -> bool {
        if tool == Tool::Tools.name() {
            return true;
        }
        let about = self.bundle.rules.iter().map(|rule| &rule.code).filter(|code| code.is_about(tool));
        let mut permitted = false;
        for code in about {
            if code.forbid && code.is_unconditional() {
                return false;
            }
            permitted |= !code.forbid;
        }
        permitted
    }

    /// What an agent is told of the tools that it could call, as entries of a `tools/list` answer (MCP, Tools). `lives`
    /// says of a server's tool whether it is there, and still the one that was approved.
    #[must_use]
    pub fn offered(&self, lives: impl Fn(&McpServer, &McpTool) -> bool) -> Vec<Value> {
        let own = Tool::ALL.into_iter().chain([Tool::Tools]).filter(|tool| self.could_call(tool.name()));
        let own = own.filter_map(|tool| Some(definition(tool)?.listed_as(tool.name())));
        let theirs = self.servers.iter().flat_map(|server| server.tools().iter().map(move |tool| (server, tool)));
        let theirs = theirs.filter_map(|(server, tool)| {
            let name = server.action(tool);
            (self.could_call(&name) && lives(server, tool)).then(|| tool.listed_as(&name))
        });
        own.chain(theirs).collect()
    }
}
