//! A real journal, edited in every small way and ten thousand others: each edit is reported, in bounded time and memory.
//!
//! The journal is a writer's, with two segments, blobs, private values and a recovered line; its head is known.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::{call, log, one_of_each, open_dir, segment};
use serde_json::json;
use stockade_journal::{Options, Outcome, Reader, Record, Writer, recover, verify_to};
use tempfile::TempDir;

const EDITS: u32 = 10_000;
/// More than the reader's buffers and one line take.
const MEMORY: u64 = 64 * 1024 * 1024;
/// Of one check of a journal of some kilobytes.
const TIME: Duration = Duration::from_secs(2);

struct Journal {
    dir: TempDir,
    seq: u64,
    head: String,
    /// Its segments as they are.
    good: Vec<(PathBuf, Vec<u8>)>,
}

fn real(salt: u8) -> Journal {
    let shm = Path::new("/dev/shm");
    let dir = if shm.is_dir() { TempDir::new_in(shm).unwrap() } else { TempDir::new().unwrap() };
    let mut writer = Writer::create_with(open_dir(dir.path()), Options { segment_bytes: 2000 }).unwrap();
    for record in &one_of_each()[..5] {
        writer.append(record.clone()).unwrap();
    }
    let result = |id, body| Record::Result(Outcome { id, status: "ok".into(), body, micros: 5 });
    let blob = writer.payload(json!(char::from(salt).to_string().repeat(17_000))).unwrap();
    writer.append(result(2, blob)).unwrap();
    let private = writer.private(json!({"password": "swordfish"}), [salt; 32]).unwrap();
    writer.append(result(3, private)).unwrap();
    writer.append(call(4, json!({"path": "a", "salt": salt}))).unwrap();
    writer.append(log("torn")).unwrap();
    writer.commit().unwrap();
    drop(writer);
    let last = segment(dir.path(), 2);
    let text = fs::read(&last).unwrap();
    fs::write(&last, &text[..text.len() - 3]).unwrap();
    let mut writer = recover(open_dir(dir.path())).unwrap().writer;
    writer.append(one_of_each()[5].clone()).unwrap();
    writer.commit().unwrap();
    let (seq, head) = writer.head();
    drop(writer);
    let verified = verify_to(dir.path(), seq, &head).unwrap();
    assert_eq!((verified.segments, verified.blobs, verified.private), (2, 2, 1));
    let good = [1, 2].map(|n| segment(dir.path(), n)).map(|path| (path.clone(), fs::read(path).unwrap())).into();
    Journal { dir, seq, head, good }
}

impl Journal {
    /// Puts `bad` in a segment's place, and sees that it is reported.
    fn try_with(&self, which: usize, bad: &[u8], what: &dyn Fn() -> String) {
        let (path, good) = &self.good[which];
        assert_ne!(bad, good, "{}", what());
        fs::write(path, bad).unwrap();
        let begun = Instant::now();
        let error = verify_to(self.dir.path(), self.seq, &self.head).expect_err(&what()).to_string();
        assert!(begun.elapsed() < TIME, "{}: {:?}", what(), begun.elapsed());
        assert!(error.len() < 1000, "{}: {error}", what());
        // Whoever reads on in spite of it neither panics nor goes on without end.
        assert!(Reader::open(self.dir.path()).map_or(0, |reader| reader.take(1000).count()) < 1000);
        fs::write(path, good).unwrap();
    }
}

/// Bytes of memory that this process has had at most.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn each_truncation() {
    let journal = real(1);
    for (which, (_, good)) in journal.good.iter().enumerate() {
        for end in 0..good.len() {
            journal.try_with(which, &good[..end], &|| format!("segment {which} cut to {end}"));
        }
    }
    for (path, good) in &journal.good {
        fs::remove_file(path).unwrap();
        verify_to(journal.dir.path(), journal.seq, &journal.head).expect_err("a segment is missing");
        fs::write(path, good).unwrap();
    }
}

#[test]
fn each_bit_of_the_first_and_last_512_bytes() {
    let journal = real(2);
    for (which, (_, good)) in journal.good.iter().enumerate() {
        for index in (0..512).chain(good.len() - 512..good.len()) {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[index] ^= 1 << bit;
                journal.try_with(which, &bad, &|| format!("segment {which}, byte {index}, bit {bit}"));
            }
        }
    }
    for store in ["blobs", "private"] {
        for path in fs::read_dir(journal.dir.path().join(store)).unwrap().map(|e| e.unwrap().path()) {
            let good = fs::read(&path).unwrap();
            for index in (0..good.len().min(512)).chain(good.len().saturating_sub(512)..good.len()) {
                let mut bad = good.clone();
                bad[index] ^= 1;
                fs::write(&path, &bad).unwrap();
                verify_to(journal.dir.path(), journal.seq, &journal.head).expect_err("a changed file");
            }
            fs::write(&path, good).unwrap();
        }
    }
}

/// xorshift64*: the same edits each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % n
    }
}

/// One edit, and its name.
fn edit(dice: &mut Dice, good: &[u8], other: &[u8]) -> (&'static str, Vec<u8>) {
    let mut lines: Vec<Vec<u8>> = good.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
    let foreign: Vec<&[u8]> = other.split_inclusive(|b| *b == b'\n').collect();
    let (at, count) = (dice.below(good.len()), lines.len());
    let mut bad = good.to_vec();
    let kind = dice.below(10);
    let name = match kind {
        0 => {
            bad[at] ^= 1 << dice.below(8);
            "flip"
        }
        1 => {
            let byte = [b'0', b' ', b'\n', b'"', 0, 0xff][dice.below(6)];
            bad.insert(at, byte);
            "insert"
        }
        2 => {
            let end = (at + 1 + dice.below(40)).min(bad.len());
            bad.drain(at..end);
            "delete"
        }
        3 => {
            let from = dice.below(good.len());
            let piece = good[from..(from + 1 + dice.below(60)).min(good.len())].to_vec();
            bad.splice(at..at, piece);
            "copy"
        }
        4 => {
            let piece: Vec<u8> = (0..1 + dice.below(300)).map(|_| u8::try_from(dice.below(256)).unwrap()).collect();
            bad.splice(at..at, piece);
            "noise"
        }
        _ => {
            let (a, b) = (dice.below(count), dice.below(count));
            let name = match kind {
                5 => {
                    lines.swap(a, b);
                    "swap lines"
                }
                6 => {
                    lines.insert(b, lines[a].clone());
                    "duplicate a line"
                }
                7 => {
                    lines.remove(a);
                    "delete a line"
                }
                8 => {
                    lines[a] = foreign[dice.below(foreign.len())].to_vec();
                    "splice a line of another run"
                }
                _ => {
                    lines.truncate(a);
                    lines.extend(foreign.iter().skip(a).map(|line| line.to_vec()));
                    "splice the end of another run"
                }
            };
            bad = lines.concat();
            name
        }
    };
    (name, bad)
}

#[test]
fn ten_thousand_random_edits() {
    let (journal, other) = (real(3), real(4));
    let mut dice = Dice(0x5eed_0f57_0c4a_de00);
    let (mut tried, mut kinds) = (0, std::collections::BTreeMap::<_, u32>::new());
    while tried < EDITS {
        let which = dice.below(2);
        let (name, bad) = edit(&mut dice, &journal.good[which].1, &other.good[which].1);
        if bad == journal.good[which].1 {
            continue;
        }
        journal.try_with(which, &bad, &|| format!("{name}, edit {tried}, segment {which}"));
        tried += 1;
        *kinds.entry(name).or_default() += 1;
    }
    println!("{kinds:?}; {} MiB at most", peak() >> 20);
    assert_eq!(kinds.len(), 10);
    verify_to(journal.dir.path(), journal.seq, &journal.head).unwrap();
    // The segments of another run, whole.
    for (which, (_, bad)) in other.good.iter().enumerate() {
        journal.try_with(which, bad, &|| format!("segment {which} of another run"));
    }
    assert!(peak() < MEMORY, "{} bytes", peak());
}

#[test]
fn endless_input_takes_no_memory() {
    let journal = real(5);
    let (path, good) = &journal.good[1];
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    // Sparse: a terabyte of zeros after the last line.
    file.set_len(1 << 40).unwrap();
    let begun = Instant::now();
    verify_to(journal.dir.path(), journal.seq, &journal.head).expect_err("zeros are no line");
    fs::write(path, good).unwrap();
    let blob = fs::read_dir(journal.dir.path().join("blobs")).unwrap().next().unwrap().unwrap().path();
    fs::OpenOptions::new().write(true).open(blob).unwrap().set_len(1 << 40).unwrap();
    verify_to(journal.dir.path(), journal.seq, &journal.head).expect_err("a blob of another size");
    assert!(begun.elapsed() < TIME);
    assert!(peak() < MEMORY, "{} bytes", peak());
}
