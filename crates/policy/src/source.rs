//! Opening a policy so that nobody but root or the caller can have written it.
//!
//! The path is walked from `/` by descriptors, one component at a time. Every directory and every
//! symbolic link on the way must belong to root or the caller, and no directory may be writable by
//! others unless it is sticky; then nobody else can have chosen what the path names (see path_resolution(7)).

use crate::diagnostic::{Diagnostic, SourceText};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use nix::unistd::{Uid, geteuid};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

/// Largest policy or Cedar file in bytes.
pub const MAX_FILE: u64 = 1024 * 1024;
/// Symbolic links followed on the way, as the kernel does.
const MAX_LINKS: usize = 40;

/// Why a file is not read.
#[derive(Debug)]
enum Refusal {
    /// A system call failed at this component.
    Os(PathBuf, Errno),
    /// Reading failed.
    Read(std::io::Error),
    /// Somebody else can write this.
    Owner(PathBuf, u32),
    /// Its mode lets others write.
    Writable(PathBuf, u32),
    /// Not a regular file.
    Kind(&'static str),
    /// The last component is a symbolic link.
    Link,
    /// More than [`MAX_LINKS`].
    Links,
    /// Over [`MAX_FILE`].
    Size,
    /// First byte that is not UTF-8.
    Utf8(usize),
    /// Starts with a byte order mark.
    Bom,
    /// Not a plain file name.
    Name,
}

impl Refusal {
    fn diagnostic(&self, file: &str) -> Diagnostic {
        let show = |p: &Path| p.display().to_string().escape_debug().to_string();
        let (message, help) = match self {
            Self::Os(at, Errno::ENOENT) => (
                format!("{} does not exist", show(at)),
                "name a policy file; policies/examples has some to start from".to_owned(),
            ),
            Self::Os(at, Errno::EACCES) => (
                format!("{} cannot be opened: permission denied", show(at)),
                "run as a user who may read it, usually root".to_owned(),
            ),
            Self::Os(at, e) => (format!("{} cannot be opened: {}", show(at), e.desc()), "check the path".to_owned()),
            Self::Read(e) => (format!("cannot be read: {e}"), "check the file system".to_owned()),
            Self::Owner(at, uid) => (
                format!("{} belongs to uid {uid}, who could change the policy", show(at)),
                "install it where only root writes: sudo install -D -o root -m 0644 FILE /etc/stockade/policies/FILE"
                    .to_owned(),
            ),
            Self::Writable(at, mode) => (
                format!("{} has mode {mode:04o}: others could change the policy", show(at)),
                format!("chmod go-w {}", show(at)),
            ),
            Self::Kind(kind) => (format!("is {kind}, not a regular file"), "name a policy file".to_owned()),
            Self::Link => ("is a symbolic link".to_owned(), "name the file it points to".to_owned()),
            Self::Links => {
                ("too many symbolic links on the way".to_owned(), "name the file by its real path".to_owned())
            }
            Self::Size => (
                format!("is larger than {MAX_FILE} bytes"),
                "a policy this large is a mistake; split it or generate less".to_owned(),
            ),
            Self::Utf8(at) => (format!("is not UTF-8: byte {at}"), "save it as UTF-8".to_owned()),
            Self::Bom => ("starts with a byte order mark".to_owned(), "save it as UTF-8 without one".to_owned()),
            Self::Name => {
                ("is not a plain file name".to_owned(), "Cedar files lie in the policy's own directory".to_owned())
            }
        };
        Diagnostic::of(file, message).help(help)
    }
}

/// Who may have written what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Root or the caller alone, or it is refused: what a run stands on.
    Enforce,
    /// Anybody: for looking at a policy, as on a laptop or in CI. What a run would refuse is remarked.
    Inspect,
}

/// A policy's text and the directory it lies in.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) source: SourceText,
    pub(crate) folder: Folder,
    /// What [`Trust::Enforce`] would have refused.
    pub(crate) remarks: Vec<String>,
}

/// A directory, held open, and who may write its files.
#[derive(Debug)]
pub(crate) struct Folder(OwnedFd, Guard);

/// Judges owners and modes, and keeps what it was told to let pass.
#[derive(Debug)]
struct Guard {
    trust: Trust,
    passed: RefCell<Vec<Refusal>>,
}

impl Guard {
    fn judge(&self, verdict: Result<(), Refusal>) -> Result<(), Refusal> {
        match (verdict, self.trust) {
            (Err(refusal), Trust::Inspect) => {
                self.passed.borrow_mut().push(refusal);
                Ok(())
            }
            (verdict, _) => verdict,
        }
    }

    fn owned(&self, at: &Path, stat: &FileStat) -> Result<(), Refusal> {
        self.judge(owned(at, stat))
    }

    fn unwritable(&self, at: &Path, stat: &FileStat) -> Result<(), Refusal> {
        self.judge(unwritable(at, stat))
    }
}

/// Opens and reads the policy at `path`.
pub(crate) fn read(path: &Path, trust: Trust) -> Result<Opened, Diagnostic> {
    let name = path.display().to_string();
    let guard = Guard { trust, passed: RefCell::default() };
    let whole = || -> Result<(OwnedFd, String), Refusal> {
        let (folder, last) = walk(path, &guard)?;
        let text = read_beneath(&folder, &last, path, &guard)?;
        Ok((folder, text))
    };
    let (folder, text) = whole().map_err(|refusal| refusal.diagnostic(&name))?;
    let remarks = guard.passed.borrow_mut().drain(..).map(|refusal| refusal.diagnostic(&name).message).collect();
    Ok(Opened { source: SourceText { name, text }, folder: Folder(folder, guard), remarks })
}

impl Folder {
    /// Opens and reads a file of this directory.
    pub(crate) fn read(&self, name: &str) -> Result<SourceText, Diagnostic> {
        let plain = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0']);
        let read = || {
            if plain { read_beneath(&self.0, OsStr::new(name), Path::new(name), &self.1) } else { Err(Refusal::Name) }
        };
        match read() {
            Ok(text) => Ok(SourceText { name: name.to_owned(), text }),
            Err(refusal) => Err(refusal.diagnostic(name)),
        }
    }
}

/// The last component's directory, checked, and its name.
fn walk(path: &Path, guard: &Guard) -> Result<(OwnedFd, OsString), Refusal> {
    let os = |at: &Path| {
        let at = at.to_owned();
        move |e: Errno| Refusal::Os(at, e)
    };
    let directory = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut todo: VecDeque<OsString> = VecDeque::new();
    if !path.is_absolute() {
        let cwd = std::env::current_dir().map_err(Refusal::Read)?;
        todo.extend(names(&cwd));
    }
    todo.extend(names(path));
    let last = match todo.pop_back() {
        Some(last) if last != ".." && last != "." => last,
        _ => return Err(Refusal::Kind("a directory")),
    };
    let mut stack = vec![open("/", directory, Mode::empty()).map_err(os(Path::new("/")))?];
    let mut at = PathBuf::from("/");
    let mut links = 0;
    while let Some(name) = todo.pop_front() {
        if name == ".." {
            if stack.len() > 1 {
                stack.pop();
                at.pop();
            }
            continue;
        }
        let Some(here) = stack.last() else { return Err(Refusal::Os(at, Errno::ENOENT)) };
        at.push(&name);
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let next = openat(here, name.as_os_str(), flags, Mode::empty()).map_err(os(&at))?;
        let stat = fstat(&next).map_err(os(&at))?;
        guard.owned(&at, &stat)?;
        if kind(&stat) == SFlag::S_IFLNK {
            links += 1;
            if links > MAX_LINKS {
                return Err(Refusal::Links);
            }
            let target = PathBuf::from(readlinkat(&next, "").map_err(os(&at))?);
            at.pop();
            if target.is_absolute() {
                stack.truncate(1);
                at = PathBuf::from("/");
            }
            for part in names(&target).into_iter().rev() {
                todo.push_front(part);
            }
        } else if kind(&stat) == SFlag::S_IFDIR {
            guard.unwritable(&at, &stat)?;
            stack.push(next);
        } else {
            return Err(Refusal::Os(at, Errno::ENOTDIR));
        }
    }
    match stack.pop() {
        Some(folder) => Ok((folder, last)),
        None => Err(Refusal::Os(at, Errno::ENOENT)),
    }
}

fn names(path: &Path) -> Vec<OsString> {
    let keep = |part: Component<'_>| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().filter_map(keep).collect()
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

fn owned(at: &Path, stat: &FileStat) -> Result<(), Refusal> {
    let owner = Uid::from_raw(stat.st_uid);
    if owner.is_root() || owner == geteuid() { Ok(()) } else { Err(Refusal::Owner(at.to_owned(), stat.st_uid)) }
}

fn unwritable(at: &Path, stat: &FileStat) -> Result<(), Refusal> {
    let mode = stat.st_mode & 0o7777;
    let sticky = kind(stat) == SFlag::S_IFDIR && mode & 0o1000 != 0;
    if mode & 0o022 == 0 || sticky { Ok(()) } else { Err(Refusal::Writable(at.to_owned(), mode)) }
}

fn read_beneath(folder: impl AsFd, name: &OsStr, shown: &Path, guard: &Guard) -> Result<String, Refusal> {
    // O_NONBLOCK: opening a FIFO must not wait for a writer.
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let fd = openat(folder, name, flags, Mode::empty()).map_err(|e| match e {
        Errno::ELOOP => Refusal::Link,
        Errno::ENXIO => Refusal::Kind("a socket or a device"),
        e => Refusal::Os(shown.to_owned(), e),
    })?;
    let stat = fstat(&fd).map_err(|e| Refusal::Os(shown.to_owned(), e))?;
    match kind(&stat) {
        SFlag::S_IFREG => {}
        SFlag::S_IFDIR => return Err(Refusal::Kind("a directory")),
        SFlag::S_IFIFO => return Err(Refusal::Kind("a FIFO")),
        _ => return Err(Refusal::Kind("a device")),
    }
    guard.owned(shown, &stat)?;
    guard.unwritable(shown, &stat)?;
    let mut bytes = Vec::new();
    File::from(fd).take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(Refusal::Read)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Refusal::Size);
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(Refusal::Bom);
    }
    String::from_utf8(bytes).map_err(|e| Refusal::Utf8(e.utf8_error().valid_up_to()))
}
