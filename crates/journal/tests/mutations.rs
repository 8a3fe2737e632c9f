//! Every bit of a small journal flipped, every length it can be cut to: all are reported.
//!
//! Each line is held by the hash in the next, and by its one canonical form. The last line is
//! held by the head that the writer gave: without it a flip there either breaks the form or, at
//! best, changes what the record says, never how the same is said.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use common::{entries, journal, one_of_each, open_dir, segment};
use stockade_journal::{ReadError, recover, verify, verify_to};

fn writable(path: &Path) -> File {
    OpenOptions::new().write(true).open(path).unwrap()
}

#[test]
fn every_flipped_bit_is_reported() {
    let (dir, ..) = journal(one_of_each());
    let path = segment(dir.path(), 1);
    // With a recovered record and its blob.
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    let (seq, head) = recover(open_dir(dir.path())).unwrap().writer.head();
    verify_to(dir.path(), seq, &head).unwrap();

    let good = std::fs::read(&path).unwrap();
    let file = writable(&path);
    let last = good[..good.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
    let records = entries(dir.path());
    let mut silent = 0;
    for index in 0..good.len() {
        for bit in 0..8 {
            // In place: rewriting the whole file flushes it.
            file.write_all_at(&[good[index] ^ 1 << bit], index as u64).unwrap();
            let line = good[..index].iter().filter(|b| **b == b'\n').count() as u64 + 1;
            let error = verify_to(dir.path(), seq, &head).expect_err("a flip was not seen");
            let place = error.to_string();
            // At the line, or at the next one whose `prev` does not fit.
            assert!(
                [line, line + 1].iter().any(|n| place.starts_with(&format!("00000001.jsonl:{n}: "))),
                "line {line}: {place}"
            );
            if verify(dir.path()).is_ok() {
                assert!(index >= last, "a flip in line {line} needs a head to be seen");
                assert_ne!(entries(dir.path()), records, "the same record in other bytes");
                silent += 1;
            }
        }
        file.write_all_at(&good[index..=index], index as u64).unwrap();
    }
    // What only a head shows: the time, and the digits of the count; the digest has its blob.
    assert!(silent < 40 * 8, "{silent}");

    verify_to(dir.path(), seq, &head).unwrap();
    let blob = std::fs::read_dir(dir.path().join("blobs")).unwrap().next().unwrap().unwrap().path();
    let content = std::fs::read(&blob).unwrap();
    let file = writable(&blob);
    for index in 0..content.len() {
        for bit in 0..8 {
            file.write_all_at(&[content[index] ^ 1 << bit], index as u64).unwrap();
            assert!(matches!(verify(dir.path()), Err(ReadError::Blob { .. })));
        }
        file.write_all_at(&content[index..=index], index as u64).unwrap();
    }
}

#[test]
fn every_shorter_journal_is_reported() {
    let (dir, seq, head) = journal(one_of_each());
    let path = segment(dir.path(), 1);
    let good = std::fs::read(&path).unwrap();
    let file = writable(&path);
    for end in (0..good.len()).rev() {
        file.set_len(end as u64).unwrap();
        let error = verify_to(dir.path(), seq, &head).expect_err("a cut was not seen");
        let whole_lines = end == 0 || good[end - 1] == b'\n';
        match error {
            ReadError::NoRecord => assert_eq!(end, 0),
            ReadError::Rollback { expected: 6, found } => assert!(whole_lines && found < 6),
            ReadError::Torn { .. } => assert!(!whole_lines),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_head_of_an_earlier_record_still_holds_later() {
    let (dir, ..) = journal(one_of_each());
    let records = entries(dir.path());
    // The head after record 3 is what record 4 has as `prev`.
    verify_to(dir.path(), 3, &records[3].prev).unwrap();
    assert!(matches!(verify_to(dir.path(), 2, &records[3].prev), Err(ReadError::Head { at, .. }) if at.line == 2));
    assert!(matches!(verify_to(dir.path(), 9, &records[3].prev), Err(ReadError::Rollback { expected: 9, found: 6 })));
}
