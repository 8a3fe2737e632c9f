//! What a wasm agent's course depends on, besides its component and the answers it gets: part of the `start` record.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stockade_journal::Payload;
use stockade_policy::{Limits, Policy};
use stockade_wire::cell::{CellConfig, ENGINE_FINGERPRINT};

/// As recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The engine's version and settings (`stockade_wire::cell::ENGINE_FINGERPRINT`).
    pub engine: String,
    /// Name of the policy bundle.
    pub bundle: String,
    /// Bytes that all linear memories may reach together.
    pub memory: u64,
    /// Elements that all tables may reach together.
    pub table_elements: u64,
    /// Fuel of the run.
    pub fuel: u64,
    /// Wall-clock limit in milliseconds.
    pub wall_ms: u64,
    /// Longest line of the log in bytes.
    pub log_line: u64,
    /// The environment, by name. Values that were passed on from the operator's are private.
    pub env: Vec<(String, Payload)>,
    /// The limits around the cell, which a replay gets, too.
    pub cell: Around,
    /// The task, whole.
    pub task: Vec<String>,
    /// When its records may go. The agent's course does not depend on it.
    #[serde(default, skip_serializing)]
    pub retention: IgnoredAny,
}

/// Limits of the kernel around a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Around {
    /// Bytes of memory of every kind.
    pub memory: u64,
    /// Thousandths of one CPU.
    pub cpu_millis: u32,
    /// Tasks.
    pub pids: u32,
    /// Open descriptors.
    pub files: u32,
}

impl Around {
    /// Those of a policy.
    #[must_use]
    pub fn of(limits: &Limits) -> Self {
        let Limits { memory, cpu_millis, pids, files, .. } = *limits;
        Self { memory, cpu_millis, pids, files }
    }
}

/// The settings of a wasm run as the shim is told them: it adds the task, which it has, and turns what is passed on
/// from the operator's environment into commitments.
pub(crate) fn of_wasm(config: &CellConfig, policy: &Policy, bundle: &str) -> Value {
    let env = config.env.iter().map(|(name, value)| {
        let kind = if policy.env.iter().any(|(set, _)| set == name) { "inline" } else { "private" };
        json!([name, { kind: value }])
    });
    json!({
        "engine": ENGINE_FINGERPRINT,
        "bundle": bundle,
        "memory": config.memory,
        "table_elements": config.table_elements,
        "fuel": config.fuel,
        "wall_ms": config.wall_ms,
        "log_line": config.log_line,
        "env": env.collect::<Vec<_>>(),
        "cell": Around::of(&policy.limits),
    })
}

impl Settings {
    /// What would be otherwise if the agent ran with `config` under `policy` here; empty if nothing.
    pub(crate) fn differences(&self, config: &CellConfig, policy: &Policy, bundle: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut compare = |what: &str, recorded: String, now: String| {
            if recorded != now {
                found.push(format!("{what}: recorded is {recorded}, here it is {now}"));
            }
        };
        compare("engine", self.engine.clone(), ENGINE_FINGERPRINT.to_owned());
        compare("policy bundle", self.bundle.clone(), bundle.to_owned());
        for (what, recorded, now) in [
            ("limits.memory (inside the cell)", self.memory, config.memory),
            ("limits.tables", self.table_elements, config.table_elements),
            ("limits.fuel", self.fuel, config.fuel),
            ("limits.wall", self.wall_ms, config.wall_ms),
            ("longest log line", self.log_line, config.log_line),
        ] {
            compare(what, recorded.to_string(), now.to_string());
        }
        compare("limits of the cell", format!("{:?}", self.cell), format!("{:?}", Around::of(&policy.limits)));
        found
    }
}
