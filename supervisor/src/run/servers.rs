//! Cells of MCP servers: launched when the shim first needs one, under the server's own policy, and there until they end
//! by themselves, the shim has enough of them, or the run ends. They are reaped and killed as tools' cells are.

use std::os::fd::AsFd;

use nix::fcntl::OFlag;
use nix::unistd::pipe2;
use stockade_wire::control::{CellId, ToShim};

use crate::environment;
use crate::error::{Doing, RunError};
use crate::reserve::Range;
use crate::run::control::Control;
use crate::run::prepare::Native;
use crate::run::scene::Scene;
use crate::run::tools::{Tool, bear, name, told};

/// Launches a server's cell and tells the shim; a failure is told, too, and is not the run's.
pub(super) fn launch(scene: &Scene, control: &Control, id: CellId, server: &str) -> Result<Option<Tool>, RunError> {
    told(scene, control, id, try_launch(scene, control, id, server))
}

fn try_launch(scene: &Scene, control: &Control, id: CellId, server: &str) -> Result<Tool, RunError> {
    // The command and the policy are those of the file: a shim that was taken over names a server, and nothing else.
    let policy = &scene.request.policy;
    let rule = policy.mcp.iter().find(|rule| rule.name == server);
    let (Some(rule), Some(own)) = (rule, policy.of_server(server)) else {
        return Err(RunError::Policy(format!("no [[mcp]] entry {server:?}")));
    };
    let env = environment::of(own, |name| std::env::var_os(name))?;
    let pipe = || pipe2(OFlag::O_CLOEXEC).doing("make", "pipe");
    let ((their_stdin, stdin), (stdout, their_stdout), (stderr, their_stderr)) = (pipe()?, pipe()?, pipe()?);
    let native = Native {
        what: "server's cell",
        name: &name(id),
        range: Range::Tools,
        policy: own,
        env: &env,
        argv: &rule.command,
        stdin: Some(their_stdin),
        stdout: their_stdout,
        stderr: their_stderr,
        mcp: None,
    };
    let (tool, enforcement) = bear(scene, control, None, (id, native))?;
    let pipes = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
    control.send(&ToShim::ServerStarted { cell: id, enforcement }, &pipes)?;
    tool.process.newborn.go()?;
    Ok(tool)
}
