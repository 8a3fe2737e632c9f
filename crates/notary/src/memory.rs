//! What others remember of the log: checkpoints that witnesses cosigned, which root keeps out of the notary's
//! reach. A log that is shorter than one of them, or begins otherwise, has been rolled back.

use std::path::Path;

use stockade_journal::note::{Checkpoint, MAX_NOTE};
use stockade_journal::tiles::{Folder, HostLog, KeyChain, LogError};

use crate::error::NotaryError;

/// Most witnesses that are remembered.
const MAX_WITNESSES: usize = 64;

/// Cosigned checkpoints, by the file that holds each.
#[derive(Debug, Default)]
pub struct Memory(Vec<(String, Vec<u8>)>);

impl Memory {
    /// Reads all of a folder, which may be missing: nobody has cosigned yet.
    pub fn read(path: &Path) -> Result<Self, NotaryError> {
        let entries = match std::fs::read_dir(path) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(step(e)),
        };
        let folder = Folder::open(path)?;
        let mut notes = Vec::new();
        for entry in entries {
            let name = entry.map_err(step)?.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            if notes.len() == MAX_WITNESSES {
                return Err(step(format!("{} has over {MAX_WITNESSES} files", path.display())));
            }
            if let Some(note) = folder.read(&name, MAX_NOTE)? {
                notes.push((name, note));
            }
        }
        Ok(Self(notes))
    }

    /// Whether the log goes on from all of them.
    pub fn check(&self, log: &HostLog, keys: &KeyChain, head: &Checkpoint) -> Result<(), LogError> {
        for (file, note) in &self.0 {
            let opened = keys.open(note, log.origin());
            let (seen, _, _) = opened.map_err(|cause| LogError::Note { file: format!("cosigned {file}"), cause })?;
            log.extends(file, seen.size, &seen.root, head)?;
        }
        Ok(())
    }
}

fn step(why: impl std::fmt::Display) -> NotaryError {
    NotaryError::confine("reading cosigned checkpoints")(why)
}
