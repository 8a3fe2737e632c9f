//! The processes of one run, to be killed.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::rig::{Running, list};

/// Which process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    Stockade,
    Janitor,
    Launcher,
    Shim,
    /// The process that signs.
    Notary,
    /// The first process of the cell: `stockade-init` or `stockade-cell`.
    Cell,
}

impl Victim {
    /// Its pid, if it is there now.
    pub fn pid(self, of: &Running) -> Option<Pid> {
        match self {
            Self::Stockade => Some(pid(of.pid())),
            Self::Janitor => children(of)
                .find(|p| fs::read(p.join("cmdline")).is_ok_and(|c| contains(&c, b"janitor-of-one-run")))
                .map(number),
            Self::Notary => children(of)
                .find(|p| fs::read(p.join("cmdline")).is_ok_and(|c| c.starts_with(b"stockade-notary")))
                .map(number),
            Self::Launcher => children(of)
                .find(|p| fs::read_to_string(p.join("comm")).is_ok_and(|c| c == "stockade-launch\n"))
                .map(number),
            Self::Shim => in_group(of, "shim"),
            Self::Cell => in_group(of, "cell"),
        }
    }

    /// kill(2) with SIGKILL; whether it was there.
    pub fn kill(self, of: &Running) -> bool {
        self.pid(of).is_some_and(|pid| kill(pid, Signal::SIGKILL).is_ok())
    }
}

fn pid(raw: u32) -> Pid {
    Pid::from_raw(i32::try_from(raw).unwrap())
}

fn number(proc: PathBuf) -> Pid {
    Pid::from_raw(proc.file_name().unwrap().to_str().unwrap().parse().unwrap())
}

fn contains(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|w| w == part)
}

fn processes() -> impl Iterator<Item = PathBuf> {
    let is_number =
        |p: &PathBuf| p.file_name().is_some_and(|n| n.to_string_lossy().bytes().all(|b| b.is_ascii_digit()));
    list(Path::new("/proc")).into_iter().filter(is_number)
}

fn children(of: &Running) -> impl Iterator<Item = PathBuf> {
    let parent = format!("\nPPid:\t{}\n", of.pid());
    processes().filter(move |p| fs::read_to_string(p.join("status")).is_ok_and(|s| s.contains(&parent)))
}

/// The child of the supervisor that is in this group: the process set's first.
fn in_group(of: &Running, group: &str) -> Option<Pid> {
    let end = format!("/{group}\n");
    children(of)
        .find(|p| {
            fs::read_to_string(p.join("cgroup"))
                .is_ok_and(|c| c.lines().any(|l| l.starts_with("0::/stockade/") && format!("{l}\n").ends_with(&end)))
        })
        .map(number)
}
