//! A journal's copy for the shim of a replay, which has a uid of its own and may not touch the record itself.

use std::fs::{self, DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, chown};
use std::path::Path;

use nix::fcntl::OFlag;

use crate::error::{Doing, RunError};

/// Folders beside the segments that a replay reads: what an agent asked and was answered may be in any of them.
const BESIDE: [&str; 2] = ["blobs", "private"];

/// Copies `journal`, with what lies beside its segments, to the new folder `to`, as files of a user who is `id` on the host.
pub(super) fn copy(journal: &Path, to: &Path, id: u32) -> Result<(), RunError> {
    files(journal, to, id)?;
    for folder in BESIDE.iter().filter(|folder| journal.join(folder).is_dir()) {
        files(&journal.join(folder), &to.join(folder), id)?;
    }
    Ok(())
}

fn files(from: &Path, to: &Path, id: u32) -> Result<(), RunError> {
    DirBuilder::new().recursive(true).mode(0o700).create(to).doing("create", to)?;
    for entry in fs::read_dir(from).doing("list", from)? {
        let entry = entry.doing("list", from)?;
        if !entry.file_type().doing("examine", entry.path())?.is_file() {
            continue;
        }
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).bits();
        let mut source_file = OpenOptions::new().read(true).custom_flags(flags).open(&source).doing("open", &source)?;
        let create = OpenOptions::new().write(true).create_new(true).mode(0o400).open(&target);
        let mut target_file = create.doing("create", &target)?;
        std::io::copy(&mut source_file, &mut target_file).doing("copy to", &target)?;
        chown(&target, Some(id), Some(id)).doing("lend", &target)?;
    }
    chown(to, Some(id), Some(id)).doing("lend", to)
}
