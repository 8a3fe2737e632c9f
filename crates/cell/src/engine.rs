//! The one engine configuration that compiles and runs agents.
//!
//! wasmtime refuses an artifact whose settings differ from the running engine's, but not for all
//! of them: NaN canonicalisation and the optimisation level are the compiler's alone. So both
//! programs build their engine here, from the same constants, and the constants' text is part of
//! the cache key ([`stockade_wire::cell::ENGINE_FINGERPRINT`]).

use std::num::NonZeroUsize;

use serde::Serialize;
use wasmtime::{Config, Engine};

/// wasmtime's version as the workspace pins it.
pub const WASMTIME_VERSION: &str = "48.0.8";

/// What decides how agent code behaves. Everything here is in the `start` record and in the
/// cache key; a change must change `ENGINE_FINGERPRINT`, which a test asserts.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Settings {
    /// Every NaN an instruction makes has one bit pattern, so that runs can be compared.
    pub nan_canonicalization: bool,
    /// Relaxed SIMD gives one of its permitted answers, the same on every machine.
    pub relaxed_simd_deterministic: bool,
    /// Work is counted, and ends at a limit that does not depend on the machine's speed.
    pub fuel: bool,
    /// A deadline interrupts code that makes no calls.
    pub epoch: bool,
    /// Shared memories and atomics: scheduling would decide results.
    pub threads: bool,
    /// Garbage-collected types: not built in.
    pub gc: bool,
    /// 64-bit memories: larger than any limit, and bounds-checked in software.
    pub memory64: bool,
    /// Async lifts, streams and futures of the component model.
    pub component_async: bool,
    /// Bytes of stack for agent code; deeper recursion traps.
    pub max_wasm_stack: usize,
    /// Bytes of the stack that agent code and the host functions it calls share.
    pub async_stack: usize,
    /// Bytes of address space reserved for one linear memory.
    pub memory_reservation: u64,
    /// Bytes of unmapped pages behind it, which make bounds checks free.
    pub memory_guard: u64,
    /// Initial contents as copy-on-write mappings of a memfd. They pay off with the second
    /// instance, and a cell has one; without them it needs no memfd_create(2).
    pub memory_init_cow: bool,
}

/// The settings of this version.
pub const SETTINGS: Settings = Settings {
    nan_canonicalization: true,
    relaxed_simd_deterministic: true,
    fuel: true,
    epoch: true,
    threads: false,
    gc: false,
    memory64: false,
    component_async: false,
    max_wasm_stack: 512 << 10,
    async_stack: 2 << 20,
    memory_reservation: 4 << 30,
    memory_guard: 32 << 20,
    memory_init_cow: false,
};

/// Version and settings as one line: what `ENGINE_FINGERPRINT` must be.
#[must_use]
pub fn fingerprint() -> String {
    let s = &SETTINGS;
    format!(
        "wasmtime={WASMTIME_VERSION} arch={} nan={} relaxed_det={} fuel={} epoch={} threads={} gc={} \
         memory64={} async={} wasm_stack={} async_stack={} reservation={} guard={} cow={}",
        std::env::consts::ARCH,
        s.nan_canonicalization,
        s.relaxed_simd_deterministic,
        s.fuel,
        s.epoch,
        s.threads,
        s.gc,
        s.memory64,
        s.component_async,
        s.max_wasm_stack,
        s.async_stack,
        s.memory_reservation,
        s.memory_guard,
        s.memory_init_cow,
    )
}

/// The engine of both programs.
///
/// # Errors
/// wasmtime's, if the processor lacks what the settings need.
pub fn engine() -> wasmtime::Result<Engine> {
    Engine::new(&config())
}

fn config() -> Config {
    let s = &SETTINGS;
    let mut config = Config::new();
    config
        .consume_fuel(s.fuel)
        .epoch_interruption(s.epoch)
        .relaxed_simd_deterministic(s.relaxed_simd_deterministic)
        .shared_memory(s.threads)
        .gc_support(s.gc)
        .wasm_gc(s.gc)
        .wasm_memory64(s.memory64)
        .wasm_stack_switching(s.threads)
        .concurrency_support(s.component_async)
        .max_wasm_stack(s.max_wasm_stack)
        .async_stack_size(s.async_stack)
        .memory_reservation(s.memory_reservation)
        .memory_guard_size(s.memory_guard)
        .memory_init_cow(s.memory_init_cow)
        // Frames are named in trap messages; no file of the host is read for it.
        .wasm_backtrace_max_frames(NonZeroUsize::new(16));
    #[cfg(feature = "compile")]
    config.cranelift_nan_canonicalization(s.nan_canonicalization);
    config
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    #[test]
    fn the_fingerprint_on_the_wire_is_this_engine() {
        assert_eq!(stockade_wire::cell::ENGINE_FINGERPRINT, super::fingerprint());
    }

    #[test]
    fn the_version_is_the_one_the_workspace_pins() {
        let manifest = include_str!("../../../Cargo.toml");
        assert!(manifest.contains(&format!("wasmtime = {{ version = \"={}\"", super::WASMTIME_VERSION)));
    }

    #[test]
    fn the_engine_can_be_built() {
        super::engine().unwrap();
    }
}
