//! From a scene to an agent that runs: launch, read back, record, and only then go.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::pipe2;
use serde_json::{Value, json};
use stockade_plan::step::Step;
use stockade_policy::Policy;
use stockade_wire::cell::{CellConfig, ENGINE_FINGERPRINT, compile_exit};

use crate::attest::{Moment, MountWatch, attest};
use crate::cache::{Component, digest_of};
use crate::cgroup::{CellGroup, Limits};
use crate::error::{Doing, RunError};
use crate::launch::{Newborn, Order, begin};
use crate::launched::Launched;
use crate::memfd;
use crate::objects;
use crate::output::Output;
use crate::planner::{self, Inside, NativeInputs, ShimInputs, WasmInputs};
use crate::reserve::Range;
use crate::run::control::Control;
use crate::run::egress::{self, Egress};
use crate::run::scene::Scene;
use crate::run::talk::Talk;
use crate::run::{Agent, Course};

/// A component may take this long to compile, and this much memory.
const COMPILE_TIME: Duration = Duration::from_secs(120);
const COMPILE_LIMITS: Limits = Limits { memory: 2 << 30, pids: 4, cpu_millis: 2000 };
/// A shim's own use on hosts where v2 has the controllers; elsewhere its address space is limited.
const SHIM_LIMITS: Limits = Limits { memory: 256 << 20, pids: 4, cpu_millis: 1000 };
/// Tasks of a wasm cell: the agent's thread and the epoch's.
const WASM_PIDS: u32 = 4;
/// Memory of a wasm cell that is the runtime's own.
const RUNTIME_MEMORY: u64 = 32 << 20;
/// Longest log line of an agent in bytes.
const LOG_LINE: u64 = 8 * 1024;
/// Most bytes of a message of a compiler or shim.
pub(super) const MESSAGE: u64 = 8 * 1024;

/// A process set with its group.
pub(super) struct Process {
    pub newborn: Newborn,
    pub group: CellGroup,
    /// Where `stockade-init` reports its program's status.
    pub status: Option<File>,
    /// Its mounts, if something is hidden from it.
    pub mounts: Option<MountWatch>,
}

impl Process {
    /// Begins to watch the mounts, before they are read back.
    pub(super) fn born(newborn: Newborn, group: CellGroup, status: Option<File>) -> Result<Self, RunError> {
        let mounts = MountWatch::begin(newborn.pid, &newborn.plan)?;
        Ok(Self { newborn, group, status, mounts })
    }
}

/// An agent that runs, with everybody around it.
pub(super) struct Ready {
    // Sockets first: when this is dropped early, the shim sees the end before the janitor waits for it.
    pub control: Control,
    pub output: Output,
    pub diagnostics: File,
    pub shim: Process,
    pub cell: Process,
    /// Whoever speaks with the outside, if the policy has an outside.
    pub egress: Option<Egress>,
    pub deadline: Instant,
    pub scene: Scene,
}

/// What an agent is, with what its cell needs.
pub(super) enum Prepared {
    Wasm { digest: String, artifact: OwnedFd, config: CellConfig },
    Native { digest: String, argv: Vec<String> },
}

pub(super) fn prepare(mut scene: Scene) -> Result<Ready, RunError> {
    let agent = prepare_agent(&mut scene)?;
    if matches!(scene.request.course, Course::New) {
        write_down(&scene, &agent)?;
    }
    scene.clock.mark("agent prepared");

    let filters =
        std::mem::replace(&mut scene.request.filters, [Box::new(|_, _| Vec::new()), Box::new(|_, _| Vec::new())]);
    let (mut output, [stdout, stderr]) = Output::new(scene.request.policy.limits.output, filters)?;
    let (control, shim_control) = Control::pair()?;
    let (diagnostics, shim_diagnostics) = pipe2(OFlag::O_CLOEXEC).doing("make", "pipe")?;
    // A native agent speaks MCP over it, if there is any tool that it could be given.
    let speaks = matches!(agent, Prepared::Wasm { .. }) || scene.request.policy.offers_tools();
    let (channel, shim_channel) = if speaks {
        let pair = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC);
        let (cell, shim) = pair.doing("make", "cell channel")?;
        (Some(cell), Some(shim))
    } else {
        (None, None)
    };
    let is_native = matches!(agent, Prepared::Native { .. });
    let (shim_channel, shim_agent) = if is_native { (None, shim_channel) } else { (shim_channel, None) };

    // Both orders first, for they can be refused; then shim and cell are launched side by side.
    let (outward, shim_egress) = match egress::order(&scene, &shim_diagnostics)? {
        Some((order, coming, shims)) => (Some((order, coming)), Some(shims)),
        None => (None, None),
    };
    let (shim, shim_group) =
        shim_order(&scene, shim_control, shim_diagnostics, [shim_channel, shim_agent], shim_egress)?;
    let (cell, cell_group, status) = cell_order(&scene, &agent, stdout, stderr, channel)?;
    let (shim, cell) = (begin(&scene.home, shim)?, begin(&scene.home, cell)?);
    let outward = outward.map(|(order, coming)| Ok::<_, RunError>((begin(&scene.home, order)?, coming))).transpose()?;
    let mut diagnostics = File::from(diagnostics);

    let shim = shim.finish().map_err(|error| workspaces_own(error, &scene))?;
    let shim = Process { newborn: shim, group: shim_group, status: None, mounts: None };
    let shim_layers = attest(&shim.newborn, &shim.group, &scene.hierarchies, Moment::BeforeExec)?;
    shim.newborn.go()?;
    scene.clock.mark("shim launched");

    let outward = outward.map(|(pending, coming)| coming.finish(pending, &scene)).transpose()?;
    let (egress, egress_layers) = outward.unzip();

    let mut cell = Process::born(cell.finish()?, cell_group, status)?;
    scene.clock.mark("cell launched");
    let layers = attest(&cell.newborn, &cell.group, &scene.hierarchies, Moment::BeforeExec)?;
    if let (Some(egress), false) = (&egress, cell.newborn.net.is_empty()) {
        egress.serve_cell(&Inside::of(&scene.request.policy)?, &mut cell.newborn.net)?;
    }
    let layers = with_egress(layers, egress_layers.as_ref());
    scene.clock.mark("layers read back");

    let mut talk =
        Talk { control: &control, scene: &mut scene, diagnostics: &mut diagnostics, cell: &cell, shim: &shim };
    let told = talk.introduce(&agent);
    let told = told.and_then(|()| talk.start(&agent, with_shim(layers, &shim_layers)));
    told.map_err(|error| with_last_words(error, &mut output))?;
    let deadline = Instant::now() + Duration::from_millis(scene.request.policy.limits.wall_ms);
    scene.clock.mark("agent started");
    Ok(Ready { control, output, diagnostics, shim, cell, egress, deadline, scene })
}

/// A workspace whose file system cannot be mounted as somebody else's is the workspace's fault.
fn workspaces_own(error: RunError, scene: &Scene) -> RunError {
    match (error, &scene.workspace) {
        (RunError::Launch { step: Step::Tree, errno: Some(Errno::EINVAL), operand, .. }, Some(workspace))
            if operand == "/workspace" =>
        {
            RunError::Workspace(format!(
                "workspace {}: its file system takes no idmapped mount; use a folder on ext4, xfs or btrfs (or tmpfs, from Linux 6.3)",
                workspace.name.display()
            ))
        }
        (other, _) => other,
    }
}

/// What the cell's own program said on stderr when it could not begin.
fn with_last_words(error: RunError, output: &mut Output) -> RunError {
    let words = output.last_words();
    match error {
        RunError::Component(text) if !words.is_empty() => RunError::Component(format!("{text}: {words}")),
        other => other,
    }
}

/// The shim's own layers go into the same record, as one entry.
fn with_shim(layers: Value, shim: &Value) -> Value {
    with_other(layers, "shim", shim)
}

/// And those of egress, if there is one.
fn with_egress(layers: Value, egress: Option<&Value>) -> Value {
    match egress {
        Some(egress) => with_other(layers, "egress", egress),
        None => layers,
    }
}

fn with_other(mut layers: Value, name: &str, other: &Value) -> Value {
    let names = other.as_object().map(|m| m.len()).unwrap_or_default();
    if let Some(map) = layers.as_object_mut() {
        let summary = format!("{names} layers of its own, each as planned");
        map.insert(name.into(), json!({"summary": summary, "ok": true, "layers": other}));
    }
    layers
}

fn prepare_agent(scene: &mut Scene) -> Result<Prepared, RunError> {
    match scene.request.agent.clone() {
        Agent::Wasm { component, task } => {
            let component = Component::open(&scene.home, &component)?;
            let config = cell_config(scene, task)?;
            match &scene.request.course {
                Course::New => objects::keep(&scene.home.state, &component.digest, &component.read()?)?,
                Course::Resume(recorded) => component.is(&recorded.start.component_digest)?,
                Course::Replay { recorded, orders, .. } if !orders.other => {
                    component.is(&recorded.start.component_digest)?;
                }
                Course::Replay { .. } => {}
            }
            let artifact = match component.cached()? {
                Some(artifact) => artifact,
                None => compile(scene, &component)?,
            };
            Ok(Prepared::Wasm { digest: component.digest, artifact, config })
        }
        Agent::Native { argv } => {
            let program = argv.first().map(String::as_str).unwrap_or_default();
            if !program.starts_with('/') {
                return Err(RunError::Component(format!(
                    "program {program:?} must be an absolute path inside the cell, such as /usr/bin/python3"
                )));
            }
            // Programs of the workspace are not the host's to read by name; they have no digest before the run.
            let digest =
                if program.starts_with("/workspace/") { String::new() } else { digest_of(Path::new(program))? };
            Ok(Prepared::Native { digest, argv })
        }
    }
}

/// What a wasm cell is given. A run that goes on gets what it had, or is refused.
fn cell_config(scene: &Scene, task: Vec<String>) -> Result<CellConfig, RunError> {
    let limits = scene.request.policy.limits;
    // The inner limit is below the outer one, so that an agent at its limit gets a clear end.
    let runtime = RUNTIME_MEMORY.min(limits.memory / 2);
    let here = CellConfig {
        task,
        env: scene.env.clone(),
        memory: limits.memory - runtime,
        table_elements: limits.table_elements,
        fuel: limits.fuel,
        wall_ms: limits.wall_ms,
        log_line: LOG_LINE,
    };
    match &scene.request.course {
        Course::New => Ok(here),
        // Time is not what a replay is about.
        Course::Replay { recorded, .. } => Ok(CellConfig { wall_ms: limits.wall_ms, ..recorded.config() }),
        Course::Resume(recorded) => {
            match recorded.settings.differences(&here, &scene.request.policy, &scene.bundle_name).as_slice() {
                [] => Ok(here),
                found => Err(RunError::Recorded(format!(
                    "run {} cannot go on under other settings than it had: {}",
                    recorded.start.run,
                    found.join("; ")
                ))),
            }
        }
    }
}

/// Keeps what the run depends on, and notes by what names it was launched.
fn write_down(scene: &Scene, agent: &Prepared) -> Result<(), RunError> {
    let request = &scene.request;
    objects::keep(&scene.home.state, &scene.bundle_name, &scene.bundle)?;
    let (kind, program, digest, task) = match (agent, &request.agent) {
        (Prepared::Wasm { digest, .. }, Agent::Wasm { component, task }) => {
            ("wasm", std::path::absolute(component).unwrap_or_else(|_| component.clone()), digest, task)
        }
        (
            Prepared::Native { digest, argv } | Prepared::Wasm { digest, config: CellConfig { task: argv, .. }, .. },
            _,
        ) => ("native", argv.first().map(Into::into).unwrap_or_default(), digest, argv),
    };
    let policy = &request.policy_file;
    let launched = Launched {
        kind: kind.to_owned(),
        agent: request.name.clone(),
        program,
        program_digest: digest.clone(),
        task: task.clone(),
        policy: std::path::absolute(policy).unwrap_or_else(|_| policy.clone()),
        policy_named: Some(policy.clone()),
        policy_digest: request.policy.digest.clone(),
        bundle: scene.bundle_name.clone(),
        workspace: scene.workspace.as_ref().map(|workspace| workspace.name.clone()),
        engine: ENGINE_FINGERPRINT.to_owned(),
    };
    let folder = scene.home.runs().join(&scene.run);
    launched.write(&folder)
}

/// Compiles a component in a cell of its own and keeps the artifact.
fn compile(scene: &mut Scene, component: &Component) -> Result<OwnedFd, RunError> {
    let group = CellGroup::create(&scene.hierarchies, &scene.run, "compile", Some(COMPILE_LIMITS))?;
    let artifact = memfd::open("artifact")?;
    let (message, their_message) = pipe2(OFlag::O_CLOEXEC).doing("make", "pipe")?;
    let share = |fd: &OwnedFd| fd.try_clone().doing("share", "memory file");
    let fds =
        (share(&component.memory)?, OwnedFd::from(artifact.try_clone().doing("share", "artifact")?), their_message);
    let host_id = scene.reservation.host_id(Range::Compiler);
    let order = planner::compile(&scene.home, (host_id, &group, scene.landlock_abi), fds)?;
    let compiler = begin(&scene.home, order)?.finish()?;
    attest(&compiler, &group, &scene.hierarchies, Moment::BeforeExec)?;
    compiler.go()?;
    let limit = PollTimeout::try_from(COMPILE_TIME).unwrap_or(PollTimeout::MAX);
    let mut fds =
        [PollFd::new(compiler.pidfd.as_fd(), PollFlags::POLLIN), PollFd::new(scene.signals.as_fd(), PollFlags::POLLIN)];
    let ended = poll(&mut fds, limit).doing("wait for", "compiler")?;
    if let Some(signal) = scene.signals.next() {
        return Err(RunError::Interrupted(signal));
    }
    if ended == 0 {
        return Err(RunError::Component(format!("it took more than {} s to compile", COMPILE_TIME.as_secs())));
    }
    let status = waitid(Id::PIDFd(compiler.pidfd.as_fd()), WaitPidFlag::WEXITED).doing("wait for", "compiler")?;
    let mut text = String::new();
    let _partial = File::from(message).take(MESSAGE).read_to_string(&mut text);
    let oom = group.events().oom_kills > 0;
    scene.clock.mark("compiled");
    match status {
        WaitStatus::Exited(_, compile_exit::OK) => component.keep(artifact),
        WaitStatus::Exited(_, compile_exit::INVALID | compile_exit::WORLD) => {
            Err(RunError::Component(text.trim().to_owned()))
        }
        _ if oom => {
            Err(RunError::Component(format!("it needs more than {} MiB to compile", COMPILE_LIMITS.memory >> 20)))
        }
        other => Err(RunError::Component(format!("the compiler ended with {other:?}: {}", text.trim()))),
    }
}

fn shim_order(
    scene: &Scene,
    control: OwnedFd,
    diagnostics: OwnedFd,
    [channel, agent]: [Option<OwnedFd>; 2],
    egress: Option<OwnedFd>,
) -> Result<(Order, CellGroup), RunError> {
    // On v1 a shim has its address space limited instead: joining three more hierarchies costs every run.
    let limits = scene.hierarchies.on_v1.is_empty().then_some(SHIM_LIMITS);
    let group = CellGroup::create(&scene.hierarchies, &scene.run, "shim", limits)?;
    let workspace = scene.workspace.as_ref().map(|w| Ok::<_, RunError>((w.share()?, w.owner))).transpose()?;
    let order = planner::shim(
        &scene.home,
        ShimInputs {
            host_id: scene.reservation.host_id(Range::Shim),
            group: &group,
            landlock_abi: scene.landlock_abi,
            hostname: "shim",
            diagnostics,
            control,
            channel,
            agent,
            egress,
            journal: scene.lend_journal()?,
            only_read: scene.note.copy.is_some(),
            workspace,
        },
    )?;
    Ok((order, group))
}

fn cell_order(
    scene: &Scene,
    agent: &Prepared,
    stdout: OwnedFd,
    stderr: OwnedFd,
    channel: Option<OwnedFd>,
) -> Result<(Order, CellGroup, Option<File>), RunError> {
    let limits = scene.request.policy.limits;
    match agent {
        Prepared::Wasm { artifact, config, .. } => {
            let pids = WASM_PIDS.min(limits.pids.max(2));
            let cgroup = Limits { memory: limits.memory, pids, cpu_millis: limits.cpu_millis };
            let group = CellGroup::create(&scene.hierarchies, &scene.run, "cell", Some(cgroup))?;
            let order = planner::wasm(
                &scene.home,
                WasmInputs {
                    host_id: scene.reservation.host_id(Range::Agent),
                    group: &group,
                    landlock_abi: scene.landlock_abi,
                    hostname: "cell",
                    stdout,
                    stderr,
                    channel: channel.ok_or_else(|| RunError::Internal("a wasm cell without a channel".into()))?,
                    artifact: artifact.try_clone().doing("share", "artifact")?,
                    config,
                    files: u64::from(limits.files).max(64),
                },
            )?;
            Ok((order, group, None))
        }
        Prepared::Native { argv, .. } => {
            let native = Native {
                what: "agent's cell",
                name: "cell",
                range: Range::Agent,
                policy: &scene.request.policy,
                env: &scene.env,
                argv,
                stdin: None,
                stdout,
                stderr,
                mcp: channel,
            };
            let (order, group, status) = native_order(scene, native)?;
            Ok((order, group, Some(status)))
        }
    }
}

/// A native cell of this run: the agent's, a tool's, or an MCP server's.
pub(super) struct Native<'a> {
    pub what: &'static str,
    pub name: &'a str,
    pub range: Range,
    pub policy: &'a Policy,
    pub env: &'a [(String, String)],
    pub argv: &'a [String],
    pub stdin: Option<OwnedFd>,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
    pub mcp: Option<OwnedFd>,
}

pub(super) fn native_order(scene: &Scene, native: Native<'_>) -> Result<(Order, CellGroup, File), RunError> {
    let Native { what, name, range, policy, env, argv, stdin, stdout, stderr, mcp } = native;
    let limits = policy.limits;
    let cgroup = Limits { memory: limits.memory, pids: limits.pids, cpu_millis: limits.cpu_millis };
    let group = CellGroup::create(&scene.hierarchies, &scene.run, name, Some(cgroup))?;
    let (status, their_status) = pipe2(OFlag::O_CLOEXEC).doing("make", "status pipe")?;
    // The shim decides on connections by the run's own policy; cells under another one have none.
    let own = std::ptr::eq(policy, &scene.request.policy);
    let inside = if own { Inside::of(policy)? } else { Inside::default() };
    let mut env = env.to_vec();
    inside.environment(policy, own, &mut env);
    let order = planner::native(
        &scene.home,
        NativeInputs {
            what,
            policy,
            workspace: scene.workspace.as_ref(),
            host_id: scene.reservation.host_id(range),
            group: &group,
            landlock_abi: scene.landlock_abi,
            hostname: "cell",
            stdin,
            stdout,
            stderr,
            status: their_status,
            mcp,
            argv,
            env: &env,
            inside: &inside,
        },
    )?;
    Ok((order, group, status.into()))
}
