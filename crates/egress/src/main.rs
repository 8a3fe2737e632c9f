//! `stockade-egress`: one run's connections to the outside.
//!
//! It serves sockets inside the agent's network namespace, asks the shim for every name, request, connection and
//! address, and dials on sockets that the supervisor hands over. It has no policy, no journal, no file and no network
//! of its own. One thread.

mod dial;
mod error;
mod forward;
mod hello;
mod link;
mod names;
mod outside;
mod proxy;
mod run;
mod shim;
mod tally;
mod tls;
mod vault;

use std::process::ExitCode;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let ended = match runtime {
        Ok(runtime) => tokio::task::LocalSet::new().block_on(&runtime, run::run()),
        Err(error) => Err(error::Fatal(format!("event loop: {error}"))),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stockade-egress: {}", error.0);
            ExitCode::FAILURE
        }
    }
}
