//! A write that was cut short, at every byte, and what recovery makes of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use common::{entries, journal, log, one_of_each, open_dir, segment};
use stockade_journal::{Cut, JournalError, ReadError, Record, Writer, recover, verify, verify_to};

#[test]
fn a_tail_torn_at_any_byte_is_cut_kept_and_recorded() {
    let (dir, ..) = journal(one_of_each());
    let path = segment(dir.path(), 1);
    let whole = std::fs::read(&path).unwrap();
    let body = whole[..whole.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
    let blobs = dir.path().join("blobs");
    for end in body..whole.len() {
        std::fs::write(&path, &whole[..end]).unwrap();
        let tail = &whole[body..end];
        if tail.is_empty() {
            verify(dir.path()).unwrap();
        } else {
            assert!(matches!(verify(dir.path()), Err(ReadError::Torn { at, offset, bytes })
                if at.line == 6 && offset == body as u64 && bytes == tail.len() as u64));
        }
        let mut recovered = recover(open_dir(dir.path())).unwrap();
        let mut expected: Vec<_> = one_of_each()[..5].to_vec();
        match recovered.cut {
            None => assert!(tail.is_empty()),
            Some(Cut { bytes, sha256 }) => {
                assert_eq!(bytes, tail.len() as u64);
                assert_eq!(std::fs::read(blobs.join(&sha256)).unwrap(), tail);
                expected.push(Record::Recovered { cut_bytes: bytes, cut_sha256: sha256 });
            }
        }
        recovered.writer.append(log("on we go")).unwrap();
        recovered.writer.commit().unwrap();
        expected.push(log("on we go"));
        let (seq, head) = recovered.writer.head();
        verify_to(dir.path(), seq, &head).unwrap();
        assert_eq!(entries(dir.path()).into_iter().map(|e| e.record).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_whole_journal_is_taken_up_as_it_is() {
    let (dir, seq, head) = journal(one_of_each());
    let recovered = recover(open_dir(dir.path())).unwrap();
    assert_eq!(recovered.cut, None);
    assert_eq!(recovered.writer.head(), (seq, head));
}

#[test]
fn a_crash_right_after_a_segment_began_is_taken_up() {
    let (dir, seq, _) = journal(one_of_each());
    std::fs::write(segment(dir.path(), 2), "").unwrap();
    let mut recovered = recover(open_dir(dir.path())).unwrap();
    recovered.writer.append(log("first of the second")).unwrap();
    assert!(std::fs::metadata(segment(dir.path(), 2)).unwrap().len() > 0);
    assert_eq!(verify(dir.path()).unwrap().records, seq + 1);
}

#[test]
fn a_crash_before_the_first_record_is_taken_up() {
    let dir = tempfile::tempdir().unwrap();
    drop(Writer::create(open_dir(dir.path())).unwrap());
    assert_eq!(recover(open_dir(dir.path())).unwrap().writer.head().0, 0);
    std::fs::write(segment(dir.path(), 1), "{\"seq\":1").unwrap();
    assert_eq!(recover(open_dir(dir.path())).unwrap().writer.head().0, 1);
    verify(dir.path()).unwrap();
}

#[test]
fn a_half_written_blob_is_removed() {
    let (dir, ..) = journal(one_of_each());
    let half = dir.path().join("blobs/.tmp");
    std::fs::write(&half, "half").unwrap();
    recover(open_dir(dir.path())).unwrap();
    assert!(!half.exists());
}

#[test]
fn damage_that_is_no_tear_is_refused_and_nothing_is_changed() {
    let (dir, ..) = journal(one_of_each());
    let path = segment(dir.path(), 1);
    let whole = std::fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    // With a torn tail too: the damage comes first.
    flipped.pop();
    let mut long_tail = whole.clone();
    long_tail.resize(whole.len() + 70_000, 0);
    let mut garbage_line = whole.clone();
    garbage_line.extend(b"\0\0\0\0\n");
    for bad in [flipped, long_tail, garbage_line] {
        std::fs::write(&path, &bad).unwrap();
        assert!(matches!(recover(open_dir(dir.path())), Err(JournalError::Damaged(_))));
        assert_eq!(std::fs::read(&path).unwrap(), bad);
    }
    // Torn, but not at the end.
    std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    std::fs::write(segment(dir.path(), 2), "").unwrap();
    assert!(matches!(recover(open_dir(dir.path())), Err(JournalError::Damaged(ReadError::Torn { .. }))));
}
