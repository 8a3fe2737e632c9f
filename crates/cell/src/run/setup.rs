//! From inherited descriptors to an agent that is ready to start. Nothing here runs agent code.

use std::time::Duration;

use seccompiler::sock_filter;
use sha2::{Digest, Sha256};
use stockade_wire::cell::{CellConfig, cell_fd};
use wasmtime::Engine;

use super::artifact;
use super::channel::{Channel, ChannelError};
use super::deadline::Deadline;
use super::host::Agent;
use super::report::Facts;
use super::seal::{self, SealError};
use super::ticker::Ticker;
use crate::inherited::{self, InheritedError};

/// Longest configuration in bytes.
const MAX_CONFIG: u64 = 1 << 20;

/// Why no agent code ran.
#[derive(Debug)]
pub(super) enum SetupError {
    /// A descriptor is missing, unsealed or unreadable.
    Inherited(InheritedError),
    /// The configuration is not what the contract says.
    Config(serde_json::Error),
    /// A limit is zero, by its name.
    ZeroLimit(&'static str),
    /// The channel failed before `Start`.
    Channel(ChannelError),
    /// The engine can't be built on this processor or kernel.
    Engine(wasmtime::Error),
    /// The bytes are no artifact of a component; their number is given.
    NotAnArtifact(usize),
    /// The engine refused the artifact.
    Artifact(wasmtime::Error),
    /// The component wants modules or components from its host.
    ImportsModules,
    /// The component has more of something than a cell gives.
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: u32,
        /// How many are given.
        most: usize,
    },
    /// The component does not fit the world.
    World(wasmtime::Error),
    /// The store can't be made.
    Store(wasmtime::Error),
    /// stdout or stderr is not open.
    Output(std::io::Error),
    /// The timer thread or the runtime can't be started.
    Threads(std::io::Error),
    /// The last layer is not closed.
    Seal(SealError),
}

impl std::fmt::Display for SetupError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Inherited(e) => write!(f, "{e}"),
            Self::Config(e) => write!(f, "the cell's configuration: {e}"),
            Self::ZeroLimit(name) => write!(f, "the cell's configuration: `{name}` is 0, and nothing could run"),
            Self::Channel(e) => write!(f, "{e}"),
            Self::Engine(e) => write!(f, "the engine can't be built: {e:#}"),
            Self::NotAnArtifact(n) => {
                write!(f, "the artifact ({n} bytes) is not a precompiled component; remove it from the cache")
            }
            Self::Artifact(e) => {
                write!(f, "the artifact is refused: {e:#}; remove it from the cache, and it is compiled again")
            }
            Self::ImportsModules => {
                write!(f, "the component imports modules or components; an agent brings all its code")
            }
            Self::TooMany { what, count, most } => {
                write!(f, "the component has {count} {what}; at most {most} are given")
            }
            Self::World(e) => write!(f, "the component is not of the world stockade:agent/agent@0.1.0: {e:#}"),
            Self::Store(e) => write!(f, "the agent can't be prepared: {e:#}"),
            Self::Output(e) => write!(f, "the agent's stdout or stderr: {e}"),
            Self::Threads(e) => write!(f, "the cell can't start its timer: {e}"),
            Self::Seal(e) => write!(f, "{e}"),
        }
    }
}

impl std::error::Error for SetupError {}

/// Everything that is needed after the last layer.
pub(super) struct Prepared {
    pub(super) agent: Agent,
    pub(super) ticker: Ticker,
    pub(super) filter: Vec<sock_filter>,
    pub(super) facts: Facts,
}

/// Takes the descriptors, loads the artifact, prepares all that the last layer would refuse.
pub(super) fn prepare() -> Result<Prepared, SetupError> {
    // All descriptors are taken before anything is opened, so that no number is ours by accident.
    let channel = inherited::take(cell_fd::CHANNEL).map_err(SetupError::Inherited)?;
    let [artifact_file, config_file, filter_file] =
        [cell_fd::ARTIFACT, cell_fd::CONFIG, cell_fd::FILTER].map(inherited::take_sealed);
    let artifact_file = artifact_file.map_err(SetupError::Inherited)?;
    let config_file = config_file.map_err(SetupError::Inherited)?;
    let filter_file = filter_file.map_err(SetupError::Inherited)?;

    let config = inherited::read_all(&config_file, cell_fd::CONFIG, MAX_CONFIG).map_err(SetupError::Inherited)?;
    let config: CellConfig = serde_json::from_slice(&config).map_err(SetupError::Config)?;
    check(&config)?;
    let filter_bytes =
        inherited::read_all(&filter_file, cell_fd::FILTER, seal::MAX_FILTER).map_err(SetupError::Inherited)?;
    let filter = seal::parse(&filter_bytes).map_err(SetupError::Seal)?;

    let engine = crate::engine::engine().map_err(SetupError::Engine)?;
    let (component, digest) = artifact::load(&engine, &artifact_file)?;

    let deadline = Deadline::default();
    let channel = Channel::new(channel, deadline.clone()).map_err(SetupError::Channel)?;
    let agent = Agent::prepare(&engine, &component, &config, channel, deadline)?;
    // Signal stacks are mapped here, not at the first trap.
    Engine::tls_eager_initialize();
    let ticker = Ticker::spawn(engine).map_err(SetupError::Threads)?;
    let facts = Facts {
        artifact: digest,
        filter: artifact::hex(&Sha256::digest(&filter_bytes)),
        filter_len: filter.len(),
        config,
    };
    // The three memfds close here.
    Ok(Prepared { agent, ticker, filter, facts })
}

fn check(config: &CellConfig) -> Result<(), SetupError> {
    for (name, value) in [("memory", config.memory), ("fuel", config.fuel), ("wall_ms", config.wall_ms)] {
        if value == 0 {
            return Err(SetupError::ZeroLimit(name));
        }
    }
    Ok(())
}

/// The configuration's wall-clock limit.
pub(super) fn wall(config: &CellConfig) -> Duration {
    // A century is as good as no end, and stays within what an Instant can add.
    const CENTURY_MS: u64 = 100 * 366 * 24 * 3600 * 1000;
    Duration::from_millis(config.wall_ms.min(CENTURY_MS))
}
