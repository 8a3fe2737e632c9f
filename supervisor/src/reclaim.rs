//! Reclaiming a run from its note: used at its end, by the janitor, and after a crash. Every part may be
//! gone already.

use std::fs;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::Path;
use std::time::Duration;

use stockade_journal::{Record, recover};

use crate::cgroup::{end_group, remove_tree, wait_empty};
use crate::error::{Doing, RunError};
use crate::heads::sign_after;
use crate::home::Home;
use crate::reserve::Note;
use crate::{launched, operator};

/// How long killed processes may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a journal's folder holds from its beginning.
const FIRST_SEGMENT: &str = "00000001.jsonl";
const BLOBS: &str = "blobs";
/// How long a shim may take to write its last record after its supervisor died.
const LAST_RECORD: Duration = Duration::from_secs(3);

/// Removes everything of the run that is not its record.
pub(crate) fn all(note: &Note) -> Result<(), RunError> {
    end_group(&note.v2.join("cell"), PATIENCE)?;
    // The shim sees its supervisor's end of file, writes that down and exits; whatever else is killed below.
    let _written = wait_empty(&note.v2.join("shim"), LAST_RECORD);
    end_group(&note.v2, PATIENCE)?;
    remove_tree(&note.v2, PATIENCE)?;
    for folder in &note.v1 {
        remove_v1(folder, &note.run)?;
    }
    if let Some(copy) = &note.copy {
        match fs::remove_dir_all(copy) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            other => other.doing("remove", copy)?,
        }
    }
    match fs::remove_file(operator::socket(&note.run)) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).doing("remove", operator::socket(&note.run))?,
        _ => {}
    }
    seal_journal(&note.journal)?;
    forget_if_unrecorded(&note.journal);
    Ok(())
}

/// [`all`] for a run whose supervisor did not end it: its journal, if it has one, is mended and closed with a
/// record of that. What is wrong with the journal is given back; it does not keep the run's ids.
pub(crate) fn after_crash(note: &Note) -> Result<Option<String>, RunError> {
    all(note)?;
    if !note.journal.exists() {
        return Ok(None);
    }
    // RUN/journal in runs/ in the state folder.
    let state = note.journal.ancestors().nth(3).unwrap_or(Path::new("/"));
    let closed = Home::open(Some(state)).and_then(|home| close_journal(&home, &note.run, &note.journal, note.records));
    Ok(closed.err().map(|e| format!("journal of run {}: {e}", note.run)))
}

/// Mends the journal of a run whose shim did not, closes it with a record of that, and has what it then has
/// signed. One that is not what was signed of it is left as it is. If it has no more than `before` records, nothing has
/// happened that would be worth one.
pub(crate) fn close_journal(home: &Home, run: &str, journal: &Path, before: Option<u64>) -> Result<(), RunError> {
    if !journal.join(FIRST_SEGMENT).exists() {
        return Ok(());
    }
    sign_after(home, run, journal, || {
        let unkept = |e: stockade_journal::JournalError| RunError::Journal(e.to_string());
        let dir = fs::File::open(journal).doing("open", journal)?;
        let mut recovered = recover(dir.into()).map_err(unkept)?;
        if before == Some(recovered.writer.head().0) {
            return Ok(());
        }
        let detail = serde_json::json!({"reason": "its supervisor, its shim or the machine ended during the run"});
        recovered.writer.append(Record::Lifecycle { event: "reclaimed".into(), detail }).map_err(unkept)?;
        recovered.writer.commit().map_err(unkept)
    })
    .map(drop)
}

/// A run that never began has no record to keep: its empty file and folders go. Whatever holds something
/// refuses to.
fn forget_if_unrecorded(journal: &Path) {
    let first = journal.join(FIRST_SEGMENT);
    if fs::symlink_metadata(&first).is_ok_and(|meta| meta.len() == 0) {
        let _kept = fs::remove_file(&first);
    }
    if !first.exists() {
        let _gone = journal.parent().map(|run| fs::remove_file(run.join(launched::FILE)));
        for folder in [journal.join(BLOBS).as_path(), journal].into_iter().chain(journal.parent()) {
            let _kept_or_gone = fs::remove_dir(folder);
        }
    }
}

/// Removes the run's groups from one v1 hierarchy.
pub(crate) fn remove_v1(folder: &Path, run: &str) -> Result<(), RunError> {
    let prefix = format!("{run}.");
    let groups = match fs::read_dir(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.doing("list", folder)?,
    };
    for group in groups.flatten() {
        if group.file_name().to_string_lossy().starts_with(&prefix) {
            remove_tree(&group.path(), PATIENCE)?;
        }
    }
    Ok(())
}

/// Lends a journal that there is already to a shim's uid.
pub(crate) fn lend(dir: &Path, id: u32) -> Result<(), RunError> {
    for entry in fs::read_dir(dir).doing("list", dir)? {
        let entry = entry.doing("list", dir)?;
        let path = entry.path();
        match entry.file_type().doing("examine", &path)? {
            kind if kind.is_dir() => lend(&path, id)?,
            kind if kind.is_file() => lchown(&path, Some(id), Some(id)).doing("lend", &path)?,
            _ => {}
        }
    }
    lchown(dir, Some(id), Some(id)).doing("lend", dir)
}

/// Takes the journal back from the shim's uid, which a later run will have.
pub(crate) fn seal_journal(dir: &Path) -> Result<(), RunError> {
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.doing("list", dir)?,
    };
    lchown(dir, Some(0), Some(0)).doing("take back", dir)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).doing("take back", dir)?;
    for entry in entries.flatten() {
        let path = entry.path();
        match entry.file_type().doing("examine", &path)? {
            kind if kind.is_dir() => seal_journal(&path)?,
            kind if kind.is_file() => {
                lchown(&path, Some(0), Some(0)).doing("take back", &path)?;
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).doing("take back", &path)?;
            }
            // The shim makes nothing else; what is something else stays the shim's and cannot matter to root.
            _ => {}
        }
    }
    Ok(())
}
