//! Every operation of a journal's life fails, at every place, in every way; and the machine stops at every place, with
//! any part of what was not flushed lost.
//!
//! Whatever happens: the writer that met the fault takes nothing more, or has said that there is no room; what was
//! acknowledged is there, once, in its order; the journal verifies; and it can be taken up again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[path = "../common/mod.rs"]
mod common;
mod crash;
mod disk;
mod life;

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use common::{entries, log, open_dir};
use crash::Model;
use disk::{Fault, Faulty};
use life::Story;
use nix::errno::Errno;
use stockade_journal::disk::Disk;
use stockade_journal::{JournalError, ReadError, Reader, Record, recover, verify};
use tempfile::TempDir;

/// In memory if there is such a file system: these write some ten thousand journals.
fn scratch() -> TempDir {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() { TempDir::new_in(shm).unwrap() } else { TempDir::new().unwrap() }
}

/// Lives with a fault.
fn with(fault: Option<(usize, Fault)>, dir: &Path) -> (Story, Arc<Faulty>) {
    let faulty = Arc::new(Faulty::new(fault));
    let disk: Arc<dyn Disk> = faulty.clone();
    (life::live(&disk, dir), faulty)
}

/// The lines that can be read: sequence numbers and leaf hashes.
fn lines(dir: &Path) -> Vec<(u64, [u8; 32])> {
    let mut found = Vec::new();
    let Ok(mut reader) = Reader::open(dir) else { return found };
    while let Ok(Some(line)) = reader.read() {
        found.push((line.entry.seq, line.hash));
    }
    found
}

/// What must be true of the journal in `dir` now. `hole`: what no crash of ours explains may be refused.
fn check(dir: &Path, story: &Story, hole: bool, what: &str) {
    let before = lines(dir);
    for kept in &story.kept {
        assert!(before.contains(kept), "{what}: record {} was acknowledged and is lost", kept.0);
    }
    match recover(open_dir(dir)) {
        Ok(mut recovered) => {
            recovered.writer.append(log("after all")).unwrap_or_else(|e| panic!("{what}: {e}"));
            recovered.writer.commit().unwrap();
            drop(recovered);
            verify(dir).unwrap_or_else(|e| panic!("{what}: {e}"));
            let after = lines(dir);
            assert_eq!(before, after[..before.len()], "{what}: recovery changed records");
            let said: Vec<_> = entries(dir)
                .into_iter()
                .filter_map(|entry| match entry.record {
                    Record::Log { message, .. } => Some(message),
                    _ => None,
                })
                .collect();
            for message in &said {
                let times = said.iter().filter(|m| *m == message).count();
                assert_eq!(times, 1, "{what}: {message:?} is there {times} times");
            }
        }
        // Nothing was promised yet.
        Err(JournalError::Damaged(ReadError::NoSegment { .. })) if story.kept.is_empty() => {}
        Err(error) => {
            assert!(hole, "{what}: not taken up: {error}");
            let text = error.to_string();
            assert!(text.contains(".jsonl:") && text.contains("not recovered"), "{what}: {text}");
        }
    }
}

#[test]
fn the_life_itself_is_whole() {
    let dir = scratch();
    let (story, faulty) = with(None, dir.path());
    assert!(story.errors.is_empty(), "{:?}", story.errors);
    let verified = verify(dir.path()).unwrap();
    assert!(verified.segments >= 3 && verified.blobs >= 4, "{verified:?}");
    assert!(faulty.state.lock().unwrap().count > 80);
    check(dir.path(), &story, false, "no fault");
}

#[test]
fn every_operation_may_fail_in_every_way() {
    let ways = [
        Fault::Refused(Errno::EIO),
        Fault::Refused(Errno::ENOSPC),
        Fault::Refused(Errno::EDQUOT),
        Fault::Refused(Errno::EROFS),
        Fault::Refused(Errno::EOPNOTSUPP),
        Fault::Refused(Errno::EINTR),
        Fault::DoneButFailed,
        Fault::Short,
    ];
    let mut met: BTreeMap<&str, usize> = BTreeMap::new();
    let mut states = 0;
    for at in 1.. {
        let mut reached = false;
        for way in ways {
            let dir = scratch();
            let (story, faulty) = with(Some((at, way)), dir.path());
            let state = faulty.state.lock().unwrap();
            let Some(name) = state.met else { continue };
            reached = true;
            *met.entry(name).or_default() += 1;
            let what = format!("{name} (operation {at}), {way:?}");
            // And then the machine stops, and has what was flushed and nothing else, or all of it.
            let root = std::fs::metadata(dir.path()).unwrap().ino();
            for kept in [0, u64::MAX] {
                let after = scratch();
                let hole = Model::of(&state.done, root).materialise(kept, false, after.path());
                check(after.path(), &story, hole, &format!("{what}, then a crash that kept {kept:x}"));
                states += 1;
            }
            check(dir.path(), &story, false, &what);
        }
        if !reached {
            break;
        }
    }
    println!("{states} states; operations that failed: {met:?}");
    for name in ["make_dir", "open_dir", "create", "open", "read_at", "write", "write_at", "sync_data", "sync"] {
        assert!(met.contains_key(name), "{name} was never met");
    }
    for name in ["truncate", "reserve", "rename", "unlink"] {
        assert!(met.contains_key(name), "{name} was never met");
    }
}

#[test]
fn the_machine_may_stop_anywhere() {
    let mut states = 0;
    let mut refused = 0;
    for at in 1.. {
        let dir = scratch();
        let (story, faulty) = with(Some((at, Fault::Stop)), dir.path());
        let state = faulty.state.lock().unwrap();
        let Some(name) = state.met else { break };
        let root = std::fs::metadata(dir.path()).unwrap().ino();
        let open = Model::of(&state.done, root).open();
        assert!(open <= 10, "{open} changes are in the air: too many to try all parts of");
        for kept in 0..1u64 << open {
            for torn in [false, true] {
                let after = scratch();
                let hole = Model::of(&state.done, root).materialise(kept, torn, after.path());
                let what = format!("stopped before {name} (operation {at}), kept {kept:b} of {open}, torn: {torn}");
                check(after.path(), &story, hole, &what);
                states += 1;
                refused += usize::from(hole);
            }
        }
    }
    println!("{states} states, {refused} of them with holes");
    assert!(states > 500);
}

/// A run that has ended, with more than one segment, a blob and a private value.
fn ended(dir: &Path) -> (u64, [u8; 32]) {
    let options = stockade_journal::Options { segment_bytes: 2500 };
    let mut writer = stockade_journal::Writer::create_with(open_dir(dir), options).unwrap();
    writer.append(common::start()).unwrap();
    for id in 1..8 {
        writer.append(common::call(id, serde_json::json!({"path": "a"}))).unwrap();
    }
    let result = |id, body| Record::Result(stockade_journal::Outcome { id, status: "ok".into(), body, micros: 1 });
    let blob = writer.payload(serde_json::json!("b".repeat(17_000))).unwrap();
    writer.append(result(1, blob)).unwrap();
    let private = writer.private(serde_json::json!("p"), [1; 32]).unwrap();
    writer.append(result(2, private)).unwrap();
    writer.append(Record::Lifecycle { event: "exit".into(), detail: serde_json::json!({}) }).unwrap();
    writer.commit().unwrap();
    drop(writer);
    root(dir)
}

fn root(dir: &Path) -> (u64, [u8; 32]) {
    let mut tree = stockade_journal::tree::Frontier::new();
    stockade_journal::verify_each(dir, |line| tree.push(line.hash).unwrap()).unwrap();
    (tree.size(), tree.root())
}

#[test]
fn pruning_may_fail_anywhere() {
    use stockade_journal::{Extent, Pruned, prune, prune_on};
    let ways =
        [Fault::Refused(Errno::EIO), Fault::Refused(Errno::ENOSPC), Fault::DoneButFailed, Fault::Short, Fault::Stop];
    for at in 1.. {
        let mut reached = false;
        for way in ways {
            let dir = scratch();
            let before = ended(dir.path());
            let faulty = Arc::new(Faulty::new(Some((at, way))));
            let disk: Arc<dyn Disk> = faulty.clone();
            let pruned = prune_on(disk, open_dir(dir.path()), Extent::Payloads, false);
            let Some(name) = faulty.state.lock().unwrap().met else { continue };
            reached = true;
            let what = format!("{name} (operation {at}), {way:?}: {pruned:?}");
            assert_eq!(root(dir.path()), before, "{what}");
            prune(open_dir(dir.path()), Extent::Payloads, false).unwrap();
            assert_eq!(root(dir.path()), before, "{what}");
            let verified = verify(dir.path()).unwrap();
            assert_eq!((verified.tombstones, verified.blobs, verified.private), (9, 0, 0), "{what}");
            for store in ["blobs", "private"] {
                assert_eq!(std::fs::read_dir(dir.path().join(store)).unwrap().count(), 0, "{what}");
            }
            assert_eq!(prune(open_dir(dir.path()), Extent::Payloads, false).unwrap(), Pruned::default());
            assert!(!dir.path().join("00000001.jsonl.new").exists(), "{what}");
        }
        if !reached {
            break;
        }
    }
}
