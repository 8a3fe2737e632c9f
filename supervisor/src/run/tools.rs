//! Tool cells: launched for one decided and journaled call, gone after it.

use std::fs::File;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::pipe2;
use serde_json::Value;
use stockade_wire::control::{CellId, ExitStatus, ToShim};

use crate::attest::{Moment, attest};
use crate::cgroup::{end_group, remove_tree};
use crate::environment;
use crate::error::{Doing, RunError};
use crate::launch::begin;
use crate::planner::Inside;
use crate::reserve::Range;
use crate::run::control::Control;
use crate::run::egress::Egress;
use crate::run::end::program_status;
use crate::run::prepare::{Native, Process, native_order};
use crate::run::scene::Scene;

/// How long killed processes may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// A tool's cell that runs.
pub(super) struct Tool {
    pub id: CellId,
    pub process: Process,
}

/// Launches a tool's cell and tells the shim; a failure is told, too, and is not the run's.
pub(super) fn launch(
    scene: &Scene,
    control: &Control,
    egress: Option<&Egress>,
    (id, exec, argv): (CellId, &str, &[String]),
) -> Result<Option<Tool>, RunError> {
    told(scene, control, id, try_launch(scene, control, egress, (id, exec, argv)))
}

/// Tells the shim of a launch that failed, and leaves nothing of it.
pub(super) fn told(
    scene: &Scene,
    control: &Control,
    id: CellId,
    launched: Result<Tool, RunError>,
) -> Result<Option<Tool>, RunError> {
    match launched {
        Ok(tool) => Ok(Some(tool)),
        Err(error) => {
            control.send(&ToShim::ToolRefused { cell: id, error: error.to_string() }, &[])?;
            remove(scene, id)?;
            Ok(None)
        }
    }
}

fn try_launch(
    scene: &Scene,
    control: &Control,
    egress: Option<&Egress>,
    (id, exec, argv): (CellId, &str, &[String]),
) -> Result<Tool, RunError> {
    // The shim has decided; a shim that was taken over still cannot run what the policy does not list.
    let rule = scene.request.policy.exec.iter().find(|rule| rule.id == exec && rule.matches(argv));
    if rule.is_none() {
        return Err(RunError::Policy(format!("no [[exec]] entry {exec:?} allows this command")));
    }
    let (stdout, their_stdout) = pipe2(OFlag::O_CLOEXEC).doing("make", "pipe")?;
    let (stderr, their_stderr) = pipe2(OFlag::O_CLOEXEC).doing("make", "pipe")?;
    let policy = scene.request.policy.of_exec(exec);
    // What the agent was given of the operator's environment is fixed for the run; what another policy gives is its own.
    let env = match std::ptr::eq(policy, &scene.request.policy) {
        true => scene.env.clone(),
        false => environment::of(policy, |name| std::env::var_os(name))?,
    };
    let native = Native {
        what: "tool's cell",
        name: &name(id),
        range: Range::Tools,
        policy,
        env: &env,
        argv,
        stdin: None,
        stdout: their_stdout,
        stderr: their_stderr,
        mcp: None,
    };
    let (tool, enforcement) = bear(scene, control, egress, (id, native))?;
    control.send(&ToShim::ToolStarted { cell: id, enforcement }, &[stdout.as_fd(), stderr.as_fd()])?;
    tool.process.newborn.go()?;
    Ok(tool)
}

/// A cell that is there and read back, its filter's listener with the shim; its program waits for the word.
pub(super) fn bear(
    scene: &Scene,
    control: &Control,
    egress: Option<&Egress>,
    (id, native): (CellId, Native<'_>),
) -> Result<(Tool, Value), RunError> {
    let policy = native.policy;
    let (order, group, status) = native_order(scene, native)?;
    let mut process = Process::born(begin(&scene.home, order)?.finish()?, group, Some(status))?;
    let enforcement = attest(&process.newborn, &process.group, &scene.hierarchies, Moment::BeforeExec)?;
    if let (Some(egress), false) = (egress, process.newborn.net.is_empty()) {
        egress.serve_cell(&Inside::of(policy)?, &mut process.newborn.net)?;
    }
    if let Some(listener) = &process.newborn.listener {
        control.send(&ToShim::Listener { cell: id }, &[listener.as_fd()])?;
    }
    Ok((Tool { id, process }, enforcement))
}

/// A tool's first process has ended, and with it all others: tells the shim and removes the groups.
pub(super) fn reap(scene: &Scene, control: &Control, mut tool: Tool) -> Result<(), RunError> {
    let _status = waitid(Id::PIDFd(tool.process.newborn.pidfd.as_fd()), WaitPidFlag::WEXITED);
    end_group(&tool.process.group.v2, PATIENCE)?;
    let status = tool.process.status.as_mut().and_then(|pipe: &mut File| program_status(pipe).ok());
    let status = status.unwrap_or(ExitStatus::Signal(nix::libc::SIGKILL));
    remove(scene, tool.id)?;
    control.send(&ToShim::ToolExited { cell: tool.id, status }, &[])
}

/// Ends a tool's processes now; its end is then seen like any other.
pub(super) fn kill(tool: &Tool) -> Result<(), RunError> {
    end_group(&tool.process.group.v2, PATIENCE)
}

fn remove(scene: &Scene, id: CellId) -> Result<(), RunError> {
    let v2 = scene.note.v2.join(name(id));
    end_group(&v2, PATIENCE)?;
    remove_tree(&v2, PATIENCE)?;
    for folder in &scene.note.v1 {
        remove_tree(&folder.join(format!("{}.{}", scene.run, name(id))), PATIENCE)?;
    }
    Ok(())
}

pub(super) fn name(id: CellId) -> String {
    format!("tool-{id}")
}
