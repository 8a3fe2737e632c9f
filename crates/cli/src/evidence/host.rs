//! What the host's log says of a run: from the log itself, or from the proof that a bundle carries.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stockade_journal::note::{Checkpoint, MAX_NOTE, Note, NoteError};
use stockade_journal::tiles::{CHECKPOINT, Folder, HostLog, KeyChain, LogError, ORIGIN, RunHead, epoch_file};
use stockade_journal::tree::{Hash, leaf_hash, verify_consistency, verify_inclusion};

use super::EvidenceError;

/// Name of a bundle's proof, beside the host's checkpoint.
pub const PROOF: &str = "proof.json";

/// Longest proof in bytes: a log of 2^64 leaves and 10,000 epochs needs less.
const LONGEST: usize = 64 * 1024 * 1024;

/// Heads of a run that the host's log has.
#[derive(Debug, Default)]
pub struct Heads {
    /// Records and root of each, in no order.
    pub sizes: Vec<(u64, Hash)>,
    /// Whether there was a log, or a proof from one.
    pub logged: bool,
    /// Leaves of the log.
    pub leaves: u64,
}

/// That a run's head is in the host's log, whose head is beside it: for who has not the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// Place of the leaf, from 0.
    pub index: u64,
    /// The leaf, a run's head.
    pub leaf: String,
    /// From the leaf to the root (RFC 9162, section 2.1.3).
    pub inclusion: Vec<Hash>,
    /// That the log begins with the last head of each epoch that has ended.
    pub epochs: Vec<Extends>,
}

/// That a log begins with an earlier head (RFC 9162, section 2.1.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extends {
    /// The epoch whose last head that is.
    pub epoch: u32,
    /// The proof.
    pub consistency: Vec<Hash>,
}

/// Where a state folder has the host's log.
#[must_use]
pub fn log_folder(state: &Path) -> PathBuf {
    state.join("notary")
}

impl Heads {
    /// Reads all of the log, or the proof in its stead, and checks it against its checkpoint.
    pub(super) fn read(folder: Folder, run: &str, keys: Option<&KeyChain>) -> Result<Self, EvidenceError> {
        let host = EvidenceError::Host;
        if let Some(proof) = folder.read(PROOF, LONGEST).map_err(host)? {
            return Self::by_proof(&folder, run, keys, &proof);
        }
        let mut sizes = Vec::new();
        let leaves = each(folder, keys, |head| {
            if head.run == run {
                sizes.push((head.size, head.root));
            }
        })?;
        Ok(Self { sizes, logged: leaves.is_some(), leaves: leaves.unwrap_or_default() })
    }

    /// [`Heads::read`] for all runs at once, by run. `None` if there is no log.
    ///
    /// # Errors
    /// [`EvidenceError`]
    pub fn of_all(folder: Folder, keys: Option<&KeyChain>) -> Result<Option<BTreeMap<String, Self>>, EvidenceError> {
        let mut runs: BTreeMap<String, Self> = BTreeMap::new();
        let leaves = each(folder, keys, |head| {
            runs.entry(head.run).or_default().sizes.push((head.size, head.root));
        })?;
        let Some(leaves) = leaves else { return Ok(None) };
        for heads in runs.values_mut() {
            (heads.logged, heads.leaves) = (true, leaves);
        }
        Ok(Some(runs))
    }

    /// Records of the newest head.
    #[must_use]
    pub fn newest(&self) -> Option<u64> {
        self.sizes.iter().map(|(size, _)| *size).max()
    }

    fn by_proof(folder: &Folder, run: &str, keys: Option<&KeyChain>, proof: &[u8]) -> Result<Self, EvidenceError> {
        let bad = |why: String| EvidenceError::Host(LogError::Damaged { file: PROOF.to_owned(), why });
        let proof: Proof = serde_json::from_slice(proof).map_err(|error| bad(error.to_string()))?;
        let head = match keys {
            Some(keys) => {
                let note = folder.read(CHECKPOINT, MAX_NOTE).map_err(EvidenceError::Host)?.unwrap_or_default();
                let opened = Checkpoint::open(&note, keys.current(), keys.origin());
                opened.map_err(checkpoint)?.0
            }
            None => unsigned(folder)?,
        };
        let leaf = leaf_hash(proof.leaf.as_bytes());
        verify_inclusion(&leaf, proof.index, head.size, &head.root, &proof.inclusion)
            .map_err(|error| bad(error.to_string()))?;
        for epoch in keys.map(KeyChain::ended).unwrap_or_default() {
            let number = epoch.number;
            let proved = proof.epochs.iter().find(|proved| proved.epoch == number);
            let proved = proved.ok_or_else(|| bad(format!("it does not prove the last head of epoch {number}")))?;
            let last = &epoch.last;
            verify_consistency(last.size, &last.root, head.size, &head.root, &proved.consistency)
                .map_err(|error| bad(format!("epoch {number}: {error}")))?;
        }
        let run_head = RunHead::from_leaf(proof.leaf.as_bytes()).map_err(EvidenceError::Host)?;
        if run_head.run != run {
            return Err(bad(format!("its leaf is of run {:?}", run_head.run)));
        }
        Ok(Self { sizes: vec![(run_head.size, run_head.root)], logged: true, leaves: head.size })
    }
}

impl Proof {
    /// Of the newest head of a run, with the log's head that it is proved against. `None` if the log has none of it.
    ///
    /// # Errors
    /// [`EvidenceError`]
    pub fn of(log: &HostLog, run: &str) -> Result<Option<(Self, Vec<u8>)>, EvidenceError> {
        let host = EvidenceError::Host;
        let Some(note) = log.folder().read(CHECKPOINT, MAX_NOTE).map_err(host)? else { return Ok(None) };
        let head = parse(&note)?;
        let mut newest = None;
        log.heads(&head, |index, head| {
            if head.run == run {
                newest = Some(index);
            }
        })
        .map_err(host)?;
        let Some(index) = newest else { return Ok(None) };
        let leaf = String::from_utf8_lossy(&log.leaf(index, head.size).map_err(host)?).into_owned();
        let inclusion = log.prove_inclusion(index, head.size).map_err(host)?;
        // From tiles that the entries say nothing of: what is not true is found here, and not by who gets the bundle.
        let wrong = |why: String| host(LogError::Damaged { file: "tile".to_owned(), why });
        verify_inclusion(&leaf_hash(leaf.as_bytes()), index, head.size, &head.root, &inclusion)
            .map_err(|error| wrong(format!("no proof of this run's head: {error}")))?;
        let mut epochs = Vec::new();
        for number in 1.. {
            let Some(note) = log.folder().read(&epoch_file(number), MAX_NOTE).map_err(host)? else { break };
            let last = parse(&note)?;
            let consistency = log.prove_consistency(last.size, head.size).map_err(host)?;
            verify_consistency(last.size, &last.root, head.size, &head.root, &consistency)
                .map_err(|error| wrong(format!("no proof of the last head of epoch {number}: {error}")))?;
            epochs.push(Extends { epoch: number, consistency });
        }
        Ok(Some((Self { index, leaf, inclusion, epochs }, note)))
    }
}

/// Gives each head of a folder's log, which is checked against its checkpoint, and the number of them. `None` if there is no
/// log.
fn each(folder: Folder, keys: Option<&KeyChain>, mut take: impl FnMut(RunHead)) -> Result<Option<u64>, EvidenceError> {
    let host = EvidenceError::Host;
    if !folder.has(ORIGIN).map_err(host)? || !folder.has(CHECKPOINT).map_err(host)? {
        return Ok(None);
    }
    let log = HostLog::open(folder).map_err(host)?;
    let head = match keys {
        Some(keys) => log.checkpoint(keys).map_err(host)?.0,
        None => unsigned(log.folder())?,
    };
    log.heads(&head, |_, head| take(head)).map_err(host)?;
    Ok(Some(head.size))
}

fn unsigned(folder: &Folder) -> Result<Checkpoint, EvidenceError> {
    parse(&folder.read(CHECKPOINT, MAX_NOTE).map_err(EvidenceError::Host)?.unwrap_or_default())
}

/// Whoever signed it.
fn parse(note: &[u8]) -> Result<Checkpoint, EvidenceError> {
    Note::parse(note).and_then(|note| Checkpoint::parse(note.text())).map_err(checkpoint)
}

fn checkpoint(cause: NoteError) -> EvidenceError {
    EvidenceError::Host(LogError::Note { file: CHECKPOINT.to_owned(), cause })
}
