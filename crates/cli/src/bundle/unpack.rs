//! Reading a bundle that anybody may have made.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use stockade_journal::hex;
use tempfile::TempDir;

use super::manifest::{LONGEST, MANIFEST, Manifest};
use super::{BLOCK, BundleError, Item, ended, header, padding};

/// A bundle's files in a folder of their own, which only its owner may read and which is gone with this value.
#[derive(Debug)]
pub struct Unpacked {
    dir: TempDir,
    /// What it said of itself. Its files are those that it names, with the digests it names.
    pub manifest: Manifest,
}

impl Unpacked {
    /// Where the files are, by their names in the bundle.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Returns if the files are still there, and not if a signal has begun to remove them: what was found since then is
    /// no verdict on the bundle.
    pub fn still_there(&self) {
        drop(ended::making());
    }

    /// Where a file is, if the bundle has it.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<PathBuf> {
        self.manifest.files.iter().any(|item| item.name == name).then(|| self.path().join(name))
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        self.still_there();
    }
}

/// What a signal that ends the program does to the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signals {
    /// It removes them first.
    Remove,
    /// Whoever asked takes signals by itself, and drops what it has.
    AreTaken,
}

/// Unpacks a bundle beneath `place` (the system's folder for temporary files if it is `None`), in the memory of its
/// manifest and as much of the disk as the bundle itself takes.
///
/// # Errors
/// [`BundleError`]; nothing is left then.
pub fn unpack(bundle: &Path, place: Option<&Path>, signals: Signals) -> Result<Unpacked, BundleError> {
    let failed = |error| BundleError::Io { file: bundle.display().to_string(), error };
    let mut tar = Tar { file: BufReader::with_capacity(1 << 20, File::open(bundle).map_err(failed)?), at: 0 };
    let manifest = tar.manifest()?;
    let folder = |error| BundleError::Io { file: "a folder for the bundle's files".to_owned(), error };
    let ends = (signals == Signals::Remove).then(ended::hold).transpose().map_err(folder)?;
    let dir = tempfile::Builder::new()
        .prefix("stockade-bundle-")
        .tempdir_in(place.map_or_else(std::env::temp_dir, Path::to_owned))
        .map_err(folder)?;
    if let Some(ends) = ends {
        ended::remove_when_ended(ends, dir.path()).map_err(folder)?;
    }
    for item in &manifest.files {
        let _making = ended::making();
        tar.header(&item.name, item.size)?;
        let path = dir.path().join(&item.name);
        let io = |error| BundleError::Io { file: path.display().to_string(), error };
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(io)?;
        }
        let to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(io)?;
        tar.body(item, to)?;
    }
    tar.end()?;
    Ok(Unpacked { dir, manifest })
}

struct Tar<R> {
    file: R,
    /// Bytes read.
    at: u64,
}

impl<R: Read> Tar<R> {
    fn form(&self, what: impl Into<String>) -> BundleError {
        BundleError::Form { at: self.at, what: what.into() }
    }

    fn exactly(&mut self, bytes: &mut [u8]) -> Result<(), BundleError> {
        match self.file.read_exact(bytes) {
            Ok(()) => {
                self.at += bytes.len() as u64;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(self.form("it ends here")),
            Err(error) => Err(BundleError::Io { file: "the bundle".to_owned(), error }),
        }
    }

    /// The manifest, whose size only its header says.
    fn manifest(&mut self) -> Result<Manifest, BundleError> {
        let mut found = tar::Header::new_ustar();
        self.exactly(found.as_mut_bytes())?;
        let size = found.entry_size().map_err(|_| BundleError::Form { at: 0, what: "no tar header".to_owned() })?;
        let is_ours = size <= LONGEST && header(MANIFEST, size)?.as_bytes() == found.as_bytes();
        if !is_ours {
            let what = format!("its first file is not a {MANIFEST} as it is written");
            return Err(BundleError::Form { at: 0, what });
        }
        let mut bytes = Vec::new();
        let read = (&mut self.file).take(size).read_to_end(&mut bytes);
        read.map_err(|error| BundleError::Io { file: "the bundle".to_owned(), error })?;
        self.at += bytes.len() as u64;
        if bytes.len() as u64 != size {
            return Err(self.form("it ends here"));
        }
        self.zeros(padding(size))?;
        Manifest::parse(&bytes)
    }

    /// The header of the file that comes next, which is known.
    fn header(&mut self, name: &str, size: u64) -> Result<(), BundleError> {
        let at = self.at;
        let mut found = [0; BLOCK as usize];
        self.exactly(&mut found)?;
        if header(name, size)?.as_bytes() == &found {
            return Ok(());
        }
        Err(BundleError::Form { at, what: format!("here begins something else than {name} as it is written") })
    }

    fn body(&mut self, item: &Item, mut to: File) -> Result<(), BundleError> {
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 64 * 1024];
        let mut left = item.size;
        while left > 0 {
            let most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            let Some(bytes) = buffer.get_mut(..most) else { break };
            self.exactly(bytes)?;
            hash.update(&*bytes);
            to.write_all(bytes).map_err(|error| BundleError::Io { file: item.name.clone(), error })?;
            left -= most as u64;
        }
        let found = hex(&hash.finalize());
        if found != item.sha256 {
            let what = format!("its bytes hash to {found}, the manifest says {}", item.sha256);
            return Err(BundleError::Content { file: item.name.clone(), what });
        }
        self.zeros(padding(item.size))
    }

    fn zeros(&mut self, count: u64) -> Result<(), BundleError> {
        let at = self.at;
        let mut block = [0; 2 * BLOCK as usize];
        let Some(bytes) = usize::try_from(count).ok().and_then(|count| block.get_mut(..count)) else {
            return Err(self.form("too much padding"));
        };
        self.exactly(bytes)?;
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        Err(BundleError::Form { at, what: "zeros are missing".to_owned() })
    }

    fn end(&mut self) -> Result<(), BundleError> {
        self.zeros(2 * BLOCK)?;
        match self.file.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(self.form("something follows its end")),
            Err(error) => Err(BundleError::Io { file: "the bundle".to_owned(), error }),
        }
    }
}
