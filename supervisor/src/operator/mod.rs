//! Operators' commands and the runs they are for: a socket of each run that lives, root's alone.

mod client;
mod door;

use std::path::{Path, PathBuf};

pub use client::{ask, live, stop_by_force};
pub(crate) use door::{Door, Source};

use crate::home::RUNTIME;

/// Where the sockets are.
pub(crate) fn folder() -> PathBuf {
    Path::new(RUNTIME).join("runs")
}

/// A run's socket.
pub(crate) fn socket(run: &str) -> PathBuf {
    folder().join(format!("{run}.sock"))
}
