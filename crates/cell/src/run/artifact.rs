//! The precompiled component.

use std::fmt::Write as _;
use std::fs::File;

use sha2::{Digest, Sha256};
use stockade_wire::cell::cell_fd;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::limits::{MAX_MEMORIES, MAX_TABLES};
use super::setup::SetupError;
use crate::inherited;

/// Longest artifact in bytes: native code is some times its component.
const MAX_ARTIFACT: u64 = 1 << 30;

/// Loads the artifact; returns it with its SHA-256 in hex.
#[allow(unsafe_code)]
pub(super) fn load(engine: &Engine, file: &File) -> Result<(Component, String), SetupError> {
    let bytes = inherited::read_all(file, cell_fd::ARTIFACT, MAX_ARTIFACT).map_err(SetupError::Inherited)?;
    let digest = hex(&Sha256::digest(&bytes));
    if Engine::detect_precompiled(&bytes).is_none() {
        return Err(SetupError::NotAnArtifact(bytes.len()));
    }
    // SAFETY: `deserialize` trusts the bytes to be an unmodified output of wasmtime's compiler.
    // They come from a memfd whose seals were checked, so nobody changes them now; its writer was
    // `stockade-compile` in a cell of its own, or the cache that is written by the supervisor
    // alone. Nothing an agent or its workspace supplies reaches this call uncompiled. The last
    // defence is that this process is itself the cell: it holds no authority to lose.
    let component = unsafe { Component::deserialize(engine, &bytes) }.map_err(SetupError::Artifact)?;
    let Some(needs) = component.resources_required() else {
        return Err(SetupError::ImportsModules);
    };
    for (what, count, most) in
        [("linear memories", needs.num_memories, MAX_MEMORIES), ("tables", needs.num_tables, MAX_TABLES)]
    {
        if usize::try_from(count).unwrap_or(usize::MAX) > most {
            return Err(SetupError::TooMany { what, count, most });
        }
    }
    Ok((component, digest))
}

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}
