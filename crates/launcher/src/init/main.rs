//! `stockade-init`: PID 1 of a native cell. It starts the agent's program, reaps what is orphaned, and ends
//! when the program ends, which ends everything else in the pid namespace (pid_namespaces(7)).
//!
//! `stockade-init PROGRAM [ARGUMENT…]`; descriptor 3 is a pipe for the program's wait status (4 bytes,
//! native order, wait(2)) or, if it could not be executed, `-errno`.

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::unistd::{ForkResult, Pid, execv, pipe2, read, write};

mod sys;

fn main() -> ExitCode {
    let status = sys::take_status_pipe();
    let code = match start() {
        Ok(child) => reap(child),
        Err(errno) => -(errno as i32),
    };
    // If the supervisor is gone the cell is ending anyway.
    let _written = write(&status, &code.to_ne_bytes());
    ExitCode::SUCCESS
}

/// Forks and executes the program; the errno if any part of that fails.
fn start() -> Result<Pid, Errno> {
    // The program runs as our own user: without this it could open our /proc entries.
    prctl::set_dumpable(false)?;
    let argv: Vec<CString> = std::env::args_os()
        .skip(1)
        .map(|a| CString::new(a.into_vec()))
        .collect::<Result<_, _>>()
        .map_err(|_| Errno::EINVAL)?;
    let (reader, writer) = pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    match sys::fork()? {
        ForkResult::Parent { child } => {
            drop(writer);
            wait_for_exec(&reader).map(|()| child)
        }
        ForkResult::Child => {
            let Err(errno) = execute(&argv);
            // The parent reads the errno; a closed pipe means that it executed.
            let _told = write(writer.as_fd(), &(errno as i32).to_ne_bytes());
            sys::exit_now(127)
        }
    }
}

fn execute(argv: &[CString]) -> Result<Infallible, Errno> {
    let program = argv.first().ok_or(Errno::ENOENT)?;
    // Rust ignores SIGPIPE at start, and an ignored signal survives execve.
    sys::default_sigpipe()?;
    execv(program, argv)
}

fn wait_for_exec(pipe: &OwnedFd) -> Result<(), Errno> {
    let mut errno = [0; 4];
    match read(pipe, &mut errno)? {
        4 => Err(Errno::from_raw(i32::from_ne_bytes(errno))),
        _ => Ok(()),
    }
}

/// Waits for `child`, reaping everything else that comes by.
fn reap(child: Pid) -> i32 {
    loop {
        match sys::wait_any() {
            Ok((pid, status)) if pid == child => return status,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return -(errno as i32),
        }
    }
}
