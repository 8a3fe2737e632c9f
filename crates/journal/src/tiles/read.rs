//! Reading the host's log, and proving from it.

use super::head::MAX_LEAF;
use super::layout::{HEIGHT, LEVELS, Row, WIDTH, full_path, tile_path};
use super::{CHECKPOINT, FIRST_KEY, Folder, KeyChain, LogError, LogLock, ORIGIN, RunHead, epoch_file};
use crate::note::{Checkpoint, MAX_NOTE, Note, VerifierKey, is_name};
use crate::tree::{Frontier, Hash, Nodes, leaf_hash, node_hash, prove_consistency, prove_inclusion, root_of};

/// Bytes of a hash.
const HASH: usize = 32;

/// The host's log in its folder.
#[derive(Debug)]
pub struct HostLog {
    folder: Folder,
    origin: String,
}

impl HostLog {
    /// Opens a log that was begun.
    pub fn open(folder: Folder) -> Result<Self, LogError> {
        let text = folder.text(ORIGIN, 1024)?;
        let origin = text.strip_suffix('\n').filter(|name| is_name(name));
        let origin = origin.ok_or_else(|| LogError::damaged(ORIGIN, "it is not one name in one line"))?;
        Ok(Self { origin: origin.to_owned(), folder })
    }

    /// The log's name.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Name of the log of one run, which its checkpoints bear.
    pub fn run_origin(&self, run: &str) -> String {
        format!("{}/run/{run}", self.origin)
    }

    /// Its folder.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Waits until no other process appends.
    pub fn lock(&self) -> Result<LogLock<'_>, LogError> {
        LogLock::take(self)
    }

    /// The key of the first epoch, as the log's own folder has it: to be compared with one from elsewhere.
    pub fn first_key(&self) -> Result<VerifierKey, LogError> {
        let text = self.folder.text(FIRST_KEY, 1024)?;
        let key = text.trim_end().parse().map_err(|cause| LogError::Note { file: FIRST_KEY.to_owned(), cause })?;
        Ok(key)
    }

    /// All keys of the log since `start`, by the notes in `epochs/`.
    pub fn keys(&self, start: VerifierKey) -> Result<KeyChain, LogError> {
        KeyChain::read(&self.folder, start, &self.origin)
    }

    /// The newest head, if the newest of `keys` signed it and each ended epoch's last head begins it.
    pub fn checkpoint(&self, keys: &KeyChain) -> Result<(Checkpoint, Note), LogError> {
        let signed = self.checkpoint_by(keys.current());
        let (head, note) = match (signed, keys.ended().last()) {
            // A notary that was killed as it ended an epoch has not signed the head anew: what the epoch ended with is
            // still there, and nothing else that its key signed will do.
            (Err(error), Some(epoch)) => match self.checkpoint_by(&epoch.key) {
                Ok((head, note)) if (head.size, head.root) == (epoch.last.size, epoch.last.root) => (head, note),
                _ => return Err(error),
            },
            (signed, _) => signed?,
        };
        for epoch in keys.ended() {
            self.extends(&epoch_file(epoch.number), epoch.last.size, &epoch.last.root, &head)?;
        }
        Ok((head, note))
    }

    /// The newest head, if `key` signed it. Its tiles are not looked at.
    pub fn checkpoint_by(&self, key: &VerifierKey) -> Result<(Checkpoint, Note), LogError> {
        let bytes = self.folder.read(CHECKPOINT, MAX_NOTE)?;
        let bytes = bytes.ok_or_else(|| LogError::Missing { file: CHECKPOINT.to_owned() })?;
        Checkpoint::open(&bytes, key, &self.origin)
            .map_err(|cause| LogError::Note { file: CHECKPOINT.to_owned(), cause })
    }

    /// Whether the log of `head` begins with the `size` leaves that have this root, which `witness` remembers.
    pub fn extends(&self, witness: &str, size: u64, root: &Hash, head: &Checkpoint) -> Result<(), LogError> {
        let witness = || witness.to_owned();
        if size > head.size {
            return Err(LogError::Rollback { witness: witness(), remembered: size, found: head.size });
        }
        if root_of(&self.at(head.size), size)? != *root {
            return Err(LogError::Fork { witness: witness(), size });
        }
        Ok(())
    }

    /// The right edge of the first `size` leaves, from tiles.
    pub fn frontier(&self, size: u64) -> Result<Frontier, LogError> {
        let tiles = self.at(size);
        let mut peaks = Vec::new();
        let mut start = 0_u64;
        for level in (0..u64::BITS).rev().filter(|level| size >> level & 1 == 1) {
            peaks.push(tiles.node(level, start >> level)?);
            start += 1 << level;
        }
        Frontier::from_peaks(size, peaks).map_err(LogError::Full)
    }

    /// That leaf `index` is in the first `size` leaves.
    pub fn prove_inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, LogError> {
        prove_inclusion(&self.at(size), index, size)
    }

    /// That the first `new` leaves begin with the first `old`.
    pub fn prove_consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, LogError> {
        prove_consistency(&self.at(new), old, new)
    }

    /// The leaf at `index` of a log of `size`, as its bytes.
    pub fn leaf(&self, index: u64, size: u64) -> Result<Vec<u8>, LogError> {
        let leaves = self.bundle(index / WIDTH, size)?;
        let at = usize::try_from(index % WIDTH).unwrap_or(usize::MAX);
        leaves.into_iter().nth(at).ok_or(LogError::Proof(crate::tree::ProofError::Index { index, size }))
    }

    /// All heads of a log of `head.size`, in order, to `each`; then that they are what `head` says.
    /// Reads 256 at a time. What `each` was told is not to be believed before this returns.
    pub fn heads(&self, head: &Checkpoint, mut each: impl FnMut(u64, RunHead)) -> Result<(), LogError> {
        let mut frontier = Frontier::new();
        for bundle in 0..head.size.div_ceil(WIDTH) {
            for leaf in self.bundle(bundle, head.size)? {
                let index = frontier.size();
                frontier.push(leaf_hash(&leaf)).map_err(LogError::Full)?;
                each(index, RunHead::from_leaf(&leaf)?);
            }
        }
        if frontier.size() != head.size || frontier.root() != head.root {
            return Err(LogError::damaged(CHECKPOINT, "the entries are not those that it was signed over"));
        }
        Ok(())
    }

    /// The entries of one bundle, as far as a log of `size` has them.
    pub(super) fn bundle(&self, index: u64, size: u64) -> Result<Vec<Vec<u8>>, LogError> {
        let width = size.saturating_sub(index.saturating_mul(WIDTH)).min(WIDTH);
        let limit = usize::try_from(WIDTH).unwrap_or_default() * (MAX_LEAF + 2);
        let (file, bytes) = self.tile(Row::Entries, index, width, limit)?;
        let mut leaves = Vec::new();
        let mut rest = bytes.as_slice();
        while leaves.len() as u64 != width {
            let split = rest.split_first_chunk::<2>();
            let split = split.and_then(|(length, rest)| rest.split_at_checked(u16::from_be_bytes(*length).into()));
            let (leaf, after) = split.ok_or_else(|| LogError::damaged(&file, "it ends within an entry"))?;
            leaves.push(leaf.to_vec());
            rest = after;
        }
        Ok(leaves)
    }

    /// The hashes of one tile, as far as a log whose row has `total` hashes has them.
    pub(super) fn hashes(&self, level: u32, index: u64, total: u64) -> Result<Vec<Hash>, LogError> {
        let width = total.saturating_sub(index.saturating_mul(WIDTH)).min(WIDTH);
        let limit = usize::try_from(WIDTH).unwrap_or_default() * HASH;
        let (file, bytes) = self.tile(Row::Hashes(level), index, width, limit)?;
        let (hashes, rest) = bytes.as_chunks::<HASH>();
        let width = usize::try_from(width).unwrap_or(usize::MAX);
        match hashes.get(..width) {
            Some(hashes) if rest.is_empty() => Ok(hashes.to_vec()),
            _ => Err(LogError::damaged(&file, format!("it has not {width} hashes"))),
        }
    }

    /// A tile of that width, or the full one that has replaced it.
    fn tile(&self, row: Row, index: u64, width: u64, limit: usize) -> Result<(String, Vec<u8>), LogError> {
        for file in [tile_path(row, index, width), full_path(row, index)] {
            if let Some(bytes) = self.folder.read(&file, limit)? {
                return Ok((file, bytes));
            }
        }
        Err(LogError::Missing { file: tile_path(row, index, width) })
    }

    fn at(&self, size: u64) -> At<'_> {
        At { log: self, size }
    }
}

/// The tiles of the log when it had `size` leaves.
struct At<'a> {
    log: &'a HostLog,
    size: u64,
}

impl Nodes for At<'_> {
    type Error = LogError;

    fn node(&self, level: u32, index: u64) -> Result<Hash, LogError> {
        // A tile holds every eighth level; those between are hashed from it.
        let (row, height) = (level / HEIGHT, level % HEIGHT);
        let missing = || LogError::Proof(crate::tree::ProofError::Index { index, size: self.size });
        if row >= LEVELS {
            return Err(missing());
        }
        let first = index.checked_mul(1 << height).ok_or_else(missing)?;
        let hashes = self.log.hashes(row, first / WIDTH, self.size >> (row * HEIGHT))?;
        let from = usize::try_from(first % WIDTH).unwrap_or(usize::MAX);
        let to = from.saturating_add(1 << height);
        let mut hashes = hashes.get(from..to).ok_or_else(missing)?.to_vec();
        while hashes.len() > 1 {
            hashes = hashes.as_chunks::<2>().0.iter().map(|[left, right]| node_hash(left, right)).collect();
        }
        hashes.first().copied().ok_or_else(missing)
    }
}
