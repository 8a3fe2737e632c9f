//! What is written is read again, in order, chained, over segments and blobs.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use common::{call, entries, journal, log, one_of_each, open_dir, segment, start};
use serde_json::json;
use stockade_journal::{
    JournalError, MAX_INLINE, Options, Payload, ReadError, Reader, Record, Writer, parse_time, verify, verify_to,
};

#[test]
fn records_come_back_as_they_were() {
    let (dir, seq, head) = journal(one_of_each());
    let read = entries(dir.path());
    assert_eq!(read.iter().map(|e| e.record.clone()).collect::<Vec<_>>(), one_of_each());
    assert_eq!(read.iter().map(|e| e.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    assert!(read.iter().all(|e| parse_time(&e.time).is_some()));
    assert_eq!(read[0].prev, "0".repeat(64));
    let verified = verify_to(dir.path(), seq, &head).unwrap();
    assert_eq!((verified.records, verified.head, verified.segments, verified.blobs), (6, head, 1, 0));
}

#[test]
fn lines_are_the_json_of_their_entries() {
    let (dir, ..) = journal(one_of_each());
    let text = std::fs::read_to_string(segment(dir.path(), 1)).unwrap();
    for (line, entry) in text.lines().zip(entries(dir.path())) {
        assert_eq!(line, serde_json::to_string(&entry).unwrap());
    }
    // Control characters never reach the file but as escapes.
    assert!(text.bytes().all(|b| b == b'\n' || b >= b' '));
}

#[test]
fn segments_roll_and_the_chain_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::create_with(open_dir(dir.path()), Options { segment_bytes: 1000 }).unwrap();
    for n in 0..50 {
        writer.append(log(&format!("line {n}"))).unwrap();
    }
    // Longer than a segment: gets one of its own.
    writer.append(log(&"x".repeat(5000))).unwrap();
    writer.append(log("after")).unwrap();
    writer.commit().unwrap();
    let verified = verify_to(dir.path(), 52, &writer.head().1).unwrap();
    assert!(verified.segments > 10, "{verified:?}");
    for number in 1..=verified.segments {
        let len = std::fs::metadata(segment(dir.path(), number)).unwrap().len();
        assert!(len > 0 && (len <= 1000 || number == verified.segments - 1), "segment {number}: {len}");
    }
    assert_eq!(entries(dir.path()).len(), 52);
}

#[test]
fn long_payloads_are_blobs_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(open_dir(dir.path())).unwrap();
    let long = json!({"content": "x".repeat(MAX_INLINE)});
    let text = serde_json::to_vec(&long).unwrap();
    let payload = writer.payload(long.clone()).unwrap();
    let Payload::Blob { sha256, size } = &payload else { panic!("{payload:?}") };
    assert_eq!(*size, text.len() as u64);
    assert_eq!(std::fs::read(dir.path().join("blobs").join(sha256)).unwrap(), text);
    assert_eq!(writer.payload(long.clone()).unwrap(), payload);
    // A caller that does not ask first gets the same.
    writer.append(call(1, long)).unwrap();
    let short = json!("x".repeat(MAX_INLINE - 2));
    assert_eq!(writer.payload(short.clone()).unwrap(), Payload::Inline(short));
    writer.commit().unwrap();
    assert_eq!(verify(dir.path()).unwrap().blobs, 1);
    assert_eq!(std::fs::read_dir(dir.path().join("blobs")).unwrap().count(), 1);
    let Record::Call(call) = &entries(dir.path())[0].record else { panic!() };
    assert_eq!(call.args, payload);
}

#[test]
fn a_directory_has_one_journal_and_one_writer() {
    let (dir, ..) = journal(vec![start()]);
    assert!(matches!(Writer::create(open_dir(dir.path())), Err(JournalError::Exists { .. })));
    let recovered = stockade_journal::recover(open_dir(dir.path())).unwrap();
    assert!(matches!(stockade_journal::recover(open_dir(dir.path())), Err(JournalError::Locked)));
    drop(recovered);
    stockade_journal::recover(open_dir(dir.path())).unwrap();
}

#[test]
fn an_old_blob_of_another_size_ends_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(open_dir(dir.path())).unwrap();
    let long = json!("x".repeat(MAX_INLINE));
    let Payload::Blob { sha256, .. } = writer.payload(long.clone()).unwrap() else { panic!() };
    std::fs::write(dir.path().join("blobs").join(&sha256), "short").unwrap();
    assert!(matches!(writer.payload(long), Err(JournalError::BlobSize { found: 5, .. })));
    assert!(matches!(writer.append(start()), Err(JournalError::Poisoned { .. })));
    assert!(matches!(writer.commit(), Err(JournalError::Poisoned { .. })));
}

#[test]
fn what_is_not_a_journal_is_named() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(verify(&dir.path().join("none")), Err(ReadError::Io { .. })));
    assert!(matches!(verify(dir.path()), Err(ReadError::NoSegment { path }) if path == dir.path().to_str().unwrap()));
    std::fs::write(segment(dir.path(), 2), "").unwrap();
    assert!(matches!(verify(dir.path()), Err(ReadError::MissingSegment { file }) if file == "00000001.jsonl"));
    std::fs::write(segment(dir.path(), 1), "").unwrap();
    assert!(matches!(verify(dir.path()), Err(ReadError::EmptySegment { file }) if file == "00000001.jsonl"));
    std::fs::remove_file(segment(dir.path(), 2)).unwrap();
    assert_eq!(verify(dir.path()), Err(ReadError::NoRecord));
    // A FIFO must not hold the reader.
    std::fs::remove_file(segment(dir.path(), 1)).unwrap();
    nix::unistd::mkfifo(&segment(dir.path(), 1), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(matches!(verify(dir.path()), Err(ReadError::Io { .. })));
    std::fs::remove_file(segment(dir.path(), 1)).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", segment(dir.path(), 1)).unwrap();
    assert!(matches!(verify(dir.path()), Err(ReadError::Io { .. })));
}

#[test]
fn forms_that_mean_the_same_are_refused() {
    let (dir, ..) = journal(one_of_each());
    let path = segment(dir.path(), 1);
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, last) = text.trim_end().rsplit_once('\n').unwrap();
    let head = head.to_owned() + "\n";
    for (from, to) in [
        ("{\"seq\":6,", "{ \"seq\":6,"),
        ("\"status\":null}", "\"status\":null,\"status\":null}"),
        ("{\"reason\":\"finished\",\"status\":null}", "{\"status\":null,\"reason\":\"finished\"}"),
        ("finished", "\\u0066inished"),
        ("\"seq\":6,", "\"seq\":6,\"more\":1,"),
        ("\"seq\":6,", "\"seq\":6.0,"),
    ] {
        let changed = last.replacen(from, to, 1);
        assert_ne!(changed, last);
        std::fs::write(&path, head.clone() + &changed + "\n").unwrap();
        let error = verify(dir.path()).unwrap_err();
        assert!(
            matches!(error, ReadError::NotCanonical { at, .. } | ReadError::Malformed { at, .. } if at.line == 6),
            "{to}: {error}"
        );
    }
    for (from, to, what) in [
        ("\"seq\":6,", "\"seq\":7,", "00000001.jsonl:6: seq is 7, expected 6"),
        ("Z\"", "+00:00\"", "is not RFC 3339 UTC"),
        ("\"prev\":\"", "\"prev\":\"0", "but the line before hashes to"),
    ] {
        std::fs::write(&path, head.clone() + &last.replacen(from, to, 1) + "\n").unwrap();
        let error = verify(dir.path()).unwrap_err().to_string();
        assert!(error.contains(what) && error.starts_with("00000001.jsonl:6: "), "{error}");
    }
    // Lines of another run, in another order, twice, or left out.
    let lines: Vec<_> = text.lines().collect();
    for order in [vec![0, 1, 3, 2], vec![0, 1, 1], vec![0, 2], vec![1], vec![0, 1, 2, 3, 5]] {
        let text: String = order.iter().map(|n| lines[*n].to_owned() + "\n").collect();
        std::fs::write(&path, text).unwrap();
        assert!(matches!(verify(dir.path()), Err(ReadError::Sequence { .. })), "{order:?}");
    }
}

#[test]
fn other_versions_are_refused() {
    let mut record = start();
    if let Record::Start(start) = &mut record {
        start.version = 3;
    }
    let (dir, ..) = journal(vec![record]);
    assert_eq!(
        verify(dir.path()).unwrap_err().to_string(),
        "00000001.jsonl:1: journal version 3, this program reads 2"
    );
    // Of a version whose fields are others, too.
    std::fs::write(segment(dir.path(), 1), "{\"seq\":1,\"type\":\"start\",\"version\":1,\"other\":[]}\n").unwrap();
    assert!(matches!(verify(dir.path()), Err(ReadError::Version { found: 1, .. })));
}

#[test]
fn a_line_over_the_bound_is_an_error_with_its_place_and_does_not_fill_memory() {
    let (dir, ..) = journal(vec![start()]);
    let path = segment(dir.path(), 1);
    let mut text = std::fs::read(&path).unwrap();
    text.resize(text.len() + 10_000_000, b'x');
    std::fs::write(&path, text).unwrap();
    let mut reader = Reader::open(dir.path()).unwrap();
    assert!(reader.read().unwrap().is_some());
    assert_eq!(reader.read().unwrap_err().to_string(), "00000001.jsonl:2: line over 65536 bytes");
    assert!(reader.read().unwrap().is_none());
}

#[test]
fn a_blob_that_is_missing_or_changed_is_found() {
    let (dir, ..) = journal(vec![start(), call(1, json!("x".repeat(MAX_INLINE)))]);
    let blob = std::fs::read_dir(dir.path().join("blobs")).unwrap().next().unwrap().unwrap().path();
    let good = std::fs::read(&blob).unwrap();
    for index in (0..good.len()).step_by(101) {
        let mut bad = good.clone();
        bad[index] ^= 1;
        std::fs::write(&blob, bad).unwrap();
        assert!(matches!(verify(dir.path()), Err(ReadError::Blob { at, .. }) if at.line == 2));
    }
    std::fs::write(&blob, &good[1..]).unwrap();
    assert!(verify(dir.path()).unwrap_err().to_string().contains("16385 bytes, expected 16386"));
    std::fs::remove_file(&blob).unwrap();
    assert!(verify(dir.path()).unwrap_err().to_string().ends_with(": missing"));
}
