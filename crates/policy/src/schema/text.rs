//! The schema as text.

use super::builtin::Action;
use crate::cedar::quote;
use crate::mcp::{McpServer, McpTool};

const HEAD: &str = "\
// What a tool call looks like to a policy. `context.args` holds the call's arguments as the tool types
// them, defaults filled in; other keys of the context are Stockade's own.

// Who asks; the id is the policy's id.
entity Agent;
// A file or directory of the workspace: Path::\"@workspace\", Path::\"@workspace/src\". A path is `in` each
// directory above it and in itself.
entity Path in [Path];
// The program of an `exec` call: Program::\"/usr/bin/git\".
entity Program;
// What tools without an object act on; the id is the tool's name.
entity Tool;
// Where a connection goes, host and port in one spelling: Host::\"api.github.com:443\", Host::\"[2001:db8::1]:443\".
entity Host;
// An MCP server; the id is its name in the policy: McpServer::\"git\".
entity McpServer;
// A language model; the id is its name: Model::\"small\".
entity Model;

// When the call is decided: seconds since 1970-01-01T00:00:00Z, and of that the hour (0 to 23), the minute
// (0 to 59) and the day of the week (1 for Monday to 7 for Sunday), all in UTC.
type Now = { unix: Long, hour: Long, minute: Long, weekday: Long };
// Calls of this run that were decided before this one: all, those of the same tool, those of the same tool
// in the last 60 seconds, all in the last 60 seconds.
type Calls = { total: Long, tool: Long, minute: Long, minute_all: Long };

// In every context: `approved` says that a person approved exactly this call, and `rule` is the id of the
// entry of the policy that the call matches, for the actions whose comment speaks of one.
";

/// The schema of these actions and of the tools of these servers, as Cedar text.
///
/// A comment tells what a policy does not see of an MCP tool's arguments.
#[must_use]
pub fn schema_text(actions: &[Action], servers: &[McpServer]) -> String {
    let mut out = String::from(HEAD);
    for action in actions {
        out.push('\n');
        action.doc.iter().for_each(|line| out.push_str(&format!("// {line}\n")));
        let field = |arg: &super::Arg| format!("{}{}: {}", arg.name, if arg.required { "" } else { "?" }, arg.cedar);
        let fields: Vec<String> = action.args.iter().map(field).collect();
        let args = if fields.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", fields.join(", ")) };
        applies(action.name, action.resource.name(), &args, &mut out);
    }
    for server in servers {
        for tool in server.tools() {
            out.push('\n');
            unseen(tool, &mut out);
            applies(&server.action(tool), "McpServer", &tool.args_type().to_string(), &mut out);
        }
    }
    out
}

fn applies(action: &str, resource: &str, args: &str, out: &mut String) {
    out.push_str(&format!(
        "action {} appliesTo {{\n  principal: Agent, resource: {resource},\n  context: {{\n    args: {args},\n    \
         approved: Bool, now: Now, calls: Calls, rule?: String,\n  }},\n}};\n",
        quote(action)
    ));
}

/// Pointers come from the server; they are printed with control characters escaped, and on one line.
fn unseen(tool: &McpTool, out: &mut String) {
    for remark in tool.unmapped().iter().take(64) {
        out.push_str(&format!("// not seen by policies: {remark}\n"));
    }
    match tool.unmapped().len() {
        0..=64 => {}
        n => out.push_str(&format!("// not seen by policies: {} more\n", n - 64)),
    }
}
