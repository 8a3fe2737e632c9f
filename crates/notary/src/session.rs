//! One conversation with a supervisor, from its first message to its last.

use stockade_journal::note::Checkpoint;
use stockade_journal::tiles::{Appender, Folder, HostLog, KeyChain, ORIGIN, PRIVATE, RunHead, is_run_id};
use stockade_journal::tree::Frontier;
use stockade_journal::{hex, unhex};
use stockade_wire::notary::{FromNotary, MAX_LEAVES, ToNotary};

use crate::EPOCH_SECONDS;
use crate::error::NotaryError;
use crate::keys::{Current, Keys, micros, now};
use crate::memory::Memory;

/// Longest file in `runs/`: 64 hashes in hexadecimal and some.
const MAX_RUN: usize = 8 * 1024;

/// What a notary knows.
pub struct Session {
    state: State,
    keys: Keys,
    memory: Memory,
}

/// What it has been told so far.
enum State {
    /// Nothing: the log may not have been begun.
    Closed(Option<Folder>),
    /// The log is open, and perhaps a run.
    Open(Box<Open>),
}

struct Open {
    log: HostLog,
    chain: KeyChain,
    run: Option<Run>,
}

struct Run {
    id: String,
    frontier: Frontier,
}

impl Session {
    /// A conversation over the log in `folder`.
    pub fn new(folder: Folder, keys: Keys, memory: Memory) -> Self {
        Self { state: State::Closed(Some(folder)), keys, memory }
    }

    /// Answers one message; `None` if there is nothing to say. After an error it must not be asked again.
    pub fn answer(&mut self, message: ToNotary) -> Result<Option<FromNotary>, NotaryError> {
        match message {
            ToNotary::Init { origin } => self.init(origin).map(Some),
            ToNotary::Begin { run } => self.begin(run).map(Some),
            ToNotary::Resume { run, lines } => self.resume(run, lines).map(Some),
            ToNotary::Append { first, leaves } => self.append(first, &leaves).map(|()| None),
            ToNotary::Head => self.head().map(Some),
            ToNotary::Rotate => self.rotate().map(Some),
        }
    }

    fn init(&mut self, origin: Option<String>) -> Result<FromNotary, NotaryError> {
        match &self.state {
            State::Closed(Some(folder)) if folder.has(ORIGIN)? => {
                let name = folder.text(ORIGIN, 1024)?;
                let why = format!("the log was begun, its name is {}; a log keeps its name", name.trim_end());
                return Err(NotaryError::Protocol(why));
            }
            State::Closed(Some(_)) => {}
            _ => return Err(NotaryError::Protocol("`init` is a first message".to_owned())),
        }
        let open = self.open(origin)?;
        begun(open, &Frontier::new())
    }

    fn begin(&mut self, run: String) -> Result<FromNotary, NotaryError> {
        let file = run_file(&run)?;
        let open = self.open(None)?;
        refuse_second(open)?;
        let frontier = Frontier::new();
        let lock = open.log.lock()?;
        if open.log.folder().has(&file)? {
            return Err(NotaryError::Run { run, why: "it was begun before; resume it" });
        }
        put_run(open.log.folder(), &file, &frontier)?;
        drop(lock);
        open.run = Some(Run { id: run, frontier: frontier.clone() });
        begun(open, &frontier)
    }

    fn resume(&mut self, run: String, lines: u64) -> Result<FromNotary, NotaryError> {
        let file = run_file(&run)?;
        let open = self.open(None)?;
        refuse_second(open)?;
        let Some(bytes) = open.log.folder().read(&file, MAX_RUN)? else {
            return Err(NotaryError::Run { run, why: "no notary of this host knows it" });
        };
        let frontier: Frontier = serde_json::from_slice(&bytes)
            .map_err(|_| NotaryError::Run { run: run.clone(), why: "its file in runs/ is damaged" })?;
        if lines < frontier.size() {
            return Err(NotaryError::Rollback { run, signed: frontier.size(), lines });
        }
        open.run = Some(Run { id: run, frontier: frontier.clone() });
        begun(open, &frontier)
    }

    fn append(&mut self, first: u64, leaves: &[String]) -> Result<(), NotaryError> {
        let run = self.run()?;
        if first != run.frontier.size().saturating_add(1) || leaves.is_empty() || leaves.len() > MAX_LEAVES {
            let why = format!(
                "{} lines from {first} on cannot follow {} lines (at most {MAX_LEAVES} at once)",
                leaves.len(),
                run.frontier.size()
            );
            return Err(NotaryError::Protocol(why));
        }
        for leaf in leaves {
            let hash =
                unhex(leaf).ok_or_else(|| NotaryError::Protocol("a leaf is not 64 hexadecimal digits".to_owned()))?;
            run.frontier.push(hash)?;
        }
        Ok(())
    }

    fn head(&mut self) -> Result<FromNotary, NotaryError> {
        self.run()?;
        let State::Open(open) = &mut self.state else { return Err(no_run()) };
        let Open { log, chain, run: Some(run) } = open.as_mut() else { return Err(no_run()) };
        let lock = log.lock()?;
        let mut current = self.keys.load(&lock, chain)?;
        if too_old(&current) {
            self.keys.rotate(&lock, chain)?;
            current = self.keys.load(&lock, chain)?;
        }
        let mut appender = Appender::open(&lock, current.key.verifier())?;
        // Before anything is signed: whoever resumes the run after a crash must go on from here.
        put_run(log.folder(), &run_file(&run.id)?, &run.frontier)?;
        let (size, root) = (run.frontier.size(), run.frontier.root());
        let head = Checkpoint { origin: log.run_origin(&run.id), size, root, extensions: Vec::new() };
        let checkpoint = head.sign(&current.key)?;
        let entry = RunHead { run: run.id.clone(), size, root, time: now() };
        let appended = appender.append(&entry, &current.key)?;
        let leaf = String::from_utf8(appended.leaf).map_err(|e| NotaryError::Protocol(e.to_string()))?;
        Ok(FromNotary::Signed {
            size,
            checkpoint: checkpoint.to_string(),
            index: appended.index,
            leaf,
            host: appended.checkpoint.to_string(),
        })
    }

    fn rotate(&mut self) -> Result<FromNotary, NotaryError> {
        if let State::Closed(Some(folder)) = &self.state
            && !folder.has(ORIGIN)?
        {
            return Err(NotaryError::Protocol("no log was begun here".to_owned()));
        }
        self.open(None)?;
        let State::Open(open) = &mut self.state else { return Err(no_run()) };
        let Open { log, chain, .. } = open.as_mut();
        let (ended, key) = self.keys.rotate(&log.lock()?, chain)?;
        Ok(FromNotary::Rotated { ended, key: key.to_string() })
    }

    /// Opens the log, beginning it if need be, and checks it against what others remember.
    fn open(&mut self, origin: Option<String>) -> Result<&mut Open, NotaryError> {
        if let State::Closed(folder) = &mut self.state {
            let folder = folder.take().ok_or_else(no_run)?;
            let origin = origin.map_or_else(default_origin, Ok)?;
            let log = HostLog::begin(folder, &origin, |folder| self.keys.first(folder, &origin))?;
            let mut chain = KeyChain::new(log.first_key()?, log.origin());
            let lock = log.lock()?;
            let current = self.keys.load(&lock, &mut chain)?;
            let appender = Appender::open(&lock, current.key.verifier())?;
            self.memory.check(&log, &chain, appender.head())?;
            for epoch in chain.ended() {
                log.extends(&format!("epoch {}", epoch.number), epoch.last.size, &epoch.last.root, appender.head())?;
            }
            drop(appender);
            drop(lock);
            self.state = State::Open(Box::new(Open { log, chain, run: None }));
        }
        match &mut self.state {
            State::Open(open) => Ok(open),
            State::Closed(_) => Err(no_run()),
        }
    }

    fn run(&mut self) -> Result<&mut Run, NotaryError> {
        match &mut self.state {
            State::Open(open) => open.run.as_mut().ok_or_else(no_run),
            State::Closed(_) => Err(no_run()),
        }
    }
}

fn no_run() -> NotaryError {
    NotaryError::Protocol("no run was begun or resumed".to_owned())
}

fn refuse_second(open: &Open) -> Result<(), NotaryError> {
    match &open.run {
        None => Ok(()),
        Some(run) => Err(NotaryError::Protocol(format!("this notary is that of {}", run.id))),
    }
}

fn begun(open: &Open, frontier: &Frontier) -> Result<FromNotary, NotaryError> {
    Ok(FromNotary::Begun {
        origin: open.log.origin().to_owned(),
        key: open.chain.current().to_string(),
        size: frontier.size(),
        root: hex(&frontier.root()),
    })
}

/// Needs the log's lock.
fn put_run(folder: &Folder, file: &str, frontier: &Frontier) -> Result<(), NotaryError> {
    let text = serde_json::to_vec(frontier).map_err(|e| NotaryError::Protocol(e.to_string()))?;
    Ok(folder.put(file, &text, PRIVATE)?)
}

fn run_file(run: &str) -> Result<String, NotaryError> {
    if is_run_id(run) {
        return Ok(format!("runs/{run}"));
    }
    Err(NotaryError::Run { run: run.chars().take(64).collect(), why: "it is no name of a run" })
}

fn too_old(current: &Current) -> bool {
    current.since.is_some_and(|since| micros().saturating_sub(since) / 1_000_000 >= EPOCH_SECONDS)
}

/// The host's name and some chance, so that two hosts of one name do not meet.
fn default_origin() -> Result<String, NotaryError> {
    let name = nix::unistd::gethostname().map_err(|e| NotaryError::Protocol(format!("gethostname: {e}")))?;
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let name: String = name.to_string_lossy().chars().filter(plain).take(64).collect();
    let mut chance = [0; 4];
    crate::keys::chance(&mut chance).map_err(|e| NotaryError::Protocol(format!("getrandom: {e}")))?;
    Ok(format!("{}/stockade-{:08x}", if name.is_empty() { "host" } else { &name }, u32::from_be_bytes(chance)))
}
