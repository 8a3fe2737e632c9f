//! What a machine that stopped may have on its disk: all that was flushed, and any part of the rest.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use crate::disk::Done;

/// A change of one file or directory that was not flushed.
#[derive(Debug, Clone)]
enum Pending {
    Write { offset: u64, bytes: Vec<u8> },
    Truncate { length: u64 },
    Name { name: String, inode: u64, is_dir: bool },
    Rename { from: String, to: String, inode: u64 },
    Unlink { name: String },
}

/// What is on the disk, and what may be.
#[derive(Debug, Default)]
pub struct Model {
    files: HashMap<u64, Vec<u8>>,
    /// Of a directory: names and whether they are directories.
    dirs: HashMap<u64, BTreeMap<String, (u64, bool)>>,
    pending: BTreeMap<u64, Vec<Pending>>,
    /// Names as a running program sees them.
    seen: HashMap<(u64, String), u64>,
    root: u64,
}

impl Model {
    pub fn of(done: &[Done], root: u64) -> Self {
        let mut model = Self { root, ..Self::default() };
        model.dirs.insert(root, BTreeMap::new());
        for step in done {
            model.step(step);
        }
        model
    }

    fn step(&mut self, step: &Done) {
        match step.clone() {
            Done::MakeDir { name, inode } => {
                self.dirs.insert(inode, BTreeMap::new());
                self.wait(self.root, Pending::Name { name, inode, is_dir: true });
            }
            Done::Create { dir, name, inode } => {
                self.files.insert(inode, Vec::new());
                self.seen.insert((dir, name.clone()), inode);
                self.wait(dir, Pending::Name { name, inode, is_dir: false });
            }
            Done::Write { inode, offset, bytes } => self.wait(inode, Pending::Write { offset, bytes }),
            Done::Truncate { inode, length } => self.wait(inode, Pending::Truncate { length }),
            Done::Rename { dir, from, to } => {
                let inode = self.seen.remove(&(dir, from.clone())).unwrap();
                self.seen.insert((dir, to.clone()), inode);
                self.wait(dir, Pending::Rename { from, to, inode });
            }
            Done::Unlink { dir, name } => {
                self.seen.remove(&(dir, name.clone()));
                self.wait(dir, Pending::Unlink { name });
            }
            Done::Sync { inode } => {
                for change in self.pending.remove(&inode).unwrap_or_default() {
                    self.apply(inode, &change);
                }
            }
            Done::Dropped { inode } => {
                // Of a directory the kernel keeps what it could not write.
                if self.files.contains_key(&inode) {
                    self.pending.remove(&inode);
                }
            }
        }
    }

    fn wait(&mut self, inode: u64, change: Pending) {
        self.pending.entry(inode).or_default().push(change);
    }

    fn apply(&mut self, inode: u64, change: &Pending) {
        match change {
            Pending::Write { offset, bytes } => {
                let file = self.files.get_mut(&inode).unwrap();
                let (from, to) = (*offset as usize, *offset as usize + bytes.len());
                if file.len() < to {
                    file.resize(to, 0);
                }
                file[from..to].copy_from_slice(bytes);
            }
            Pending::Truncate { length } => self.files.get_mut(&inode).unwrap().truncate(*length as usize),
            Pending::Name { name, inode: of, is_dir } => {
                self.dirs.get_mut(&inode).unwrap().insert(name.clone(), (*of, *is_dir));
            }
            Pending::Rename { from, to, inode: of } => {
                let names = self.dirs.get_mut(&inode).unwrap();
                names.remove(from);
                names.insert(to.clone(), (*of, false));
            }
            Pending::Unlink { name } => {
                self.dirs.get_mut(&inode).unwrap().remove(name);
            }
        }
    }

    /// Changes that may be lost.
    pub fn open(&self) -> usize {
        self.pending.values().map(Vec::len).sum()
    }

    /// Writes what the disk holds if of the open changes those with a set bit got there, and of the last write that
    /// did, if `torn`, only the first half. Gives whether a lost write has a kept one after it in a file: then there
    /// is a hole, which no order of writing fills.
    pub fn materialise(mut self, kept: u64, torn: bool, dest: &Path) -> bool {
        let mut index = 0;
        let mut holes = BTreeSet::new();
        for (inode, changes) in std::mem::take(&mut self.pending) {
            let mut lost = false;
            let last = changes.len();
            for (n, mut change) in changes.into_iter().enumerate() {
                let keep = index >= 64 || kept >> index & 1 == 1;
                index += 1;
                if !keep {
                    lost |= matches!(change, Pending::Write { .. } | Pending::Truncate { .. });
                    continue;
                }
                if let (Pending::Write { bytes, .. }, true, true) = (&mut change, torn, n + 1 == last) {
                    bytes.truncate(bytes.len() / 2);
                }
                if lost {
                    holes.insert(inode);
                }
                self.apply(inode, &change);
            }
        }
        self.write(self.root, dest);
        !holes.is_empty()
    }

    fn write(&self, dir: u64, dest: &Path) {
        for (name, (inode, is_dir)) in &self.dirs[&dir] {
            let path = dest.join(name);
            if *is_dir {
                std::fs::create_dir(&path).unwrap();
                self.write(*inode, &path);
            } else {
                std::fs::write(&path, &self.files[inode]).unwrap();
            }
        }
    }
}
