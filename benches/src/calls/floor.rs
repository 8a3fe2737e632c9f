//! What cannot be had for less: the bytes of a short call and its answer over a socket pair, and back, between two processes.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The word that makes this program the other process.
pub const COMMAND: &str = "echo-for-the-floor";
/// Bytes of a short call with its frame.
const SIZE: usize = 128;

/// The time of one round trip.
pub fn round_trip(times: u32) -> io::Result<Duration> {
    let (mut ours, theirs) = UnixStream::pair()?;
    let mut command = Command::new(std::env::current_exe()?);
    let mut child = command.arg(COMMAND).stdin(Stdio::from(OwnedFd::from(theirs))).spawn()?;
    let mut bytes = [7; SIZE];
    let mut turn = |bytes: &mut [u8]| ours.write_all(bytes).and_then(|()| ours.read_exact(bytes));
    // The first one waits for the program to start.
    turn(&mut bytes)?;
    let begin = Instant::now();
    for _ in 0..times {
        turn(&mut bytes)?;
    }
    let took = begin.elapsed();
    drop(ours);
    child.wait()?;
    Ok(took / times)
}

/// The other process: sends back what it gets, until there is no more.
pub fn echo() -> io::Result<()> {
    use std::os::fd::AsFd;
    let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut bytes = [0; SIZE];
    while socket.read_exact(&mut bytes).is_ok() {
        socket.write_all(&bytes)?;
    }
    Ok(())
}
