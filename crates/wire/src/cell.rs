//! What a wasm cell and a compile cell are given: inherited descriptors and one JSON file.

use serde::{Deserialize, Serialize};

/// Fixed descriptors of a wasm cell. `0` is `/dev/null`, `1` and `2` are pipes to the supervisor.
pub mod cell_fd {
    /// Stream socket to the shim.
    pub const CHANNEL: i32 = 3;
    /// Sealed memfd: the precompiled component.
    pub const ARTIFACT: i32 = 4;
    /// Sealed memfd: [`super::CellConfig`] as JSON.
    pub const CONFIG: i32 = 5;
    /// Sealed memfd: the second filter, an array of `struct sock_filter` (seccomp(2)).
    pub const FILTER: i32 = 6;
}

/// Fixed descriptors of a compile cell. `2` is a pipe for one message to the operator.
pub mod compile_fd {
    /// Sealed memfd: the component, untrusted.
    pub const COMPONENT: i32 = 3;
    /// Memfd to fill with the artifact.
    pub const ARTIFACT: i32 = 4;
}

/// Limits and inputs of one wasm agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellConfig {
    /// Arguments of the agent's `run` export.
    pub task: Vec<String>,
    /// The whole WASI environment.
    pub env: Vec<(String, String)>,
    /// Bytes all linear memories of the agent may reach together.
    pub memory: u64,
    /// Elements all tables of the agent may reach together.
    pub table_elements: u64,
    /// Fuel for the whole run, in wasmtime's units.
    pub fuel: u64,
    /// Wall-clock limit in milliseconds, from `Start`.
    pub wall_ms: u64,
    /// Longest log line in bytes; what is longer is cut by the cell and refused by the shim.
    pub log_line: u64,
}

/// Exit codes of `stockade-compile`.
pub mod compile_exit {
    /// The artifact is written.
    pub const OK: i32 = 0;
    /// The input is not a valid component (the message says what it is).
    pub const INVALID: i32 = 10;
    /// A valid component, but not of the agent's world.
    pub const WORLD: i32 = 11;
    /// The compiler's own trouble.
    pub const INTERNAL: i32 = 12;
}

/// Exit codes of `stockade-cell`. Its `Exit` frame tells more.
pub mod cell_exit {
    /// The agent finished.
    pub const FINISHED: i32 = 0;
    /// The agent said it failed.
    pub const FAILED: i32 = 1;
    /// The agent trapped or hit a limit of the inner sandbox.
    pub const TRAPPED: i32 = 2;
    /// The artifact, the configuration or the channel is not usable; no agent code ran.
    pub const SETUP: i32 = 3;
}

/// What an artifact depends on besides its component: the engine's version and settings. Part of
/// the cache's key, so that who keeps the cache need not link the engine. `stockade-cell` tests
/// that it is true. The processor's features are not in it: an artifact made on another
/// processor is refused by the cell, never run.
pub const ENGINE_FINGERPRINT: &str = "wasmtime=48.0.8 arch=x86_64 nan=true relaxed_det=true fuel=true \
    epoch=true threads=false gc=false memory64=false async=false wasm_stack=524288 \
    async_stack=2097152 reservation=4294967296 guard=33554432 cow=false";
