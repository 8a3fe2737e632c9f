//! The janitor: a process per run that outlives the supervisor and cleans up if that dies.
//!
//! It starts before anything of the run exists. Descriptor 0 is the lifeline: one byte means that all is
//! clean, an end of file means that the supervisor is dead. Descriptor 1 is the reservation's open file, with
//! its lock.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::fcntl::OFlag;
use nix::unistd::{pipe2, setsid};

use crate::error::{Doing, RunError};
use crate::reclaim;
use crate::reserve::{Reservation, read_note};

/// The supervisor's end. Dropping it without [`Janitor::dismiss`] has the run cleaned up.
#[derive(Debug)]
pub(crate) struct Janitor {
    lifeline: Option<File>,
    process: Child,
}

/// The hidden subcommand.
pub const COMMAND: &str = "janitor-of-one-run";

impl Janitor {
    /// Starts a janitor for a reservation. `program` is the running executable.
    pub(crate) fn start(reservation: &Reservation) -> Result<Self, RunError> {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC).doing("make", "lifeline")?;
        let process = Command::new("/proc/self/exe")
            .arg(COMMAND)
            .env_clear()
            .stdin(Stdio::from(reader))
            .stdout(Stdio::from(reservation.share()?))
            .stderr(Stdio::null())
            // A terminal's Ctrl-C goes to the foreground group: the janitor is not in it.
            .process_group(0)
            .spawn()
            .doing("start", "janitor")?;
        Ok(Self { lifeline: Some(writer.into()), process })
    }

    /// Everything is clean: the janitor may go.
    pub(crate) fn dismiss(mut self) -> Result<(), RunError> {
        if let Some(mut lifeline) = self.lifeline.take() {
            match lifeline.write_all(b"k") {
                // Somebody killed it: it is dismissed already.
                Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => {}
                other => other.doing("dismiss", "janitor")?,
            }
        }
        self.process.wait().map(drop).doing("wait for", "janitor")
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        // Closing the lifeline has it clean up; the supervisor waits, so that nothing is left when it ends.
        if let Some(lifeline) = self.lifeline.take() {
            drop(lifeline);
            let _status = self.process.wait();
        }
    }
}

/// The janitor's whole life, in a process of its own.
///
/// # Errors
/// If something cannot be cleaned; the next start tries again and tells.
pub fn main() -> Result<(), RunError> {
    // A session of its own, or the end of the terminal would be its end. It fails only for group leaders
    // that lead already, which is as good.
    let _leads = setsid();
    let mut lifeline = File::from(std::io::stdin().as_fd().try_clone_to_owned().doing("open", "lifeline")?);
    let mut reservation = File::from(std::io::stdout().as_fd().try_clone_to_owned().doing("open", "reservation")?);
    let mut byte = [0];
    let clean = loop {
        match lifeline.read(&mut byte) {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            read => break matches!(read, Ok(1)),
        }
    };
    if clean {
        return Ok(());
    }
    let problem = match read_note(&mut reservation)? {
        Some(note) => reclaim::after_crash(&note)?,
        None => None,
    };
    release_own(&reservation)?;
    problem.map_or(Ok(()), |problem| Err(RunError::Journal(problem)))
}

/// The reservation's path, from its descriptor: the janitor is told nothing else.
fn release_own(reservation: &File) -> Result<(), RunError> {
    use std::os::fd::AsRawFd;
    let link = format!("/proc/self/fd/{}", reservation.as_raw_fd());
    let path = std::fs::read_link(&link).doing("read", &link)?;
    if path.starts_with(Path::new(crate::home::RUNTIME).join("ids")) && path.exists() {
        crate::reserve::release(&path, reservation)?;
    }
    Ok(())
}
