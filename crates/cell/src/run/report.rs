//! What the cell says of itself before agent code runs; it goes into the run's first record.

use serde::Serialize;
use stockade_wire::cell::CellConfig;

use super::limits::{MAX_INSTANCES, MAX_MEMORIES, MAX_TABLES};
use super::seal::Canary;
use crate::engine::{SETTINGS, Settings, WASMTIME_VERSION};

/// What setup found out.
#[derive(Debug)]
pub(super) struct Facts {
    /// SHA-256 of the artifact, hex.
    pub(super) artifact: String,
    /// SHA-256 of the second filter's bytes, hex.
    pub(super) filter: String,
    /// Its instructions.
    pub(super) filter_len: usize,
    /// Limits and inputs.
    pub(super) config: CellConfig,
}

#[derive(Serialize)]
struct Ready<'a> {
    engine: Engine,
    limits: Limits,
    artifact_sha256: &'a str,
    seal: Seal<'a>,
    canaries: &'a [Canary],
    /// Names alone: values may be secrets.
    environment: Vec<&'a str>,
}

#[derive(Serialize)]
struct Engine {
    name: &'static str,
    version: &'static str,
    fingerprint: String,
    settings: Settings,
}

#[derive(Serialize)]
struct Limits {
    memory: u64,
    table_elements: u64,
    fuel: u64,
    wall_ms: u64,
    instances: usize,
    memories: usize,
    tables: usize,
}

#[derive(Serialize)]
struct Seal<'a> {
    filter_sha256: &'a str,
    instructions: usize,
    threads: &'static str,
}

/// The body of the `Ready` frame.
pub(super) fn ready(facts: &Facts, canaries: &[Canary]) -> Vec<u8> {
    let config = &facts.config;
    let report = Ready {
        engine: Engine {
            name: "wasmtime",
            version: WASMTIME_VERSION,
            fingerprint: crate::engine::fingerprint(),
            settings: SETTINGS,
        },
        limits: Limits {
            memory: config.memory,
            table_elements: config.table_elements,
            fuel: config.fuel,
            wall_ms: config.wall_ms,
            instances: MAX_INSTANCES,
            memories: MAX_MEMORIES,
            tables: MAX_TABLES,
        },
        artifact_sha256: &facts.artifact,
        seal: Seal { filter_sha256: &facts.filter, instructions: facts.filter_len, threads: "all" },
        canaries,
        environment: config.env.iter().map(|(name, _)| name.as_str()).collect(),
    };
    // Numbers and strings alone: this can't fail, and if it did the shim would refuse an empty report.
    serde_json::to_vec(&report).unwrap_or_default()
}
