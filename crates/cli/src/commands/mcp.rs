//! `stockade mcp`.

use std::path::Path;

use serde_json::Value;
use stockade_policy::mcp::{McpTool, drift, read_tools};
use stockade_policy::{Ceiling, Options, unpinned};
use stockade_supervisor::run::{Agent, Course, Request, run as run_agent};

use crate::args::mcp::{Mcp, Pin};
use crate::atomic::{Folder, Owned};
use crate::commands::policy::refused;
use crate::commands::run::filters;
use crate::failure::Failure;
use crate::output;
use crate::say::say;
use crate::screen::plain;

/// Exit code where nothing was approved.
const NOT_APPROVED: u8 = 20;

/// Looks at a server's tools.
///
/// # Errors
/// If the server could not be looked at, or the list not be written.
pub fn mcp(args: &Mcp) -> Result<u8, Failure> {
    let Mcp::Pin(args) = args;
    let ceiling = Ceiling::of_host().map_err(|found| refused(&found))?;
    let options = Options { ceiling, ..Options::default() };
    let found = unpinned(&args.policy, &args.name, &options).map_err(|found| refused(&found))?;
    let live = live(args, found.policy)?;
    let Some(live) = live else { return Ok(NOT_APPROVED) };
    let now = tools(&live).map_err(|why| Failure::usage(format!("what the server lists is refused: {why}")))?;
    let before = match &found.approved {
        // One that cannot be read was approved by nobody.
        Some(text) => Some(tools(text).map_err(|why| Failure::usage(format!("{}: {why}", found.list)))?),
        None => None,
    };
    let changes = changes(before.as_deref().unwrap_or_default(), &now);
    for line in &changes {
        output::text(&format!("{}\n", plain(line)))?;
    }
    match before {
        Some(_) if changes.is_empty() => {
            say(&format!("{}: {} tools, each as approved", args.name, now.len()));
            return Ok(0);
        }
        Some(_) if !args.replace => {
            say(&format!("{} is left as it is; to approve what is shown, add --replace", plain(&found.list)));
            return Ok(NOT_APPROVED);
        }
        _ => {}
    }
    write(&args.policy, &found.list, &live)?;
    say(&format!("approved: {} tools of {}, in {}", now.len(), args.name, plain(&found.list)));
    Ok(0)
}

/// What the server lists, from its cell.
fn live(args: &Pin, policy: stockade_policy::Policy) -> Result<Option<String>, Failure> {
    let command = policy.mcp.first().map(|rule| rule.command.clone()).unwrap_or_default();
    let finished = run_agent(Request {
        policy,
        policy_file: args.policy.clone(),
        workspace: args.workspace.clone(),
        name: format!("pin-{}", args.name),
        // Its cell is made and ended; the program never runs in it.
        agent: Agent::Native { argv: command },
        pin: Some(args.name.clone()),
        state: Some(args.state.clone()),
        headless: true,
        filters: filters(false)?,
        course: Course::New,
        log: Box::new(|level, message| format!("{level}: {}", plain(message))),
        notice: Box::new(|text| say(&plain(text))),
    })?;
    match finished.pinned {
        Some(Ok(live)) => Ok(Some(live)),
        Some(Err(why)) => {
            say(&format!(
                "{} showed no tools: {}; see: stockade journal show {}",
                args.name,
                plain(&why),
                finished.run
            ));
            Ok(None)
        }
        None => {
            say(&format!("{} showed no tools: {}", args.name, plain(&finished.end.detail)));
            Ok(None)
        }
    }
}

fn tools(text: &str) -> Result<Vec<McpTool>, String> {
    read_tools(text.as_bytes()).map(|page| page.tools).map_err(|error| error.to_string())
}

/// Every tool that is new, gone or another, with what differs.
fn changes(before: &[McpTool], now: &[McpTool]) -> Vec<String> {
    let mut lines = Vec::new();
    for tool in now {
        match before.iter().find(|known| known.name() == tool.name()) {
            None => {
                lines.push(format!("+ {}", tool.name()));
                lines.extend(tool.description().into_iter().flat_map(str::lines).map(|line| format!("+   {line}")));
            }
            Some(known) => {
                if let Some(how) = drift(known, tool) {
                    lines.push(format!("  {}", tool.name()));
                    lines.extend(how);
                }
            }
        }
    }
    let gone = before.iter().filter(|known| !now.iter().any(|tool| tool.name() == known.name()));
    lines.extend(gone.map(|tool| format!("- {}", tool.name())));
    lines
}

/// Puts the list beside the policy, whole or not at all.
fn write(policy: &Path, list: &str, live: &str) -> Result<(), Failure> {
    let value: Value = serde_json::from_str(live).map_err(|error| Failure::internal(&error))?;
    let mut text = serde_json::to_vec_pretty(&value).map_err(|error| Failure::internal(&error))?;
    text.push(b'\n');
    let folder = policy.parent().unwrap_or(Path::new("."));
    let put = || -> std::io::Result<()> {
        let folder = Folder::open(folder)?;
        let owner = folder.owned()?;
        folder.put(list, &text, Owned { uid: owner.uid, gid: owner.gid, mode: 0o644 })
    };
    put().map_err(|error| Failure::usage(format!("{}: {error}", folder.join(list).display())))
}
