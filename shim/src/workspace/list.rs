//! `workspace.list`.

use std::collections::BinaryHeap;
use std::fmt::Write;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{Mode, fstatat};
use serde_json::{Value, json};
use stockade_policy::WorkspacePath;

use super::stat::size;
use super::{FsError, Identity, Kind, Workspace, beneath, identity};

/// Entries looked at in one call; a longer directory is listed in part and said to be truncated.
const MAX_SCAN: u64 = 200_000;

/// Bytes of JSON in one answer, so that it fits a frame.
const MAX_ANSWER: usize = 3 * 1024 * 1024;

impl Workspace {
    /// Names in a directory in the order of their bytes, up to `limit`.
    ///
    /// # Errors
    /// [`FsError`].
    pub fn list(&self, path: &WorkspacePath, limit: u64) -> Result<Value, FsError> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        let (dir, denied) = match self.walk(path)? {
            Some(place) => (place.open(flags)?.0, place.denied),
            None => {
                let denied = if self.deny.is_empty() { Vec::new() } else { self.denied() };
                (beneath(&self.root, ".", flags, Mode::empty())?, denied)
            }
        };
        let mut dir = Dir::from_fd(dir).map_err(FsError::of("fdopendir"))?;
        let (names, mut truncated) = lowest(&mut dir, usize::try_from(limit).unwrap_or(usize::MAX))?;
        let mut entries = Vec::new();
        let mut bytes = 0;
        for name in names {
            let Some(entry) = self.describe(&dir, path, &name, &denied)? else { continue };
            bytes += serde_json::to_vec(&entry).map_or(MAX_ANSWER, |json| json.len() + 1);
            if bytes > MAX_ANSWER {
                truncated = true;
                break;
            }
            entries.push(entry);
        }
        Ok(json!({ "entries": entries, "truncated": truncated }))
    }

    /// One entry, or `None` if it went away meanwhile.
    fn describe(
        &self,
        dir: &Dir,
        path: &WorkspacePath,
        name: &[u8],
        denied: &[Identity],
    ) -> Result<Option<Value>, FsError> {
        let stat = match fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW | AtFlags::AT_NO_AUTOMOUNT) {
            Ok(stat) => stat,
            Err(Errno::ENOENT) => return Ok(None),
            Err(e) => return Err(FsError::of("stat")(e)),
        };
        let text = String::from_utf8_lossy(name);
        let full = if path.as_str().is_empty() { text.to_string() } else { format!("{}/{text}", path.as_str()) };
        let mut entry = if denied.contains(&identity(&stat)) || self.is_denied_name(&full) {
            json!({ "name": text, "kind": "denied" })
        } else {
            json!({ "name": text, "kind": Kind::of(&stat).name(), "size": size(&stat) })
        };
        // The lossy name of these opens nothing; the exact bytes tell them apart.
        if std::str::from_utf8(name).is_err()
            && let Some(fields) = entry.as_object_mut()
        {
            fields.insert("name_hex".to_owned(), Value::String(hex(name)));
        }
        Ok(Some(entry))
    }
}

/// The lowest `limit` names, sorted, and whether there are more.
fn lowest(dir: &mut Dir, limit: usize) -> Result<(Vec<Vec<u8>>, bool), FsError> {
    let mut names = BinaryHeap::new();
    let mut seen = 0;
    let mut more = false;
    for entry in dir.iter() {
        let entry = entry.map_err(FsError::of("getdents"))?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        seen += 1;
        if seen > MAX_SCAN {
            more = true;
            break;
        }
        names.push(name.to_vec());
        if names.len() > limit {
            names.pop();
            more = true;
        }
    }
    Ok((names.into_sorted_vec(), more))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}
