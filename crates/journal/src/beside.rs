//! What lies beside the segments, and the room that it and they may have.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;

use crate::dir::{BLOBS, PRIVATE};
use crate::disk::Disk;
use crate::error::JournalError;
use crate::room::Room;
use crate::store::Store;

/// The stores of one journal.
#[derive(Debug)]
pub(crate) struct Beside {
    blobs: Store,
    /// Made with the first private value: most runs have none.
    private: Option<Store>,
    /// For these, and for the lines of the journal.
    pub(crate) room: Room,
}

impl Beside {
    /// Of a journal that begins.
    pub(crate) fn create(disk: &Arc<dyn Disk>, journal: &OwnedFd) -> Result<Self, JournalError> {
        Ok(Self { blobs: Store::create(disk, journal, BLOBS)?, private: None, room: Room::endless() })
    }

    /// Of a journal that goes on after a crash, with `records` in it.
    pub(crate) fn reopen(disk: &Arc<dyn Disk>, journal: &OwnedFd, records: u64) -> Result<Self, JournalError> {
        let blobs = match Store::reopen(disk, journal, BLOBS)? {
            Some(store) => store,
            // The first segment's name got to the disk and this one's did not.
            None if records == 0 => Store::create(disk, journal, BLOBS)?,
            None => return Err(JournalError::Io { op: "openat", file: BLOBS.to_owned(), errno: Errno::ENOENT }),
        };
        Ok(Self { blobs, private: Store::reopen(disk, journal, PRIVATE)?, room: Room::endless() })
    }

    /// Makes a blob durable and gives its digest.
    pub(crate) fn blob(&self, bytes: &[u8]) -> Result<String, JournalError> {
        Self::put(&self.blobs, &self.room, bytes)
    }

    /// Makes a private value durable and gives its digest.
    pub(crate) fn private(
        &mut self,
        disk: &Arc<dyn Disk>,
        journal: &OwnedFd,
        bytes: &[u8],
    ) -> Result<String, JournalError> {
        let store = match &mut self.private {
            Some(store) => store,
            none => {
                let store = Store::create(disk, journal, PRIVATE)?;
                disk.sync(journal.as_fd()).map_err(|errno| JournalError::Io {
                    op: "fsync",
                    file: ".".to_owned(),
                    errno,
                })?;
                none.insert(store)
            }
        };
        Self::put(store, &self.room, bytes)
    }

    fn put(store: &Store, room: &Room, bytes: &[u8]) -> Result<String, JournalError> {
        let before = room.used();
        let put = store.put(bytes, |bytes| room.take(bytes));
        if put.is_err() {
            room.give_back_to(before);
        }
        put
    }
}
