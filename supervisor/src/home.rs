//! Where things are: programs, state, and what lives only until the next boot.

use std::fs::{self, DirBuilder, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::error::{Doing, RunError};

/// Journals and the component cache.
pub const STATE: &str = "/var/lib/stockade";
/// Reservations; host-wide, so not a choice.
pub const RUNTIME: &str = "/run/stockade";
/// Programs of an installed Stockade.
pub const LIBEXEC: &str = "/usr/libexec/stockade";

/// The folders of one host.
#[derive(Debug, Clone)]
pub struct Home {
    /// Journals and the component cache.
    pub state: PathBuf,
    /// Programs.
    pub libexec: PathBuf,
}

impl Home {
    /// Programs are the siblings of the running one, else [`LIBEXEC`].
    ///
    /// # Errors
    /// If a state folder cannot be made or is not root's alone.
    pub fn open(state: Option<&Path>) -> Result<Self, RunError> {
        // Process numbers are looked up there: another pid namespace's procfs would answer for strangers.
        let own = std::fs::read_link("/proc/self").map(|link| link == Path::new(&std::process::id().to_string()));
        if !own.unwrap_or(false) {
            return Err(RunError::Host(
                "/proc is not mounted, or belongs to another pid namespace; mount procfs on /proc".into(),
            ));
        }
        let exe = std::env::current_exe().doing("find", "/proc/self/exe")?;
        let sibling = exe.parent().filter(|dir| dir.join("stockade-launcher").exists());
        let state = state.unwrap_or(Path::new(STATE));
        let home = Self {
            // Programs that are started here have another working directory.
            state: std::path::absolute(state).doing("find", state)?,
            libexec: sibling.unwrap_or(Path::new(LIBEXEC)).to_path_buf(),
        };
        for dir in [&home.state, &home.runs(), &home.cache()] {
            record_dir(dir)?;
        }
        for dir in [Path::new(RUNTIME), Path::new(RUNTIME).join("ids").as_path()] {
            private_dir(dir)?;
        }
        Ok(home)
    }

    /// One folder a run.
    #[must_use]
    pub fn runs(&self) -> PathBuf {
        self.state.join("runs")
    }

    /// Precompiled components.
    #[must_use]
    pub fn cache(&self) -> PathBuf {
        self.state.join("cache")
    }

    /// A program of ours, by descriptor. It must be root's and writable by root alone, or who can write it
    /// could be root.
    ///
    /// # Errors
    /// If it is missing, or not so.
    pub fn program(&self, name: &str) -> Result<OwnedFd, RunError> {
        let path = self.libexec.join(name);
        let file = fs::OpenOptions::new()
            .read(true)
            .custom_flags((OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC).bits())
            .open(&path)
            .map_err(|e| RunError::Host(format!("{}: {e}; is stockade installed completely?", path.display())))?;
        let meta = file.metadata().doing("examine", &path)?;
        if !meta.is_file() || meta.uid() != 0 || meta.mode() & 0o022 != 0 {
            return Err(RunError::Host(format!(
                "{} must be a regular file owned by root and writable by root alone (it is mode {:o}, uid {})",
                path.display(),
                meta.mode() & 0o7777,
                meta.uid()
            )));
        }
        Ok(file.into())
    }
}

/// Makes or checks a folder that belongs to root alone.
pub(crate) fn private_dir(path: &Path) -> Result<(), RunError> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() && meta.uid() == 0 && meta.mode() & 0o022 == 0 => Ok(()),
        Ok(_) => Err(RunError::Host(format!(
            "{} must be a directory owned by root and writable by root alone",
            path.display()
        ))),
        Err(_) => DirBuilder::new().recursive(true).mode(0o700).create(path).doing("create", path),
    }
}

/// As [`private_dir`], for a folder that holds records: without it there is no run.
pub(crate) fn record_dir(path: &Path) -> Result<(), RunError> {
    private_dir(path).map_err(unrecordable)
}

/// What cannot be made in the state folder is a journal that cannot be kept.
pub(crate) fn unrecordable(error: RunError) -> RunError {
    match error {
        RunError::Io { .. } => RunError::Journal(format!(
            "{error}; a run is recorded or does not happen: make room there, or name another folder with --state"
        )),
        other => other,
    }
}

/// `/dev/null`, read and write.
pub(crate) fn dev_null() -> Result<OwnedFd, RunError> {
    let file = File::options().read(true).write(true).open("/dev/null").doing("open", "/dev/null")?;
    Ok(file.into())
}
