//! The time of a journal's last record, without reading what comes before it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use serde::Deserialize;

use crate::MAX_LINE;
use crate::dir::{last_segment, open_file, segment_name};
use crate::time::parse_time;

/// Microseconds since 1970 of the last complete line in the directory `path`, unchecked: enough to tell whether a
/// journal is worth reading. `None` if it cannot be told.
#[must_use]
pub fn newest_time(path: &Path) -> Option<i64> {
    #[derive(Deserialize)]
    struct Timed {
        time: String,
    }
    let dir = open(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
    let (fd, size) = open_file(&dir, &segment_name(last_segment(&dir).ok()??), OFlag::O_RDONLY).ok()?;
    let mut file = File::from(fd);
    // A whole line, and a torn one after it.
    let tail = size.min(2 * MAX_LINE as u64);
    file.seek(SeekFrom::Start(size - tail)).ok()?;
    let mut bytes = Vec::new();
    file.take(tail).read_to_end(&mut bytes).ok()?;
    let end = bytes.iter().rposition(|byte| *byte == b'\n')?;
    let lines = bytes.get(..end)?;
    let line = lines.get(lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)..)?;
    parse_time(&serde_json::from_slice::<Timed>(line).ok()?.time)
}
