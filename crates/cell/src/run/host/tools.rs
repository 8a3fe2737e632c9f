//! `stockade:agent/tools` and `stockade:agent/log`.

use stockade_wire::frame::{FromCell, Level, MAX_FRAME, MAX_TOOL, Status};

use super::Host;
use super::bindings::stockade::agent::{log, tools};
use crate::message::prefix;
use crate::run::end::Stop;

/// Longest arguments in bytes: a frame less its header and a tool's name.
const MAX_ARGS: usize = MAX_FRAME - 64 - MAX_TOOL;

impl tools::Host for Host {
    fn call(&mut self, tool: String, args: String) -> wasmtime::Result<Result<String, tools::ToolError>> {
        // What can't be put into a frame is refused here; all else is for the shim to judge.
        for (what, length, most) in [("tool name", tool.len(), MAX_TOOL), ("arguments", args.len(), MAX_ARGS)] {
            if length > most {
                let told = serde_json::json!({ "error": format!("{what} of {length} bytes; at most {most}") });
                return Ok(Err(tools::ToolError::Invalid(told.to_string())));
            }
        }
        let (status, body) = self.ask(&tool, args)?;
        Ok(match status {
            Status::Ok => Ok(body),
            Status::Denied => Err(tools::ToolError::Denied(body)),
            Status::Invalid => Err(tools::ToolError::Invalid(body)),
            Status::Failed => Err(tools::ToolError::Failed(body)),
            Status::Limit => Err(tools::ToolError::Limit(body)),
        })
    }
}

impl log::Host for Host {
    fn log(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        let level = match level {
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        let message = prefix(&message, self.log_line).to_owned();
        self.channel.send(&FromCell::Log { level, message }).map_err(Stop::from)?;
        Ok(())
    }
}
