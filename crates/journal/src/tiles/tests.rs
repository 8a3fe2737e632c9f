use std::path::Path;

use super::*;
use crate::note::{Checkpoint, SigningKey};
use crate::tree::{verify_consistency, verify_inclusion};

const NAME: &str = "host.example/log";

fn key(byte: u8) -> SigningKey {
    SigningKey::from_seed(NAME, &[byte; 32]).unwrap()
}

fn begin(dir: &Path) -> HostLog {
    HostLog::begin(Folder::open(dir).unwrap(), NAME, |_| Ok(key(1))).unwrap()
}

fn head(i: u64) -> RunHead {
    RunHead { run: format!("r{i}"), size: i, root: [i as u8; 32], time: "2026-11-22T13:30:00.000001Z".to_owned() }
}

fn append(log: &HostLog, from: u64, to: u64) -> Vec<(Checkpoint, Vec<u8>)> {
    let lock = log.lock().unwrap();
    let mut appender = Appender::open(&lock, key(1).verifier()).unwrap();
    (from..to)
        .map(|i| {
            let appended = appender.append(&head(i), &key(1)).unwrap();
            assert_eq!(appended.index, i);
            (Checkpoint::parse(appended.checkpoint.text()).unwrap(), appended.leaf)
        })
        .collect()
}

#[test]
fn grows_over_two_rows_and_proves() {
    let dir = tempfile::tempdir().unwrap();
    let log = begin(dir.path());
    let heads = append(&log, 0, 600);
    assert_eq!(append(&log, 600, 601).len(), 1);
    let log = HostLog::open(Folder::open(dir.path()).unwrap()).unwrap();
    let (now, _) = log.checkpoint_by(key(1).verifier()).unwrap();
    assert_eq!(now.size, 601);
    for index in [0, 1, 255, 256, 257, 511, 512, 599, 600] {
        let leaf = log.leaf(index, now.size).unwrap();
        assert_eq!(RunHead::from_leaf(&leaf).unwrap(), head(index));
        let proof = log.prove_inclusion(index, now.size).unwrap();
        verify_inclusion(&crate::tree::leaf_hash(&leaf), index, now.size, &now.root, &proof).unwrap();
    }
    for old in heads.iter().map(|(old, _)| old).step_by(37) {
        let proof = log.prove_consistency(old.size, now.size).unwrap();
        verify_consistency(old.size, &old.root, now.size, &now.root, &proof).unwrap();
    }
    let mut seen = 0;
    log.heads(&now, |index, found| {
        assert_eq!(found, head(index));
        seen += 1;
    })
    .unwrap();
    assert_eq!(seen, 601);
    // The layout of C2SP tlog-tiles.
    for (file, bytes) in
        [("tile/0/000", 8192), ("tile/0/001", 8192), ("tile/0/002.p/89", 89 * 32), ("tile/1/000.p/2", 64)]
    {
        assert_eq!(std::fs::metadata(dir.path().join(file)).unwrap().len(), bytes, "{file}");
    }
    assert!(!dir.path().join("tile/0/000.p").exists());
    assert_eq!(layout::full_path(layout::Row::Hashes(3), 1_234_067), "tile/3/x001/x234/067");
}

#[test]
fn leaves_have_one_form() {
    let leaf = head(3).to_leaf().unwrap();
    assert_eq!(RunHead::from_leaf(&leaf).unwrap(), head(3));
    let text = String::from_utf8(leaf).unwrap();
    for bad in [
        text.replace(r#""size":3"#, r#""size": 3"#),
        text.replace(r#""run":"r3","size":3"#, r#""size":3,"run":"r3""#),
        text.replace("r3", "../3"),
        text.replace("r3", ""),
        text.replace(".000001Z", "Z"),
        text.replace("=\"", "\""),
        text.replace('}', r#","more":1}"#),
    ] {
        assert!(RunHead::from_leaf(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn a_crash_before_the_signature_leaves_nothing_and_one_after_it_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let log = begin(dir.path());
    append(&log, 0, 5);
    let old = std::fs::read(dir.path().join(CHECKPOINT)).unwrap();
    append(&log, 5, 6);
    let new = std::fs::read(dir.path().join(CHECKPOINT)).unwrap();
    // Killed after the tiles: the files of leaf 5 are there, its checkpoint is not.
    std::fs::write(dir.path().join(CHECKPOINT), &old).unwrap();
    std::fs::write(dir.path().join("checkpoint.next"), &new[..new.len() / 2]).unwrap();
    let other = RunHead { run: "other".to_owned(), ..head(5) };
    let lock = log.lock().unwrap();
    let appended = Appender::open(&lock, key(1).verifier()).unwrap().append(&other, &key(1)).unwrap();
    assert_eq!(appended.index, 5);
    drop(lock);
    let signed = std::fs::read(dir.path().join(CHECKPOINT)).unwrap();
    // Killed between the signature and its place: the next one puts it there.
    std::fs::write(dir.path().join(CHECKPOINT), &old).unwrap();
    std::fs::write(dir.path().join("checkpoint.next"), &signed).unwrap();
    let lock = log.lock().unwrap();
    assert_eq!(Appender::open(&lock, key(1).verifier()).unwrap().head().size, 6);
    drop(lock);
    assert_eq!(std::fs::read(dir.path().join(CHECKPOINT)).unwrap(), signed);
    assert!(!dir.path().join("checkpoint.next").exists());
}

#[test]
fn damage_is_found_before_anything_is_signed() {
    let dir = tempfile::tempdir().unwrap();
    let log = begin(dir.path());
    append(&log, 0, 300);
    let tile = dir.path().join("tile/0/001.p/44");
    let good = std::fs::read(&tile).unwrap();
    let mut bad = good.clone();
    bad[40] ^= 1;
    std::fs::write(&tile, bad).unwrap();
    let lock = log.lock().unwrap();
    assert!(matches!(Appender::open(&lock, key(1).verifier()), Err(LogError::Damaged { .. })));
    std::fs::write(&tile, &good[..33]).unwrap();
    assert!(matches!(Appender::open(&lock, key(1).verifier()), Err(LogError::Damaged { .. })));
    std::fs::remove_file(&tile).unwrap();
    assert!(matches!(Appender::open(&lock, key(1).verifier()), Err(LogError::Missing { .. })));
    std::os::unix::fs::symlink("000", &tile).unwrap();
    assert!(matches!(Appender::open(&lock, key(1).verifier()), Err(LogError::Io { .. })));
    assert!(matches!(Appender::open(&lock, key(2).verifier()), Err(LogError::Note { .. })));
}

#[test]
fn keys_are_followed_from_any_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let log = begin(dir.path());
    let mut at = 0;
    for epoch in 1..4_u8 {
        let lock = log.lock().unwrap();
        let mut appender = Appender::open(&lock, key(epoch).verifier()).unwrap();
        for _ in 0..3 {
            appender.append(&head(at), &key(epoch)).unwrap();
            at += 1;
        }
        let last = Checkpoint {
            extensions: vec![format!("{NEXT_KEY} {}", key(epoch + 1).verifier())],
            ..appender.head().clone()
        };
        let note = last.sign(&key(epoch)).unwrap().to_string();
        log.folder().put(&epoch_file(epoch.into()), note.as_bytes(), PUBLIC).unwrap();
        appender.resign(&key(epoch + 1)).unwrap();
    }
    for start in 1..5_u8 {
        let keys = log.keys(key(start).verifier().clone()).unwrap();
        assert_eq!(keys.current(), key(4).verifier());
        assert_eq!(keys.ended().len(), usize::from(4 - start));
        assert_eq!(log.checkpoint(&keys).unwrap().0.size, 9);
    }
    // A stranger's key leads nowhere.
    let keys = log.keys(key(9).verifier().clone()).unwrap();
    assert!(log.checkpoint(&keys).is_err());
    // Who holds the newest key writes the log anew: epochs that have ended tell.
    let forged = tempfile::tempdir().unwrap();
    let other = HostLog::begin(Folder::open(forged.path()).unwrap(), NAME, |_| Ok(key(4))).unwrap();
    let lock = other.lock().unwrap();
    let mut appender = Appender::open(&lock, key(4).verifier()).unwrap();
    for i in 0..9 {
        appender.append(&head(i + 100), &key(4)).unwrap();
    }
    for epoch in 1..4 {
        let note = std::fs::read(dir.path().join(epoch_file(epoch))).unwrap();
        other.folder().put(&epoch_file(epoch), &note, PUBLIC).unwrap();
    }
    let keys = other.keys(key(1).verifier().clone()).unwrap();
    assert!(matches!(other.checkpoint(&keys), Err(LogError::Fork { size: 3, .. })));
}
