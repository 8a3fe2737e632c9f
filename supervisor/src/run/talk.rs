//! The conversation with the shim before agent code runs: who the agent is, what holds it, and go.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use stockade_wire::cell::cell_exit;
use stockade_wire::control::{self as wire, Setup, ToShim, ToSupervisor};

use crate::attest::{Moment, attest};
use crate::cache::hex;
use crate::error::{Doing, RunError};
use crate::heads::Heads;
use crate::memfd;
use crate::planner;
use crate::run::Course;
use crate::run::control::Control;
use crate::run::egress::own_addresses;
use crate::run::prepare::{MESSAGE, Prepared, Process};
use crate::run::scene::Scene;
use crate::settings;

/// Longest wait for a word of the shim or the cell before agent code runs.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a process that is ending may take over it, in milliseconds.
const SHIMS_END: u16 = 200;

/// Everybody who takes part.
pub(super) struct Talk<'a> {
    pub control: &'a Control,
    pub scene: &'a mut Scene,
    pub diagnostics: &'a mut File,
    pub cell: &'a Process,
    pub shim: &'a Process,
}

impl Talk<'_> {
    /// Tells the shim who the agent is and gives it the listener.
    pub(super) fn introduce(&mut self, agent: &Prepared) -> Result<(), RunError> {
        let request = &self.scene.request;
        let course = match &request.course {
            Course::New => wire::Course::New,
            Course::Resume(_) => wire::Course::Resumed,
            Course::Replay { orders, .. } => wire::Course::Replayed(*orders),
        };
        let name = self.scene.bundle_name.clone();
        let (kind, task, component_digest, settings) = match agent {
            Prepared::Wasm { digest, config, .. } => {
                ("wasm", &config.task, digest, settings::of_wasm(config, &request.policy, &name))
            }
            Prepared::Native { digest, argv } => ("native", argv, digest, json!({ "bundle": name })),
        };
        let setup = ToShim::Setup(Box::new(Setup {
            run: self.scene.run.clone(),
            kind: kind.into(),
            agent: request.name.clone(),
            task: task.clone(),
            plan_digest: hex(&Sha256::digest(self.cell.newborn.plan.encode())),
            component_digest: component_digest.clone(),
            settings,
            course,
            pin: request.pin.clone(),
            policy_bundle: name,
            workspace: self.scene.workspace.as_ref().map(|w| w.name.to_string_lossy().into_owned()).unwrap_or_default(),
            approvals: (!request.headless).then_some(request.policy.approvals_expire_ms),
            frozen: self.scene.frozen.clone(),
            own_addresses: if planner::reaches_out(&request.policy) { own_addresses() } else { Vec::new() },
        }));
        let bundle = memfd::sealed("policy", &self.scene.bundle)?;
        self.say(&setup, &[bundle.as_fd()])?;
        match self.next()? {
            ToSupervisor::Hello => {}
            other => return Err(out_of_order(&other)),
        }
        self.scene.clock.mark("shim ready");
        let listener = self
            .cell
            .newborn
            .listener
            .as_ref()
            .ok_or_else(|| RunError::Internal("a cell without a listener".into()))?;
        self.say(&ToShim::Listener { cell: 0 }, &[listener.as_fd()])
    }

    /// Tells the shim something, or says why that cannot be.
    fn say(&mut self, message: &ToShim, fds: &[BorrowedFd<'_>]) -> Result<(), RunError> {
        match self.control.send(message, fds) {
            Err(RunError::Io { errno: Errno::EPIPE | Errno::ECONNRESET, .. }) => Err(self.shim_gone()),
            other => other,
        }
    }

    /// Has the first record written and lets the agent run.
    pub(super) fn start(&mut self, agent: &Prepared, mut enforcement: Value) -> Result<(), RunError> {
        if let Prepared::Wasm { .. } = agent {
            // The cell's program is ours: it loads the component, closes its last layer and says so, and what
            // the kernel says then is what counts.
            self.cell.newborn.go()?;
            let report = match self.next()? {
                ToSupervisor::CellReady { report } => report,
                other => return Err(out_of_order(&other)),
            };
            let sealed = attest(&self.cell.newborn, &self.cell.group, &self.scene.hierarchies, Moment::Sealed)?;
            enforcement = keep_others(sealed, &enforcement);
            if let Some(map) = enforcement.as_object_mut() {
                map.insert("wasmtime".into(), wasm_layer(report));
            }
        }
        self.scene.heads.as_mut().map_or(Ok(()), Heads::begin)?;
        self.say(&ToShim::Attested { enforcement }, &[])?;
        match self.next()? {
            ToSupervisor::Started => {}
            other => return Err(out_of_order(&other)),
        }
        // Who looks at a server's tools runs no agent: its cell is there to be ended.
        if let (Prepared::Native { .. }, None) = (agent, &self.scene.request.pin) {
            self.cell.newborn.go()?;
        }
        Ok(())
    }

    /// The shim's next message, or why there is none.
    fn next(&mut self) -> Result<ToSupervisor, RunError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
            let mut fds = [
                PollFd::new(self.control.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.scene.signals.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.cell.newborn.pidfd.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut fds, timeout) {
                Ok(0) => {
                    return Err(RunError::LaunchLost {
                        what: "shim",
                        detail: "no word from it or the cell in time".into(),
                    });
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno).doing("wait for", "shim"),
            }
            let [talks, _, cell_ended] = fds.map(|fd| fd.any().unwrap_or(false));
            if let Some(signal) = self.scene.signals.next() {
                return Err(RunError::Interrupted(signal));
            }
            if talks {
                return match self.control.receive()? {
                    Some(ToSupervisor::KillCell { reason }) if reason.starts_with("journal:") => {
                        Err(RunError::Journal(reason))
                    }
                    Some(ToSupervisor::KillCell { reason }) => Err(RunError::Component(reason)),
                    Some(ToSupervisor::JournalFull { detail }) => Err(RunError::Policy(detail)),
                    Some(message) => Ok(message),
                    None => Err(self.shim_gone()),
                };
            }
            if cell_ended {
                return Err(self.cell_gone());
            }
        }
    }

    /// Waits a little for the shim's end: a cell that lost its channel has seen a part of it.
    fn shim_ends(&self) -> bool {
        let mut fds = [PollFd::new(self.shim.newborn.pidfd.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, SHIMS_END).is_ok_and(|ended| ended > 0)
    }

    /// A cell that ends before its agent began: its program's own words follow (`with_last_words`).
    fn cell_gone(&mut self) -> RunError {
        if let Some(error) = self.cell.newborn.exec_failure() {
            return error;
        }
        let waited = waitid(Id::PIDFd(self.cell.newborn.pidfd.as_fd()), WaitPidFlag::WEXITED);
        match waited {
            Ok(WaitStatus::Exited(_, cell_exit::SETUP)) if self.shim_ends() => self.shim_gone(),
            Ok(WaitStatus::Exited(_, code)) => {
                RunError::Component(format!("the cell exited with {code} before the agent began"))
            }
            Ok(WaitStatus::Signaled(_, signal, _)) => RunError::LaunchLost {
                what: "agent's cell",
                detail: format!("it was killed by {signal} before the agent began"),
            },
            _ => RunError::LaunchLost { what: "agent's cell", detail: "it ended before the agent began".into() },
        }
    }

    /// What a dead shim said last.
    fn shim_gone(&mut self) -> RunError {
        if let Some(error) = self.shim.newborn.exec_failure() {
            return error;
        }
        let mut text = String::new();
        let _partial = self.diagnostics.take(MESSAGE).read_to_string(&mut text);
        match text.trim() {
            "" => RunError::LaunchLost { what: "shim", detail: "it ended without a word".into() },
            text if text.contains("journal:") => RunError::Journal(text.to_owned()),
            text => RunError::LaunchLost { what: "shim", detail: text.to_owned() },
        }
    }
}

fn keep_others(mut layers: Value, before: &Value) -> Value {
    for name in ["shim", "egress"] {
        if let (Some(map), Some(other)) = (layers.as_object_mut(), before.get(name)) {
            map.insert(name.into(), other.clone());
        }
    }
    layers
}

fn wasm_layer(report: Value) -> Value {
    let engine = report.get("engine").and_then(Value::as_str).unwrap_or("wasmtime").to_owned();
    json!({"summary": format!("{engine}, no compiler, executable mappings refused"), "ok": true, "report": report})
}

fn out_of_order(message: &ToSupervisor) -> RunError {
    RunError::Internal(format!("the shim said {message:?} when that was not its turn"))
}
