//! Plans for programs of ours: shim, wasm cell, compiler.

use std::os::fd::OwnedFd;

use nix::libc;
use stockade_plan::{Access, Owner, Role, What};
use stockade_policy::seccomp;
use stockade_wire::cell::{CellConfig, cell_fd, compile_fd};

use super::draft::{Draft, Finish};
use crate::cgroup::CellGroup;
use crate::error::RunError;
use crate::home::{Home, dev_null};
use crate::launch::Order;
use crate::memfd;

/// Address space of a shim: its bounded buffers many times over.
const SHIM_ADDRESS_SPACE: u64 = 1 << 30;

fn target(fd: i32) -> u8 {
    // Fixed descriptors of ours are below 16.
    u8::try_from(fd).unwrap_or(u8::MAX)
}

/// What a shim is given.
pub(crate) struct ShimInputs<'a> {
    pub host_id: u32,
    pub group: &'a CellGroup,
    pub landlock_abi: u8,
    pub hostname: &'a str,
    pub diagnostics: OwnedFd,
    pub control: OwnedFd,
    pub channel: Option<OwnedFd>,
    /// A native agent's MCP session.
    pub agent: Option<OwnedFd>,
    pub egress: Option<OwnedFd>,
    pub journal: OwnedFd,
    /// The journal is a copy, and only read.
    pub only_read: bool,
    pub workspace: Option<(OwnedFd, Owner)>,
}

/// A shim: the journal and the workspace and nothing else.
pub(crate) fn shim(home: &Home, inputs: ShimInputs<'_>) -> Result<Order, RunError> {
    let mut draft = Draft::default();
    for target in 0..2 {
        draft.descriptor(dev_null()?, target)?;
    }
    draft.descriptor(inputs.diagnostics, 2)?;
    draft.descriptor(inputs.control, 3)?;
    if let Some(channel) = inputs.channel {
        draft.descriptor(channel, 4)?;
    }
    if let Some(agent) = inputs.agent {
        draft.descriptor(agent, 6)?;
    }
    if let Some(egress) = inputs.egress {
        draft.descriptor(egress, 5)?;
    }
    let source = draft.slot(inputs.journal)?;
    let bind =
        |source, read_only, idmap| What::Bind { source, read_only, no_exec: true, device: false, file: false, idmap };
    draft.put("/journal", bind(source, inputs.only_read, None));
    draft.allow("/journal", if inputs.only_read { Access::Read } else { Access::ReadWrite });
    if let Some((fd, owner)) = inputs.workspace {
        let source = draft.slot(fd)?;
        draft.put("/workspace", bind(source, false, Some(owner)));
        draft.allow("/workspace", Access::ReadWrite);
    }
    draft.common_rlimits(256);
    draft.rlimit(libc::RLIMIT_NPROC, 1);
    draft.rlimit(libc::RLIMIT_AS, SHIM_ADDRESS_SPACE);
    draft.finish(Finish {
        what: "shim",
        role: Role::Shim,
        hostname: inputs.hostname,
        host_id: inputs.host_id,
        group: inputs.group,
        landlock_abi: inputs.landlock_abi,
        profile: "shim",
        listener: false,
        additions: Vec::new(),
        program: home.program("stockade-shim")?,
        argv: vec!["stockade-shim".into()],
        env: Vec::new(),
        cwd: "/",
    })
}

/// What a wasm cell is given.
pub(crate) struct WasmInputs<'a> {
    pub host_id: u32,
    pub group: &'a CellGroup,
    pub landlock_abi: u8,
    pub hostname: &'a str,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
    pub channel: OwnedFd,
    pub artifact: OwnedFd,
    pub config: &'a CellConfig,
    pub files: u64,
}

/// A wasm cell: an empty root and its descriptors.
pub(crate) fn wasm(home: &Home, inputs: WasmInputs<'_>) -> Result<Order, RunError> {
    let mut draft = Draft::default();
    let config = serde_json::to_vec(inputs.config).map_err(|e| RunError::Internal(e.to_string()))?;
    let sealed = seccomp::profile("cell-wasm-sealed")
        .ok_or_else(|| RunError::Internal("no seccomp profile cell-wasm-sealed".into()))?;
    draft.descriptor(dev_null()?, 0)?;
    draft.descriptor(inputs.stdout, 1)?;
    draft.descriptor(inputs.stderr, 2)?;
    draft.descriptor(inputs.channel, target(cell_fd::CHANNEL))?;
    draft.descriptor(inputs.artifact, target(cell_fd::ARTIFACT))?;
    draft.descriptor(memfd::sealed("config", &config)?, target(cell_fd::CONFIG))?;
    draft.descriptor(memfd::sealed("filter", sealed.bpf)?, target(cell_fd::FILTER))?;
    draft.common_rlimits(inputs.files);
    draft.rlimit(libc::RLIMIT_FSIZE, 0);
    draft.finish(Finish {
        what: "agent's cell",
        role: Role::Wasm,
        hostname: inputs.hostname,
        host_id: inputs.host_id,
        group: inputs.group,
        landlock_abi: inputs.landlock_abi,
        profile: "cell-wasm",
        listener: true,
        additions: Vec::new(),
        program: home.program("stockade-cell")?,
        argv: vec!["stockade-cell".into()],
        env: Vec::new(),
        cwd: "/",
    })
}

/// A compiler: bytes in, artifact out, nothing else. `artifact` is a memory file that stays ours.
pub(crate) fn compile(
    home: &Home,
    (host_id, group, landlock_abi): (u32, &CellGroup, u8),
    (component, artifact, message): (OwnedFd, OwnedFd, OwnedFd),
) -> Result<Order, RunError> {
    let mut draft = Draft::default();
    for target in 0..2 {
        draft.descriptor(dev_null()?, target)?;
    }
    draft.descriptor(message, 2)?;
    draft.descriptor(component, target(compile_fd::COMPONENT))?;
    draft.descriptor(artifact, target(compile_fd::ARTIFACT))?;
    draft.common_rlimits(64);
    draft.finish(Finish {
        what: "compiler",
        role: Role::Compile,
        hostname: "compile",
        host_id,
        group,
        landlock_abi,
        profile: "compile",
        listener: false,
        additions: Vec::new(),
        program: home.program("stockade-compile")?,
        argv: vec!["stockade-compile".into()],
        env: Vec::new(),
        cwd: "/",
    })
}
