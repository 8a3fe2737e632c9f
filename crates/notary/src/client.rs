//! A supervisor's side: starting a notary and talking to it without being held up by it.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};
use stockade_journal::tree::Hash;
use stockade_journal::{hex, unhex};
use stockade_wire::notary::{FromNotary, MAX_LEAVES, MAX_MESSAGE, Refusal, ToNotary};

/// How long an answer, or room for a message, is waited for: a slow disk's time for a few flushes, many times over.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Where the log is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The notary's own folder.
    pub folder: PathBuf,
    /// Root's: what witnesses have cosigned, a file each.
    pub cosigned: PathBuf,
}

impl Place {
    /// The folders below a state folder.
    pub fn of(state: &Path) -> Self {
        Self { folder: state.join("notary"), cosigned: state.join("cosigned") }
    }
}

/// What went wrong with a notary.
#[derive(Debug)]
pub enum ClientError {
    /// A system call of ours failed.
    System {
        /// The call.
        op: &'static str,
        /// What was said.
        why: String,
    },
    /// It refused, and has ended.
    Refused {
        /// What kind.
        code: Refusal,
        /// For the operator.
        detail: String,
    },
    /// It ended without a word: start another and resume.
    Gone,
    /// Its socket is full; nothing was sent. Poll for `POLLOUT` and try again.
    Busy,
    /// It did not answer in [`PATIENCE`].
    Silent,
    /// It said what it may not say now.
    Protocol(String),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System { op, why } => write!(f, "notary: {op}: {why}"),
            Self::Refused { detail, .. } => write!(f, "notary: {detail}"),
            Self::Gone => f.write_str("the notary ended without a word"),
            Self::Busy => f.write_str("the notary's socket is full"),
            Self::Silent => write!(f, "the notary did not answer in {} seconds", PATIENCE.as_secs()),
            Self::Protocol(why) => write!(f, "notary: protocol: {why}"),
        }
    }
}

impl std::error::Error for ClientError {}

/// The answer to `begin` and `resume`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// The host log's name.
    pub origin: String,
    /// The key that signs now.
    pub key: String,
    /// Lines that have been signed.
    pub size: u64,
    /// Root over them. After `resume` it must be that of the journal's first `size` lines.
    pub root: Hash,
}

/// A running notary. Dropped, its socket closes, it ends, and it is waited for.
#[derive(Debug)]
pub struct Notary {
    socket: Option<OwnedFd>,
    child: Child,
}

fn system<E: fmt::Display>(op: &'static str) -> impl FnOnce(E) -> ClientError {
    move |why| ClientError::System { op, why: why.to_string() }
}

impl Notary {
    /// Starts `program`, which must be root's and writable by root alone. Of the environment it gets
    /// `CREDENTIALS_DIRECTORY` only. Nothing is waited for: a refusal to start is the first answer.
    pub fn start(program: &Path, place: &Place) -> Result<Self, ClientError> {
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
            .map_err(system("socketpair"))?;
        let mut command = Command::new(program);
        // Whatever path it is started by, this is what an operator sees.
        command.arg0("stockade-notary");
        command.arg(&place.folder).arg(&place.cosigned).env_clear().current_dir("/");
        if let Some(dir) = std::env::var_os("CREDENTIALS_DIRECTORY") {
            command.env("CREDENTIALS_DIRECTORY", dir);
        }
        let child = command.stdin(Stdio::from(theirs)).stdout(Stdio::null()).spawn().map_err(system("start"))?;
        Ok(Self { socket: Some(ours), child })
    }

    /// [`Notary::start`] of an open file: what was examined is what is started.
    pub fn start_open(program: impl AsFd, place: &Place) -> Result<Self, ClientError> {
        let path = PathBuf::from(format!("/proc/self/fd/{}", program.as_fd().as_raw_fd()));
        Self::start(&path, place)
    }

    /// Readable when an answer is there, or the end.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// Its process, for those who watch it.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A new run. Waits for the answer.
    pub fn begin(&mut self, run: &str) -> Result<Begun, ClientError> {
        self.ask(&ToNotary::Begin { run: run.to_owned() }).and_then(begun)
    }

    /// A run that was begun before and whose journal has `lines` lines. Waits for the answer.
    pub fn resume(&mut self, run: &str, lines: u64) -> Result<Begun, ClientError> {
        self.ask(&ToNotary::Resume { run: run.to_owned(), lines }).and_then(begun)
    }

    /// Begins the host's log. Waits for the answer.
    pub fn init(&mut self, origin: Option<&str>) -> Result<Begun, ClientError> {
        self.ask(&ToNotary::Init { origin: origin.map(str::to_owned) }).and_then(begun)
    }

    /// Ends the epoch; gives its number and the next key. Waits for the answer.
    pub fn rotate(&mut self) -> Result<(u32, String), ClientError> {
        match self.ask(&ToNotary::Rotate)? {
            FromNotary::Rotated { ended, key } => Ok((ended, key)),
            other => Err(unexpected(&other)),
        }
    }

    /// Tells the leaf hashes of lines that are on disk, from line `first` on. Waits for room only.
    pub fn append(&mut self, first: u64, leaves: &[Hash]) -> Result<(), ClientError> {
        let mut first = first;
        for chunk in leaves.chunks(MAX_LEAVES) {
            let message = ToNotary::Append { first, leaves: chunk.iter().map(|leaf| hex(leaf)).collect() };
            self.send_patiently(&message)?;
            first = first.saturating_add(chunk.len() as u64);
        }
        Ok(())
    }

    /// Asks for a head without waiting; the answer comes by [`Notary::receive`].
    pub fn send_head(&mut self) -> Result<(), ClientError> {
        self.send(&ToNotary::Head)
    }

    /// Asks for a head and waits for it: a [`FromNotary::Signed`].
    pub fn head(&mut self) -> Result<FromNotary, ClientError> {
        match self.ask(&ToNotary::Head)? {
            signed @ FromNotary::Signed { .. } => Ok(signed),
            other => Err(unexpected(&other)),
        }
    }

    /// Sends without waiting.
    pub fn send(&mut self, message: &ToNotary) -> Result<(), ClientError> {
        let bytes = serde_json::to_vec(message).map_err(|e| ClientError::Protocol(e.to_string()))?;
        let socket = self.socket.as_ref().ok_or(ClientError::Gone)?;
        loop {
            match send(socket.as_raw_fd(), &bytes, MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN | Errno::ENOBUFS) => return Err(ClientError::Busy),
                // It may have said why before it ended.
                Err(Errno::EPIPE | Errno::ECONNRESET) => return Err(self.last_word()),
                Err(errno) => return Err(system("send")(errno)),
            }
        }
    }

    /// An answer, if one is there. A refusal is an error.
    pub fn receive(&mut self) -> Result<Option<FromNotary>, ClientError> {
        let socket = self.socket.as_ref().ok_or(ClientError::Gone)?;
        let mut buffer = vec![0; MAX_MESSAGE + 1];
        let length = loop {
            match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(0) | Err(Errno::ECONNRESET) => return Err(ClientError::Gone),
                Ok(length) => break length,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(None),
                Err(errno) => return Err(system("recv")(errno)),
            }
        };
        if length > MAX_MESSAGE {
            return Err(ClientError::Protocol(format!("an answer is over {MAX_MESSAGE} bytes")));
        }
        let bytes = buffer.get(..length).unwrap_or_default();
        match serde_json::from_slice(bytes).map_err(|e| ClientError::Protocol(e.to_string()))? {
            FromNotary::Refused { code, detail } => Err(ClientError::Refused { code, detail }),
            answer => Ok(Some(answer)),
        }
    }

    /// Waits for an answer.
    pub fn wait(&mut self) -> Result<FromNotary, ClientError> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = self.receive()? {
                return Ok(answer);
            }
            self.poll(PollFlags::POLLIN, until)?;
        }
    }

    fn ask(&mut self, message: &ToNotary) -> Result<FromNotary, ClientError> {
        self.send_patiently(message)?;
        self.wait()
    }

    fn send_patiently(&mut self, message: &ToNotary) -> Result<(), ClientError> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.send(message) {
                Err(ClientError::Busy) => self.poll(PollFlags::POLLOUT, until)?,
                other => return other,
            }
        }
    }

    fn poll(&self, flags: PollFlags, until: Instant) -> Result<(), ClientError> {
        let socket = self.socket.as_ref().ok_or(ClientError::Gone)?;
        let left = until.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(socket.as_fd(), flags)], timeout) {
            Ok(0) => Err(ClientError::Silent),
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(system("poll")(errno)),
        }
    }

    /// Why it ended, if it said so.
    fn last_word(&mut self) -> ClientError {
        loop {
            match self.receive() {
                Err(refused) => return refused,
                Ok(Some(_)) => {}
                Ok(None) => return ClientError::Gone,
            }
        }
    }
}

impl Drop for Notary {
    fn drop(&mut self) {
        // It ends when its socket closes, after what it is writing.
        self.socket = None;
        let _ = self.child.wait();
    }
}

fn begun(answer: FromNotary) -> Result<Begun, ClientError> {
    match answer {
        FromNotary::Begun { origin, key, size, root } => {
            let root = unhex(&root).ok_or_else(|| ClientError::Protocol("a root is no SHA-256".to_owned()))?;
            Ok(Begun { origin, key, size, root })
        }
        other => Err(unexpected(&other)),
    }
}

fn unexpected(answer: &FromNotary) -> ClientError {
    ClientError::Protocol(format!("it answered {answer:?}"))
}
