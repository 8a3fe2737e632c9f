//! The agent's stdout and stderr on their way to the operator: bounded, counted, never in the way.
//!
//! The operator's side may be slow, closed or stopped. Bytes wait in a small buffer; while it is full the
//! agent's pipe is not read, which slows the agent and nobody else. When the agent is gone, what its pipes
//! hold is taken at once, so that the end of a run never waits for a reader.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use nix::sys::stat::{Mode, SFlag};
use nix::unistd::pipe2;

use sha2::{Digest, Sha256};

use crate::cache::hex;
use crate::error::{Doing, RunError};

/// Bytes that wait for the operator's side.
const PENDING: usize = 64 * 1024;
/// Bytes given to the operator's side at a time.
const CHUNK: usize = 4096;
/// Most bytes of lines of the supervisor's own that wait; what is more is counted.
const NOTES: usize = 1024 * 1024;

/// What the operator's screen may show of an agent's bytes. Called with each chunk, and once at the end.
pub type Filter = Box<dyn FnMut(&[u8], bool) -> Vec<u8>>;

/// One of the two streams.
pub(crate) struct Stream {
    pipe: Option<File>,
    pending: Vec<u8>,
    /// Most bytes that may wait before the agent's pipe is left alone.
    room: usize,
    target: Target,
    broken: bool,
    filter: Filter,
    /// Of all bytes the agent wrote.
    hash: Sha256,
}

/// The operator's side of a stream, never waited for in a write: what polls writable may still have less room
/// than is written (a terminal, or one pipe for both streams).
struct Target {
    fd: OwnedFd,
    socket: bool,
}

/// Both streams and their common limit.
pub(crate) struct Output {
    pub streams: [Stream; 2],
    limit: u64,
    /// Bytes the agent wrote.
    pub seen: u64,
    /// Of those, bytes over the limit.
    pub dropped: u64,
    /// Lines of the supervisor's own that found no room.
    unsaid: u64,
}

impl Output {
    /// Two pipes; gives the agent's ends.
    pub(crate) fn new(limit: u64, filters: [Filter; 2]) -> Result<(Self, [OwnedFd; 2]), RunError> {
        let [first, second] = filters;
        let (stdout, out_end) = Stream::new(std::io::stdout().as_fd(), first)?;
        let (stderr, err_end) = Stream::new(std::io::stderr().as_fd(), second)?;
        Ok((Self { streams: [stdout, stderr], limit, seen: 0, dropped: 0, unsaid: 0 }, [out_end, err_end]))
    }

    /// Moves what can be moved without waiting.
    pub(crate) fn turn(&mut self, index: usize, readable: bool, writable: bool) {
        let Some(stream) = self.streams.get_mut(index) else { return };
        if writable {
            stream.write();
        }
        if readable && let Some(bytes) = stream.read() {
            self.seen += bytes.len() as u64;
            stream.hash.update(&bytes);
            let left = usize::try_from(self.limit.saturating_sub(self.seen - bytes.len() as u64)).unwrap_or(usize::MAX);
            let kept = bytes.get(..left.min(bytes.len())).unwrap_or_default();
            self.dropped += (bytes.len() - kept.len()) as u64;
            let shown = (stream.filter)(kept, false);
            stream.pending.extend_from_slice(&shown);
        }
    }

    /// A line of the supervisor's own, to stderr, in order with the agent's.
    pub(crate) fn note(&mut self, line: &str) {
        let [_, stderr] = &mut self.streams;
        if stderr.pending.len() > NOTES {
            self.unsaid += 1;
            return;
        }
        stderr.pending.extend_from_slice(line.as_bytes());
        stderr.pending.push(b'\n');
    }

    /// The agent is gone. What its pipes still hold is bounded by the pipes, and what is shown of it by the
    /// limit, so it is all taken now.
    pub(crate) fn agent_gone(&mut self) {
        self.streams.iter_mut().for_each(|s| s.room = usize::MAX);
    }

    /// SHA-256 of all that the agent wrote to each of its streams, hex.
    pub(crate) fn digests(&self) -> [String; 2] {
        self.streams.each_ref().map(|stream| hex(&stream.hash.clone().finalize()))
    }

    /// Whether the agent's ends are closed.
    pub(crate) fn ended(&self) -> bool {
        self.streams.iter().all(|s| s.pipe.is_none())
    }

    /// What is waiting in the agent's stderr pipe, shown as the operator may see it.
    pub(crate) fn last_words(&mut self) -> String {
        let [_, stderr] = &mut self.streams;
        let bytes = stderr.read().unwrap_or_default();
        String::from_utf8_lossy(&(stderr.filter)(&bytes, false)).trim().to_owned()
    }

    /// Lets the filters give out what they held back.
    pub(crate) fn finish(&mut self) {
        for stream in &mut self.streams {
            let rest = (stream.filter)(&[], true);
            stream.pending.extend_from_slice(&rest);
        }
        if self.unsaid > 0 {
            let [_, stderr] = &mut self.streams;
            let line =
                format!("{} lines were not shown: nobody read them in time; the journal has them\n", self.unsaid);
            stderr.pending.extend_from_slice(line.as_bytes());
        }
    }

    /// Writes everything left, as long as the operator's side takes it, until a time or a signal. Gives the
    /// bytes that it did not take.
    pub(crate) fn deliver(mut self, until: Instant, signals: BorrowedFd<'_>) -> usize {
        while self.streams.iter().any(|s| !s.pending.is_empty()) {
            let left = until.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut fds = vec![PollFd::new(signals, PollFlags::POLLIN)];
            let waiting = self.streams.iter().enumerate().filter(|(_, s)| !s.pending.is_empty());
            let waiting: Vec<_> =
                waiting.map(|(i, s)| (i, PollFd::new(s.target.fd.as_fd(), PollFlags::POLLOUT))).collect();
            fds.extend(waiting.iter().map(|(_, fd)| fd.clone()));
            match poll(&mut fds, timeout) {
                Err(Errno::EINTR) => continue,
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
            let mut ready = fds.iter().map(|fd| fd.any().unwrap_or(false));
            if ready.next() == Some(true) {
                break;
            }
            let writable: Vec<usize> =
                waiting.iter().map(|(i, _)| *i).zip(ready).filter_map(|(i, ready)| ready.then_some(i)).collect();
            for i in writable {
                self.turn(i, false, true);
            }
        }
        self.streams.iter().map(|s| s.pending.len()).sum()
    }
}

impl Stream {
    fn new(target: BorrowedFd<'_>, filter: Filter) -> Result<(Self, OwnedFd), RunError> {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC).doing("make", "output pipe")?;
        fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).doing("set up", "output pipe")?;
        let target = Target::of(target)?;
        let stream = Self {
            pipe: Some(reader.into()),
            pending: Vec::new(),
            room: PENDING,
            target,
            broken: false,
            filter,
            hash: Sha256::new(),
        };
        Ok((stream, writer))
    }

    /// What to poll for: the agent's pipe while there is room, the operator's side while something waits.
    pub(crate) fn wants(&self) -> [(Option<BorrowedFd<'_>>, PollFlags); 2] {
        let pipe = self.pipe.as_ref().filter(|_| self.pending.len() < self.room).map(AsFd::as_fd);
        let target = (!self.pending.is_empty()).then(|| self.target.fd.as_fd());
        [(pipe, PollFlags::POLLIN), (target, PollFlags::POLLOUT)]
    }

    fn read(&mut self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; PENDING];
        match self.pipe.as_mut()?.read(&mut bytes) {
            Ok(0) => self.pipe = None,
            Ok(len) => {
                bytes.truncate(len);
                return Some(bytes);
            }
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted) => {}
            Err(_) => self.pipe = None,
        }
        None
    }

    fn write(&mut self) {
        let chunk = self.pending.get(..CHUNK.min(self.pending.len())).unwrap_or_default();
        let written = match self.target.write(chunk) {
            Ok(len) => len,
            Err(Errno::EAGAIN | Errno::EINTR) => 0,
            // Closed: nobody reads. The run goes on and the agent is not told.
            Err(_) => {
                self.broken = true;
                self.pending.len()
            }
        };
        self.pending.drain(..written);
        if self.broken {
            self.pending.clear();
        }
    }
}

impl Target {
    /// Opens pipes and terminals anew, so that not waiting is ours alone: the flag of an open file would be
    /// everybody's who shares it, the operator's shell first.
    fn of(fd: BorrowedFd<'_>) -> Result<Self, RunError> {
        let mode = nix::sys::stat::fstat(fd).map(|stat| SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT);
        let kind = mode.unwrap_or(SFlag::empty());
        let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let anew = match kind {
            SFlag::S_IFIFO | SFlag::S_IFCHR => {
                nix::fcntl::open(format!("/proc/self/fd/{}", fd.as_raw_fd()).as_str(), flags, Mode::empty()).ok()
            }
            _ => None,
        };
        let fd = match anew {
            Some(fd) => fd,
            None => fd.try_clone_to_owned().doing("open", "standard output")?,
        };
        Ok(Self { fd, socket: kind == SFlag::S_IFSOCK })
    }

    fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        if self.socket {
            send(self.fd.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL)
        } else {
            nix::unistd::write(&self.fd, bytes)
        }
    }
}
