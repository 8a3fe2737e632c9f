//! A run's evidence as one file.
//!
//! It is a tar file (POSIX.1-1988 ustar, uncompressed) with a manifest first and the files it names after it, in its
//! order. There is one way to write each: a reader makes every header anew and compares, so that links, sparse files,
//! long names, names outside and whatever else a tar file can hold are refused without being looked at. What is in it
//! proves nothing by itself; the signed checkpoint does.

mod ended;
mod manifest;
mod pack;
mod unpack;

use std::fmt;
use std::io;
use std::path::Path;

pub use manifest::{FORMAT, Item, MANIFEST, Manifest};
pub use pack::pack;
pub use unpack::{Signals, Unpacked, unpack};

use crate::failure::Failure;
use crate::runs::BROKEN;
use crate::screen::plain;

/// The bundle, if a file is named and no run: a run's id has neither dot nor slash.
///
/// # Errors
/// If there is no such file, or it is no bundle, or not whole.
pub fn named(named: &str, signals: Signals) -> Result<Option<Unpacked>, Failure> {
    if !named.contains(['.', '/']) {
        return Ok(None);
    }
    match std::fs::metadata(named) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Failure::usage(plain(&format!(
                "{named}: no such bundle (a run's id has no dot and no slash)"
            ))));
        }
        Ok(file) if file.is_dir() => {
            return Err(Failure::usage(plain(&format!(
                "{named}: a folder; a bundle is the one file that `stockade journal export` wrote"
            ))));
        }
        _ => {}
    }
    unpack(Path::new(named), None, signals).map(Some).map_err(|error| match error {
        BundleError::Io { file, error } => Failure { code: 1, message: plain(&format!("{file}: {error}")) },
        error => Failure { code: BROKEN, message: plain(&format!("{named}: {error}")) },
    })
}

/// Bytes of a tar block.
const BLOCK: u64 = 512;

/// Why a bundle cannot be made or read.
#[derive(Debug)]
pub enum BundleError {
    /// A file could not be read or written.
    Io {
        /// Which.
        file: String,
        /// What the kernel said.
        error: io::Error,
    },
    /// It is not a bundle, or not one as it is written.
    Form {
        /// Where, in bytes from its beginning.
        at: u64,
        /// What is wrong.
        what: String,
    },
    /// A bundle of another format.
    Version {
        /// The format it says.
        found: u64,
    },
    /// A file in it is not what the manifest says.
    Content {
        /// Its name.
        file: String,
        /// What is wrong.
        what: String,
    },
}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { file, error } => write!(f, "{file}: {error}"),
            Self::Form { at, what } => write!(f, "not a bundle, at byte {at}: {what}"),
            Self::Version { found } => write!(f, "bundle format {found}, this program reads {FORMAT}"),
            Self::Content { file, what } => write!(f, "{file}: {what}"),
        }
    }
}

impl std::error::Error for BundleError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// The one header of a file of this name and size: root's, 0600, of no time.
fn header(name: &str, size: u64) -> Result<tar::Header, BundleError> {
    let mut header = tar::Header::new_ustar();
    let unfit = |error| BundleError::Io { file: name.to_owned(), error };
    header.set_path(name).map_err(unfit)?;
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o600);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    Ok(header)
}

/// Zeros after a file's last byte, up to the next block.
fn padding(size: u64) -> u64 {
    (BLOCK - size % BLOCK) % BLOCK
}
