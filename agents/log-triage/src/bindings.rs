//! The component's side: the world `stockade:agent/plain`.
#![allow(missing_docs, clippy::all, clippy::restriction)]

wit_bindgen::generate!({ path: "../../crates/cell/wit", world: "stockade:agent/plain" });

use crate::tools::{Level, Refusal, Tools};
use stockade::agent::{log, tools};

struct Stockade;

impl Tools for Stockade {
    fn call(&mut self, tool: &str, args: &str) -> Result<String, Refusal> {
        tools::call(tool, args).map_err(|error| match error {
            tools::ToolError::Denied(body) => Refusal { kind: "denied", body },
            tools::ToolError::Invalid(body) => Refusal { kind: "invalid", body },
            tools::ToolError::Failed(body) => Refusal { kind: "failed", body },
            tools::ToolError::Limit(body) => Refusal { kind: "limit", body },
        })
    }

    fn log(&mut self, level: Level, message: &str) {
        let level = match level {
            Level::Info => log::Level::Info,
            Level::Warn => log::Level::Warn,
        };
        log::log(level, message);
    }
}

struct Component;

impl Guest for Component {
    fn run(task: Vec<String>) -> Result<String, String> {
        crate::run(&task, &mut Stockade)
    }
}

export!(Component);
