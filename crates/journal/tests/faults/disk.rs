//! A disk that fails when it is told to, and remembers what was made durable.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;

use nix::errno::Errno;
use nix::sys::stat::fstat;
use stockade_journal::disk::{Access, Disk, Kernel};

/// What the operation with the chosen number does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is not done, and fails.
    Refused(Errno),
    /// It is done, and fails. For a flush: nothing was flushed, and nothing will be (what Linux does to dirty pages).
    DoneButFailed,
    /// A write takes half.
    Short,
    /// The machine stops: this and all that follows is not done.
    Stop,
}

/// What was done, by inode. Names are those in a directory.
#[derive(Debug, Clone)]
pub enum Done {
    MakeDir {
        name: String,
        inode: u64,
    },
    Create {
        dir: u64,
        name: String,
        inode: u64,
    },
    Write {
        inode: u64,
        offset: u64,
        bytes: Vec<u8>,
    },
    Truncate {
        inode: u64,
        length: u64,
    },
    Sync {
        inode: u64,
    },
    /// A flush that failed: what was dirty is clean and not on the disk.
    Dropped {
        inode: u64,
    },
    Rename {
        dir: u64,
        from: String,
        to: String,
    },
    Unlink {
        dir: u64,
        name: String,
    },
}

/// What an operation gives, and what it changed.
type Act<T> = Result<(T, Option<Done>), Errno>;

#[derive(Debug, Default)]
pub struct State {
    pub count: usize,
    pub stopped: bool,
    /// The name of the operation that the fault met.
    pub met: Option<&'static str>,
    pub done: Vec<Done>,
    pub lengths: HashMap<u64, u64>,
}

#[derive(Debug)]
pub struct Faulty {
    pub fault: Option<(usize, Fault)>,
    pub state: Mutex<State>,
}

fn inode(fd: BorrowedFd<'_>) -> u64 {
    fstat(fd).unwrap().st_ino
}

impl Faulty {
    pub fn new(fault: Option<(usize, Fault)>) -> Self {
        Self { fault, state: Mutex::new(State::default()) }
    }

    /// Does one operation, or what the fault says. `half` is for a write.
    fn act<T>(
        &self,
        name: &'static str,
        action: impl FnOnce() -> Act<T>,
        half: Option<&dyn Fn() -> Act<T>>,
    ) -> Result<T, Errno> {
        let mut state = self.state.lock().unwrap();
        if state.stopped {
            return Err(Errno::EIO);
        }
        state.count += 1;
        let fault = self.fault.filter(|(at, _)| *at == state.count).map(|(_, fault)| fault);
        if fault.is_some() {
            state.met = Some(name);
        }
        match fault {
            None => {
                let (value, done) = action()?;
                state.note(done);
                Ok(value)
            }
            Some(Fault::Refused(errno)) => {
                if name.starts_with("sync")
                    && let Ok((_, Some(Done::Sync { inode }))) = action()
                {
                    state.note(Some(Done::Dropped { inode }));
                }
                Err(errno)
            }
            Some(Fault::DoneButFailed) => {
                let (_, done) = action()?;
                state.note(done);
                Err(Errno::EIO)
            }
            Some(Fault::Short) => {
                let (value, done) = match half {
                    Some(half) => half()?,
                    None => action()?,
                };
                state.note(done);
                Ok(value)
            }
            Some(Fault::Stop) => {
                state.stopped = true;
                Err(Errno::EIO)
            }
        }
    }
}

impl State {
    fn note(&mut self, done: Option<Done>) {
        let Some(mut done) = done else { return };
        match &mut done {
            Done::Write { inode, offset, bytes } => {
                let length = self.lengths.entry(*inode).or_default();
                if *offset == u64::MAX {
                    *offset = *length;
                }
                *length = (*length).max(*offset + bytes.len() as u64);
            }
            Done::Truncate { inode, length } => {
                self.lengths.insert(*inode, *length);
            }
            _ => {}
        }
        self.done.push(done);
    }
}

impl Disk for Faulty {
    fn make_dir(&self, dir: BorrowedFd<'_>, name: &str) -> Result<(), Errno> {
        let action = || {
            Kernel.make_dir(dir, name)?;
            let made = Kernel.open_dir(dir, name)?;
            Ok(((), Some(Done::MakeDir { name: name.to_owned(), inode: inode(made.as_fd()) })))
        };
        self.act("make_dir", action, None)
    }

    fn open_dir(&self, dir: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno> {
        self.act("open_dir", || Ok((Kernel.open_dir(dir, name)?, None)), None)
    }

    fn create(&self, dir: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno> {
        let action = || {
            let file = Kernel.create(dir, name)?;
            let inode_of = inode(file.as_fd());
            Ok((file, Some(Done::Create { dir: inode(dir), name: name.to_owned(), inode: inode_of })))
        };
        self.act("create", action, None)
    }

    fn open(&self, dir: BorrowedFd<'_>, name: &str, access: Access) -> Result<(OwnedFd, u64), Errno> {
        self.act("open", || Ok((Kernel.open(dir, name, access)?, None)), None)
    }

    fn read_at(&self, file: BorrowedFd<'_>, bytes: &mut [u8], offset: u64) -> Result<usize, Errno> {
        self.act("read_at", || Ok((Kernel.read_at(file, bytes, offset)?, None)), None)
    }

    fn write(&self, file: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize, Errno> {
        let write = |bytes: &[u8]| {
            let wrote = Kernel.write(file, bytes)?;
            let bytes = bytes[..wrote].to_vec();
            Ok((wrote, Some(Done::Write { inode: inode(file), offset: u64::MAX, bytes })))
        };
        self.act("write", || write(bytes), Some(&|| write(&bytes[..bytes.len() / 2])))
    }

    fn write_at(&self, file: BorrowedFd<'_>, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
        let write = |bytes: &[u8]| {
            let wrote = Kernel.write_at(file, bytes, offset)?;
            Ok((wrote, Some(Done::Write { inode: inode(file), offset, bytes: bytes[..wrote].to_vec() })))
        };
        self.act("write_at", || write(bytes), Some(&|| write(&bytes[..bytes.len().div_ceil(2)])))
    }

    fn sync_data(&self, file: BorrowedFd<'_>) -> Result<(), Errno> {
        self.act("sync_data", || Ok(((), Some(Done::Sync { inode: inode(file) }))), None)
    }

    fn sync(&self, file: BorrowedFd<'_>) -> Result<(), Errno> {
        self.act("sync", || Ok(((), Some(Done::Sync { inode: inode(file) }))), None)
    }

    fn truncate(&self, file: BorrowedFd<'_>, length: u64) -> Result<(), Errno> {
        let action = || {
            Kernel.truncate(file, length)?;
            Ok(((), Some(Done::Truncate { inode: inode(file), length })))
        };
        self.act("truncate", action, None)
    }

    fn reserve(&self, file: BorrowedFd<'_>, from: u64, length: u64) -> Result<(), Errno> {
        self.act("reserve", || Ok((Kernel.reserve(file, from, length)?, None)), None)
    }

    fn rename(&self, dir: BorrowedFd<'_>, from: &str, to: &str, replace: bool) -> Result<(), Errno> {
        let action = || {
            Kernel.rename(dir, from, to, replace)?;
            Ok(((), Some(Done::Rename { dir: inode(dir), from: from.to_owned(), to: to.to_owned() })))
        };
        self.act("rename", action, None)
    }

    fn unlink(&self, dir: BorrowedFd<'_>, name: &str) -> Result<(), Errno> {
        let action = || {
            Kernel.unlink(dir, name)?;
            Ok(((), Some(Done::Unlink { dir: inode(dir), name: name.to_owned() })))
        };
        self.act("unlink", action, None)
    }
}
