//! Components and their artifacts.
//!
//! The key is the SHA-256 of the component with the engine's fingerprint and the processor's features, so a
//! component can only ever reach its own entry; entries are written by root alone, without a name until they are
//! whole, so that a run which is killed leaves no part of one. An artifact is native code that is trusted: it is kept with its SHA-256 and not used without.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag};
use nix::unistd::linkat;
use sha2::{Digest, Sha256};
use stockade_wire::cell::ENGINE_FINGERPRINT;

use crate::error::{Doing, RunError};
use crate::home::{Home, unrecordable};
use crate::memfd;

/// Largest component in bytes.
pub(crate) const MAX_COMPONENT: u64 = 128 * 1024 * 1024;
/// Largest program whose digest is taken, in bytes: a second or two, in which no signal is heard.
const MAX_PROGRAM: u64 = 1024 * 1024 * 1024;
/// Largest artifact in bytes.
const MAX_ARTIFACT: u64 = 1024 * 1024 * 1024;

/// Attempts to name an entry that others are naming at the same time.
const LINKS: u32 = 8;
/// Bytes of a SHA-256.
const DIGEST: usize = 32;

/// A component as it was when it was opened.
#[derive(Debug)]
pub(crate) struct Component {
    /// Its bytes, sealed.
    pub memory: OwnedFd,
    /// SHA-256, hex.
    pub digest: String,
    entry: PathBuf,
}

impl Component {
    /// Reads a component once; what happens to the file afterwards does not matter.
    pub(crate) fn open(home: &Home, path: &Path) -> Result<Self, RunError> {
        let refuse = |why: String| RunError::Component(format!("component {}: {why}", path.display()));
        let (file, _) = open_regular(path, refuse)?;
        let mut bytes = Vec::new();
        file.take(MAX_COMPONENT + 1).read_to_end(&mut bytes).doing("read", path)?;
        if bytes.len() as u64 > MAX_COMPONENT {
            return Err(refuse(format!("it is over {MAX_COMPONENT} bytes")));
        }
        if bytes.is_empty() {
            return Err(refuse("it is empty".into()));
        }
        let digest = hex(&Sha256::digest(&bytes));
        let mut key = Sha256::new();
        key.update(digest.as_bytes());
        key.update(ENGINE_FINGERPRINT.as_bytes());
        key.update(processor().as_bytes());
        let entry = home.cache().join(format!("{}.cwasm", hex(&key.finalize())));
        Ok(Self { memory: memfd::sealed("component", &bytes)?, digest, entry })
    }

    /// Its bytes.
    pub(crate) fn read(&self) -> Result<Vec<u8>, RunError> {
        let file = File::from(self.memory.try_clone().doing("share", "component")?);
        let size = usize::try_from(file.metadata().doing("examine", "component")?.len()).unwrap_or(usize::MAX);
        let mut bytes = vec![0; size];
        file.read_exact_at(&mut bytes, 0).doing("read", "component")?;
        Ok(bytes)
    }

    /// Makes sure that it is the one with this digest.
    pub(crate) fn is(&self, digest: &str) -> Result<(), RunError> {
        if self.digest == digest {
            return Ok(());
        }
        Err(RunError::Recorded(format!("component: recorded is {digest}, here it is {}", self.digest)))
    }

    /// The artifact, if it is in the cache whole, as a sealed copy.
    pub(crate) fn cached(&self) -> Result<Option<OwnedFd>, RunError> {
        let bytes = match fs::read(&self.entry) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.doing("read", &self.entry)?,
        };
        // A damaged entry is compiled anew and replaced.
        match bytes.split_last_chunk::<DIGEST>() {
            Some((artifact, digest)) if Sha256::digest(artifact)[..] == digest[..] => {
                memfd::sealed("artifact", artifact).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Keeps what the compiler wrote, and seals it.
    pub(crate) fn keep(&self, mut artifact: File) -> Result<OwnedFd, RunError> {
        let size = artifact.metadata().doing("examine", "artifact")?.len();
        if size == 0 || size > MAX_ARTIFACT {
            let why = format!("its artifact has {size} bytes; at most {MAX_ARTIFACT} are kept");
            return Err(RunError::Component(why));
        }
        // A copy of our own: the compiler is gone, but what it left behind is only read once.
        let mut bytes = Vec::new();
        artifact.rewind().and_then(|()| artifact.read_to_end(&mut bytes)).doing("read", "artifact")?;
        let sealed = memfd::sealed("artifact", &bytes)?;
        self.store(&bytes).map_err(unrecordable)?;
        Ok(sealed)
    }

    fn store(&self, bytes: &[u8]) -> Result<(), RunError> {
        let folder = self.entry.parent().unwrap_or(Path::new("/"));
        let mut file = match File::options().write(true).custom_flags(OFlag::O_TMPFILE.bits()).mode(0o600).open(folder)
        {
            // Kept or not: a file system without O_TMPFILE costs a compilation each run and nothing else.
            Err(e) if e.raw_os_error() == Some(Errno::EOPNOTSUPP as i32) => return Ok(()),
            other => other.doing("create a file in", folder)?,
        };
        let written = file.write_all(bytes).and_then(|()| file.write_all(&Sha256::digest(bytes)));
        written.and_then(|()| file.sync_data()).doing("write", &self.entry)?;
        let nameless = format!("/proc/self/fd/{}", file.as_raw_fd());
        // linkat(2) replaces nothing. An old entry is damaged, or as good as ours and just written.
        for _ in 0..LINKS {
            match linkat(AT_FDCWD, nameless.as_str(), AT_FDCWD, &self.entry, AtFlags::AT_SYMLINK_FOLLOW) {
                Err(Errno::EEXIST) => {
                    let _gone = fs::remove_file(&self.entry);
                }
                other => return other.doing("name", &self.entry),
            }
        }
        Ok(())
    }
}

/// The features of the first processor as the kernel names them: compiled code uses what is there.
fn processor() -> String {
    let mut text = [0; 4096];
    let read = File::open("/proc/cpuinfo").and_then(|mut file| file.read(&mut text)).unwrap_or(0);
    let text = String::from_utf8_lossy(text.get(..read).unwrap_or_default()).into_owned();
    text.lines().find(|line| line.starts_with("flags") || line.starts_with("Features")).unwrap_or_default().to_owned()
}

/// A file that an operator named, and its size. Nothing that would block or act on being opened.
fn open_regular(path: &Path, refuse: impl Fn(String) -> RunError) -> Result<(File, u64), RunError> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let opened = fs::OpenOptions::new().read(true).custom_flags(flags.bits()).open(path);
    let file = opened.map_err(|e| refuse(e.to_string()))?;
    let meta = file.metadata().doing("examine", path)?;
    if meta.is_file() { Ok((file, meta.len())) } else { Err(refuse("it is not a regular file".into())) }
}

/// SHA-256 of a program of the host, hex.
pub(crate) fn digest_of(path: &Path) -> Result<String, RunError> {
    let refuse = |why: String| RunError::Component(format!("program {}: {why}", path.display()));
    let (file, size) = open_regular(path, refuse)?;
    if size > MAX_PROGRAM {
        return Err(refuse(format!("it is over {MAX_PROGRAM} bytes")));
    }
    let mut hash = Sha256::new();
    std::io::copy(&mut file.take(MAX_PROGRAM), &mut HashWriter(&mut hash)).doing("read", path)?;
    Ok(hex(&hash.finalize()))
}

struct HashWriter<'a>(&'a mut Sha256);

impl Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
