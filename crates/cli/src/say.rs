//! A line for the operator, on stderr.

use std::io::stderr;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::write;

/// How long a reader may keep us waiting, once.
const PATIENCE: Duration = Duration::from_secs(2);
/// A pipe that polls writable takes this much without blocking (pipe(7), `PIPE_BUF`).
const CHUNK: usize = 4096;

/// Whether the reader has used up our patience.
static STUCK: AtomicBool = AtomicBool::new(false);

/// Writes a line to stderr. A reader that is gone or stuck is no reason to stop: the exit code and the journal
/// say the same.
pub fn say(line: &str) {
    let text = format!("{line}\n");
    let mut rest = text.as_bytes();
    let patience = if STUCK.load(Ordering::Relaxed) { Duration::ZERO } else { PATIENCE };
    let deadline = Instant::now() + patience;
    while !rest.is_empty() {
        match writable(deadline) {
            Ok(true) => {}
            Ok(false) => {
                STUCK.store(true, Ordering::Relaxed);
                return;
            }
            Err(_) => return,
        }
        let chunk = rest.get(..CHUNK.min(rest.len())).unwrap_or_default();
        match write(stderr(), chunk) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(_) => return,
        }
    }
}

fn writable(deadline: Instant) -> Result<bool, Errno> {
    let stderr = stderr();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        match poll(&mut [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)], timeout) {
            Err(Errno::EINTR) => {}
            answer => return answer.map(|n| n > 0),
        }
    }
}
