//! `stockade-launcher`: the privileged half of the supervisor.
//!
//! It reads one plan and its descriptors from the socket on descriptor 0, gives birth to one process set
//! with every layer of the plan around it, and is gone. [`launch::Launch::run`] and
//! [`newborn::Newborn::run`] are the whole audit, to be read from top to bottom.

mod ceiling;
mod descriptors;
mod error;
mod idmap;
mod landlock_layer;
mod launch;
mod network;
mod newborn;
mod root;
mod socket;
mod sys;

use std::process::ExitCode;

use error::StepError;
use socket::LaunchSocket;
use stockade_plan::step::Step;

fn main() -> ExitCode {
    let socket = match LaunchSocket::from_stdin() {
        Ok(socket) => socket,
        Err(error) => return complain(error),
    };
    let failure = match launch::Launch::receive(&socket).and_then(launch::Launch::run) {
        Ok(launch::Done) => return ExitCode::SUCCESS,
        Err(error) => error,
    };
    match socket.fail(failure) {
        Ok(()) => ExitCode::FAILURE,
        Err(_) => complain(failure),
    }
}

/// Nobody listens on the socket: the error goes to stderr.
fn complain(error: StepError) -> ExitCode {
    let errno = nix::errno::Errno::from_raw(error.errno);
    let receive = if error.step == Step::Receive { "" } else { " and nobody was there to be told" };
    eprintln!("stockade-launcher: {} failed{receive}: {errno}. {}", error.step, error.step.advice());
    ExitCode::FAILURE
}
