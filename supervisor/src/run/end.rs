//! Why a run ended, from what is known of it.

use std::fs::File;
use std::io::Read;

use nix::errno::Errno;
use nix::libc;
use stockade_wire::control::{AgentExit, ExitStatus, Reason};

use crate::cgroup::Events;

/// The program of a native cell could not be executed.
pub(super) struct NotExecuted(pub Option<Errno>);

/// Reads `stockade-init`'s report: a raw wait status, or minus an errno.
pub(super) fn program_status(pipe: &mut File) -> Result<ExitStatus, NotExecuted> {
    let mut bytes = [0; 4];
    pipe.read_exact(&mut bytes).map_err(|_| NotExecuted(None))?;
    let raw = i32::from_ne_bytes(bytes);
    if raw < 0 {
        return Err(NotExecuted(Some(Errno::from_raw(-raw))));
    }
    // wait(2): the low seven bits are the signal, the next byte the code.
    match raw & 0x7f {
        0 => Ok(ExitStatus::Code((raw >> 8) & 0xff)),
        signal => Ok(ExitStatus::Signal(signal)),
    }
}

/// A wasm agent's end: its own account, unless its cell died without one.
pub(super) fn of_wasm(agent: Option<&AgentExit>, status: ExitStatus, events: Events) -> (Reason, String) {
    match (agent, status) {
        (Some(exit), _) => (exit.reason, exit.detail.clone()),
        (None, _) if events.oom_kills > 0 => {
            (Reason::LimitMemory, "the cell was killed at its memory limit (cgroup)".into())
        }
        (None, ExitStatus::Signal(libc::SIGSYS)) => {
            (Reason::Denied, "the cell was killed for a system call that its filter forbids (seccomp)".into())
        }
        (None, ExitStatus::Code(code)) => {
            (Reason::Crashed, format!("the cell exited with {code} and no account of the agent"))
        }
        (None, ExitStatus::Signal(signal)) => (Reason::Crashed, format!("the cell was killed by signal {signal}")),
    }
}

/// A native agent's end.
pub(super) fn of_native(status: Result<ExitStatus, NotExecuted>, events: Events) -> (Reason, String) {
    let limit = |otherwise: (Reason, String)| match (events.oom_kills > 0, events.pids_max > 0) {
        (true, _) => {
            (Reason::LimitMemory, format!("{}; processes were killed at the memory limit (cgroup)", otherwise.1))
        }
        (false, true) => (Reason::LimitPids, format!("{}; forks were refused at the task limit (cgroup)", otherwise.1)),
        (false, false) => otherwise,
    };
    match status {
        Ok(ExitStatus::Code(0)) => (Reason::Finished, "exit code 0".into()),
        Ok(ExitStatus::Code(code)) => limit((Reason::Failed, format!("exit code {code}"))),
        Ok(ExitStatus::Signal(libc::SIGSYS)) => {
            (Reason::Denied, "killed for a system call that the filter forbids (seccomp)".into())
        }
        Ok(ExitStatus::Signal(signal)) => limit((Reason::Crashed, format!("killed by signal {signal}"))),
        Err(NotExecuted(Some(errno))) => (
            Reason::Failed,
            format!(
                "the program could not be executed in the cell: {}; is it, and its interpreter, beneath fs.execute?",
                errno.desc()
            ),
        ),
        Err(NotExecuted(None)) => limit((Reason::Crashed, "the cell ended without a word of its program".into())),
    }
}
