//! What is unpacked may be private: it goes when a signal ends the program, too.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use nix::sys::signal::{SigSet, Signal};

/// Who has it makes files, or removes them and ends the program.
static FILES: Mutex<()> = Mutex::new(());

/// The right to make a file: none is made behind the back of the removal.
pub(super) fn making() -> MutexGuard<'static, ()> {
    FILES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// SIGHUP, SIGINT and SIGTERM, which from now on wait until they are taken. Call it before there is any other thread.
pub(super) fn hold() -> io::Result<SigSet> {
    let ends: SigSet = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM].into_iter().collect();
    ends.thread_block()?;
    Ok(ends)
}

/// Has the held signals remove the folder before they end the program. SIGKILL leaves it.
pub(super) fn remove_when_ended(ends: SigSet, dir: &Path) -> io::Result<()> {
    let dir = dir.to_owned();
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if let Ok(signal) = ends.wait() {
            let _no_more = making();
            let _best_effort = fs::remove_dir_all(dir);
            // As a shell says it of a program that a signal ended.
            std::process::exit(128 + signal as i32);
        }
    })?;
    Ok(())
}
