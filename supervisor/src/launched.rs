//! `runs/RUN/launch.json`: what was launched, by the names it had, for who resumes or exports the run. It is no
//! evidence; the journal has digests of all that counts.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::RunError;
use crate::home::unrecordable;
use crate::objects;

/// Name of the file.
pub const FILE: &str = "launch.json";

/// Longest file that is read, in bytes.
const LONGEST: u64 = 4 * 1024 * 1024;

/// What was launched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Launched {
    /// `wasm` or `native`.
    pub kind: String,
    /// Name of the agent.
    pub agent: String,
    /// The component's file, or the program.
    pub program: PathBuf,
    /// SHA-256 of it, hex; empty if it was not the host's.
    pub program_digest: String,
    /// The task, or the program's whole argument vector.
    pub task: Vec<String>,
    /// The policy's file.
    pub policy: PathBuf,
    /// As it was named, which may have been from a folder: so it is in the origins of its rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_named: Option<PathBuf>,
    /// SHA-256 of its resolved form, hex.
    pub policy_digest: String,
    /// Name of the policy bundle.
    pub bundle: String,
    /// The workspace.
    pub workspace: Option<PathBuf>,
    /// The engine's version and settings.
    pub engine: String,
}

impl Launched {
    /// Writes it into a run's folder, durably.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), RunError> {
        let mut text = serde_json::to_vec_pretty(self).map_err(|e| RunError::Internal(e.to_string()))?;
        text.push(b'\n');
        objects::write(folder, &folder.join(FILE), &text).map_err(unrecordable)
    }

    /// Reads that of a run's folder.
    ///
    /// # Errors
    /// [`RunError::Recorded`]
    pub fn read(folder: &Path) -> Result<Self, RunError> {
        let path = folder.join(FILE);
        let refuse = |why: String| RunError::Recorded(format!("{}: {why}", path.display()));
        let found = std::fs::symlink_metadata(&path).map_err(|error| refuse(error.to_string()))?;
        let size = found.len();
        if !found.is_file() {
            return Err(refuse("no regular file".to_owned()));
        }
        if size > LONGEST {
            return Err(refuse(format!("{size} bytes, at most {LONGEST} are read")));
        }
        let text = std::fs::read(&path).map_err(|error| refuse(error.to_string()))?;
        serde_json::from_slice(&text).map_err(|error| refuse(error.to_string()))
    }
}
