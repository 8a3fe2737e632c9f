//! What agent code sees of the world, and how it is run.

mod cli;
mod clocks;
mod poll;
mod random;
mod sockets;
mod stdio;
mod tools;

use std::time::Duration;

use stockade_wire::cell::CellConfig;
use stockade_wire::control::AgentExit;
use stockade_wire::frame::Status;
use tokio::runtime::Runtime;
use wasmtime::component::{Component, HasData, HasSelf, Linker, ResourceTable};
use wasmtime::{CallHook, Engine, Store};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemCtx, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings as wasi;
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsCtx, WasiSocketsCtxView};

use super::channel::Channel;
use super::deadline::Deadline;
use super::end::{self, Outcome, Stop};
use super::limits::Limits;
use super::setup::{SetupError, wall};
use super::ticker::Ticker;

mod bindings {
    #![allow(missing_docs, clippy::all, clippy::restriction)]
    wasmtime::component::bindgen!({
        path: "wit",
        world: "stockade:agent/plain",
        imports: { default: trappable },
        exports: { default: async },
    });
}

/// Most bytes an agent may hand over in one host call: a frame, and WASI's odds and ends.
const HOSTCALL_BYTES: usize = stockade_wire::frame::MAX_FRAME + (64 << 10);
/// Most WASI resources (streams, pollables) at a time.
const RESOURCES: usize = 10_000;

/// The store's data: all that host functions work on.
pub(super) struct Host {
    channel: Channel,
    limits: Limits,
    table: ResourceTable,
    // wasmtime's own state for what has no authority. Its umbrella type, `WasiCtx`, would draw
    // random numbers from the host at birth.
    filesystem: WasiFilesystemCtx,
    sockets: WasiSocketsCtx,
    env: Vec<(String, String)>,
    stdout: stdio::Output,
    stderr: stdio::Output,
    clock: clocks::Clock,
    sleeps: poll::Sleeps,
    noise: random::Noise,
    log_line: usize,
    /// Fuel of the whole run, and what was left of it when agent code called the host last.
    fuel: u64,
    left: u64,
}

impl Host {
    /// Asks the shim; every effect and every input of an agent passes here.
    fn ask(&mut self, tool: &str, args: String) -> Result<(Status, String), Stop> {
        Ok(self.channel.call(tool, args, self.fuel.saturating_sub(self.left))?)
    }

    /// No directory is preopened, so no descriptor exists.
    fn filesystem_view(&mut self) -> WasiFilesystemCtxView<'_> {
        WasiFilesystemCtxView { ctx: &mut self.filesystem, table: &mut self.table }
    }

    /// No socket is ever created.
    fn sockets_view(&mut self) -> WasiSocketsCtxView<'_> {
        WasiSocketsCtxView { ctx: &mut self.sockets, table: &mut self.table }
    }
}

/// A component that fits the world, and its store.
pub(super) struct Agent {
    store: Store<Host>,
    code: bindings::PlainPre<Host>,
    runtime: Runtime,
    deadline: Deadline,
    task: Vec<String>,
    fuel: u64,
    wall: Duration,
}

impl Agent {
    pub(super) fn prepare(
        engine: &Engine,
        component: &Component,
        config: &CellConfig,
        channel: Channel,
        deadline: Deadline,
    ) -> Result<Self, SetupError> {
        let linker = linker(engine).map_err(SetupError::Engine)?;
        let code = linker.instantiate_pre(component).and_then(bindings::PlainPre::new).map_err(SetupError::World)?;
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES);
        let host = Host {
            channel,
            limits: Limits::new(config.memory, config.table_elements),
            table,
            filesystem: WasiFilesystemCtx::default(),
            sockets: WasiSocketsCtx::default(),
            env: config.env.clone(),
            stdout: stdio::Output::new(std::io::stdout(), &deadline).map_err(SetupError::Output)?,
            stderr: stdio::Output::new(std::io::stderr(), &deadline).map_err(SetupError::Output)?,
            clock: clocks::Clock::default(),
            sleeps: poll::Sleeps::default(),
            noise: random::Noise::default(),
            log_line: usize::try_from(config.log_line).unwrap_or(usize::MAX),
            fuel: config.fuel,
            left: config.fuel,
        };
        let mut store = Store::new(engine, host);
        store.limiter(|host| &mut host.limits);
        store.set_hostcall_fuel(HOSTCALL_BYTES);
        store.set_fuel(config.fuel).map_err(SetupError::Store)?;
        // Host functions see the store's data and not the store.
        store.call_hook(|mut store, hook| {
            if matches!(hook, CallHook::CallingHost) {
                let left = store.get_fuel()?;
                store.data_mut().left = left;
            }
            Ok(())
        });
        store.set_epoch_deadline(1);
        store.epoch_deadline_trap();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(SetupError::Threads)?;
        Ok(Self { store, code, runtime, deadline, task: config.task.clone(), fuel: config.fuel, wall: wall(config) })
    }

    /// The conversation with the shim, outside a run.
    pub(super) fn channel(&mut self) -> &mut Channel {
        &mut self.store.data_mut().channel
    }

    /// Runs the agent to its end, whatever that is.
    pub(super) fn run(&mut self, ticker: Ticker) -> AgentExit {
        let at = self.deadline.start(self.wall);
        if let Some(at) = at {
            ticker.arm(at);
        }
        let Self { store, code, runtime, task, .. } = self;
        let run = async {
            let agent = code.instantiate_async(&mut *store).await?;
            agent.call_run(&mut *store, task).await
        };
        let outcome = runtime.block_on(async {
            match at {
                Some(at) => tokio::time::timeout_at(at.into(), run).await.ok(),
                None => Some(run.await),
            }
        });
        let outcome = match outcome {
            Some(Ok(result)) => Outcome::Returned(result),
            Some(Err(error)) => Outcome::Ended(error),
            None => Outcome::Expired,
        };
        let (reason, detail) = end::classify(outcome);
        let left = self.store.get_fuel().unwrap_or(0);
        AgentExit { reason, detail, fuel: self.fuel.saturating_sub(left) }
    }
}

/// Links interfaces that `Host` implements itself.
macro_rules! ours {
    ($linker:ident, $package:ident: $($interface:ident),+) => {
        $(wasi::$package::$interface::add_to_linker::<Host, HasSelf<Host>>($linker, |host| host)?;)+
    };
}

fn linker(engine: &Engine) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    let l = &mut linker;
    bindings::Plain::add_to_linker::<Host, HasSelf<Host>>(l, |host| host)?;

    // Ours: what would be an effect or an input goes through the shim.
    ours!(l, clocks: wall_clock, monotonic_clock);
    ours!(l, random: random, insecure, insecure_seed);
    ours!(l, sockets: tcp_create_socket, udp_create_socket, ip_name_lookup);
    ours!(l, io: poll);
    ours!(l, cli: environment, exit, stdin, stdout, stderr);
    ours!(l, cli: terminal_input, terminal_output, terminal_stdin, terminal_stdout, terminal_stderr);

    // wasmtime's: they work on resources, and the only ones that can exist are streams, which are always ready, and
    // the network handle, which opens nothing.
    wasi::io::error::add_to_linker::<Host, Table>(l, |host| &mut host.table)?;
    wasi::io::streams::add_to_linker::<Host, Table>(l, |host| &mut host.table)?;
    wasi::filesystem::preopens::add_to_linker::<Host, WasiFilesystem>(l, Host::filesystem_view)?;
    wasi::filesystem::types::add_to_linker::<Host, WasiFilesystem>(l, Host::filesystem_view)?;
    let stable = wasi::sockets::network::LinkOptions::default();
    wasi::sockets::network::add_to_linker::<Host, WasiSockets>(l, &stable, Host::sockets_view)?;
    wasi::sockets::instance_network::add_to_linker::<Host, WasiSockets>(l, Host::sockets_view)?;
    wasi::sockets::tcp::add_to_linker::<Host, WasiSockets>(l, Host::sockets_view)?;
    wasi::sockets::udp::add_to_linker::<Host, WasiSockets>(l, Host::sockets_view)?;
    Ok(linker)
}

/// What `wasi:io` works on.
struct Table;

impl HasData for Table {
    type Data<'a> = &'a mut ResourceTable;
}
