//! Tools that an operator has frozen on this host: a file of root's, read when a run begins, so that a new run is held to it
//! as those were told to that lived.

use std::fs::File;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg, OFlag};
use serde::{Deserialize, Serialize};
use stockade_wire::operator::check_frozen;

use crate::error::{Doing, RunError};
use crate::home::{RUNTIME, STATE, private_dir};
use crate::objects;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frozen {
    /// A tool's name, `mcp.SERVER.*`, or `*` for all.
    pub tool: String,
    /// When, RFC 3339.
    pub since: String,
    /// The operator's own words.
    pub note: String,
}

/// Host-wide, so not in a state folder of the operator's choice; and it outlives a restart of the machine.
fn path() -> PathBuf {
    Path::new(STATE).join("frozen.json")
}

/// What is frozen on this host, in the order in which it was.
///
/// # Errors
/// If that cannot be known: then nothing may run.
pub fn list() -> Result<Vec<Frozen>, RunError> {
    let path = path();
    let refuse = |why: String| {
        RunError::Host(format!(
            "what is frozen on this host cannot be known, so nothing runs: {}: {why}",
            path.display()
        ))
    };
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).bits();
    let file = match File::options().read(true).custom_flags(flags).open(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|e| refuse(e.to_string()))?,
    };
    let meta = file.metadata().map_err(|e| refuse(e.to_string()))?;
    if !meta.is_file() || meta.uid() != 0 || meta.mode() & 0o022 != 0 {
        return Err(refuse("it must be a regular file owned by root and writable by root alone".to_owned()));
    }
    let text = std::io::read_to_string(file).map_err(|e| refuse(e.to_string()))?;
    let all: Vec<Frozen> =
        serde_json::from_str(&text).map_err(|e| refuse(format!("{e}; mend it, or remove it to thaw all")))?;
    match all.iter().find_map(|one| check_frozen(&one.tool).err()) {
        Some(problem) => Err(refuse(problem)),
        None => Ok(all),
    }
}

/// Freezes a tool for runs to come; whether it was not before.
///
/// # Errors
/// If the file cannot be read or replaced.
pub fn add(one: Frozen) -> Result<bool, RunError> {
    change(|all| {
        let new = !all.iter().any(|other| other.tool == one.tool);
        if new {
            all.push(one);
        }
        new
    })
}

/// Thaws a tool for runs to come; whether it was frozen.
///
/// # Errors
/// If the file cannot be read or replaced.
pub fn remove(tool: &str) -> Result<bool, RunError> {
    change(|all| {
        let before = all.len();
        all.retain(|one| one.tool != tool);
        all.len() < before
    })
}

fn change(change: impl FnOnce(&mut Vec<Frozen>) -> bool) -> Result<bool, RunError> {
    for folder in [RUNTIME, STATE] {
        private_dir(Path::new(folder))?;
    }
    let lock = Path::new(RUNTIME).join("frozen.lock");
    let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(&lock).doing("open", &lock)?;
    let _lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno).doing("lock", &lock)?;
    let mut all = list()?;
    let changed = change(&mut all);
    if changed {
        let text = serde_json::to_vec_pretty(&all).map_err(|e| RunError::Internal(e.to_string()))?;
        objects::replace(Path::new(STATE), &path(), &text)?;
    }
    Ok(changed)
}
