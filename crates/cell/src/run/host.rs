//! What agent code sees of the world, and how it is run.

mod clocks;
mod random;
mod sockets;
mod stdio;
mod tools;

use std::time::Duration;

use stockade_wire::cell::CellConfig;
use stockade_wire::control::AgentExit;
use stockade_wire::frame::Status;
use tokio::runtime::Runtime;
use wasmtime::component::{Component, HasSelf, Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings as wasi;
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView as _};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

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
    wasi: WasiCtx,
    table: ResourceTable,
    clock: clocks::Clock,
    noise: random::Noise,
    log_line: usize,
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl Host {
    /// Asks the shim; every effect and every input of an agent passes here.
    fn ask(&mut self, tool: &str, args: String) -> Result<(Status, String), Stop> {
        Ok(self.channel.call(tool, args)?)
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
            wasi: context(config, &deadline).map_err(SetupError::Threads)?,
            table,
            clock: clocks::Clock::default(),
            noise: random::Noise::default(),
            log_line: usize::try_from(config.log_line).unwrap_or(usize::MAX),
        };
        let mut store = Store::new(engine, host);
        store.limiter(|host| &mut host.limits);
        store.set_hostcall_fuel(HOSTCALL_BYTES);
        store.set_fuel(config.fuel).map_err(SetupError::Store)?;
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

/// WASI with no authority: no preopened directory, no address, an empty stdin.
fn context(config: &CellConfig, deadline: &Deadline) -> std::io::Result<WasiCtx> {
    let mut builder = WasiCtx::builder();
    builder
        .stdin(tokio::io::empty())
        .stdout(stdio::Output::new(std::io::stdout(), deadline)?)
        .stderr(stdio::Output::new(std::io::stderr(), deadline)?)
        .arg("agent")
        .envs(&config.env)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    Ok(builder.build())
}

fn linker(engine: &Engine) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    let l = &mut linker;
    bindings::Plain::add_to_linker::<Host, HasSelf<Host>>(l, |host| host)?;

    // Ours: what would be an effect or an input goes through the shim.
    wasi::clocks::wall_clock::add_to_linker::<Host, HasSelf<Host>>(l, |host| host)?;
    wasi::clocks::monotonic_clock::add_to_linker::<Host, HasSelf<Host>>(l, |host| host)?;
    wasi::random::random::add_to_linker::<Host, HasSelf<Host>>(l, |host| host)?;
    wasi::random::insecure::add_to_linker::<Host, HasSelf<Host>>(l, |host| host)?;
    wasi::random::insecure_seed::add_to_linker::<Host, HasSelf<Host>>(l, |host| host)?;
    wasi::sockets::tcp_create_socket::add_to_linker::<Host, HasSelf<Host>>(l, |host| host)?;
    wasi::sockets::udp_create_socket::add_to_linker::<Host, HasSelf<Host>>(l, |host| host)?;
    wasi::sockets::ip_name_lookup::add_to_linker::<Host, HasSelf<Host>>(l, |host| host)?;

    // wasmtime's: they work on resources, and the only ones that can exist are streams,
    // pollables and the network handle, which opens nothing.
    wasmtime_wasi_io_to(l)?;
    wasi::cli::exit::add_to_linker::<Host, WasiCli>(l, Host::cli)?;
    wasi::cli::environment::add_to_linker::<Host, WasiCli>(l, Host::cli)?;
    wasi::cli::stdin::add_to_linker::<Host, WasiCli>(l, Host::cli)?;
    wasi::cli::stdout::add_to_linker::<Host, WasiCli>(l, Host::cli)?;
    wasi::cli::stderr::add_to_linker::<Host, WasiCli>(l, Host::cli)?;
    wasi::cli::terminal_input::add_to_linker::<Host, WasiCli>(l, Host::cli)?;
    wasi::cli::terminal_output::add_to_linker::<Host, WasiCli>(l, Host::cli)?;
    wasi::cli::terminal_stdin::add_to_linker::<Host, WasiCli>(l, Host::cli)?;
    wasi::cli::terminal_stdout::add_to_linker::<Host, WasiCli>(l, Host::cli)?;
    wasi::cli::terminal_stderr::add_to_linker::<Host, WasiCli>(l, Host::cli)?;
    wasi::filesystem::preopens::add_to_linker::<Host, WasiFilesystem>(l, Host::filesystem)?;
    wasi::filesystem::types::add_to_linker::<Host, WasiFilesystem>(l, Host::filesystem)?;
    let stable = wasi::sockets::network::LinkOptions::default();
    wasi::sockets::network::add_to_linker::<Host, WasiSockets>(l, &stable, Host::sockets)?;
    wasi::sockets::instance_network::add_to_linker::<Host, WasiSockets>(l, Host::sockets)?;
    wasi::sockets::tcp::add_to_linker::<Host, WasiSockets>(l, Host::sockets)?;
    wasi::sockets::udp::add_to_linker::<Host, WasiSockets>(l, Host::sockets)?;
    Ok(linker)
}

/// `wasi:io`: error, poll and streams.
fn wasmtime_wasi_io_to(l: &mut Linker<Host>) -> wasmtime::Result<()> {
    struct Io;
    impl wasmtime::component::HasData for Io {
        type Data<'a> = &'a mut ResourceTable;
    }
    wasi::io::error::add_to_linker::<Host, Io>(l, |host| &mut host.table)?;
    wasi::io::poll::add_to_linker::<Host, Io>(l, |host| &mut host.table)?;
    wasi::io::streams::add_to_linker::<Host, Io>(l, |host| &mut host.table)
}
