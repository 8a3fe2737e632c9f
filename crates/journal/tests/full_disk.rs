//! A full disk and a file size limit: what was not written is not acknowledged, and what was
//! acknowledged stays.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use common::{entries, log, open_dir};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use serde_json::json;
use stockade_journal::{JournalError, Receipt, Writer, recover, verify, verify_to};

/// Appends and commits until it fails; gives the receipts of what was acknowledged, and the error.
fn fill(writer: &mut Writer, message: &str) -> (Vec<Receipt>, JournalError) {
    let mut receipts = Vec::new();
    loop {
        match writer.append(log(message)).and_then(|receipt| writer.commit().map(|()| receipt)) {
            Ok(receipt) => receipts.push(receipt),
            Err(error) => return (receipts, error),
        }
        assert!(receipts.len() < 100_000);
    }
}

fn refuses_everything(writer: &mut Writer, head: &(u64, String)) {
    assert!(matches!(writer.append(log("x")), Err(JournalError::Poisoned { .. })));
    assert!(matches!(writer.commit(), Err(JournalError::Poisoned { .. })));
    assert!(matches!(writer.payload(json!(1)), Err(JournalError::Poisoned { .. })));
    assert_eq!(writer.head(), *head);
}

fn acknowledged_is_kept(dir: &Path, receipts: &[Receipt]) {
    let read = entries(dir);
    assert!(read.len() >= receipts.len());
    let hex = |hash: [u8; 32]| hash.iter().map(|b| format!("{b:02x}")).collect::<String>();
    for receipt in receipts {
        verify_to(dir, receipt.seq, &hex(receipt.hash)).unwrap();
    }
}

/// The tmpfs is mounted in a mount namespace of this thread alone. Needs root, as all of Stockade does.
fn tmpfs(size: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    unshare(CloneFlags::CLONE_NEWNS).expect("run as root: a private mount namespace is needed");
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
    let options = format!("size={size},mode=0700");
    mount(Some("tmpfs"), dir.path(), Some("tmpfs"), MsFlags::empty(), Some(options.as_str())).unwrap();
    dir
}

#[test]
fn lines_on_a_full_disk() {
    let dir = tmpfs("256k");
    let ballast = dir.path().join("ballast");
    std::fs::write(&ballast, vec![0; 32 * 1024]).unwrap();
    let journal = dir.path().join("journal");
    std::fs::create_dir(&journal).unwrap();
    let mut writer = Writer::create(open_dir(&journal)).unwrap();
    writer.keep_free(20_000);
    let (mut receipts, error) = fill(&mut writer, &"x".repeat(9000));
    assert!(matches!(error, JournalError::NoSpace { errno: Errno::ENOSPC, .. }), "{error}");
    assert!(error.to_string().contains("00000001.jsonl: disk full ("), "{error}");
    assert!(receipts.len() > 10);
    verify(&journal).unwrap();
    // What was kept is there for the last records, and for no more than them.
    writer.keep_free(0);
    let (last, error) = fill(&mut writer, &"y".repeat(9000));
    assert!((2..=3).contains(&last.len()), "{error}");
    receipts.extend(last);
    // A journal that is told of room goes on.
    std::fs::remove_file(&ballast).unwrap();
    writer.append(log("there is room again")).unwrap();
    writer.commit().unwrap();
    drop(writer);
    verify(&journal).unwrap();
    acknowledged_is_kept(&journal, &receipts);
}

#[test]
fn blobs_on_a_full_disk() {
    let dir = tmpfs("256k");
    let mut writer = Writer::create(open_dir(dir.path())).unwrap();
    writer.append(log("before")).unwrap();
    writer.commit().unwrap();
    let head = writer.head();
    let error = writer.payload(json!("x".repeat(300_000))).unwrap_err();
    assert!(error.to_string().contains("blobs/.tmp: disk full ("), "{error}");
    // The half is gone, so the space is back, and the journal is whole and goes on.
    assert_eq!(std::fs::read_dir(dir.path().join("blobs")).unwrap().count(), 0);
    verify_to(dir.path(), head.0, &head.1).unwrap();
    writer.payload(json!("x".repeat(30_000))).unwrap();
    writer.append(log("after")).unwrap();
}

#[test]
fn what_was_reserved_is_given_back() {
    let dir = tmpfs("8m");
    let journal = dir.path().join("journal");
    std::fs::create_dir(&journal).unwrap();
    let blocks = || std::fs::metadata(journal.join("00000001.jsonl")).unwrap().blocks() * 512;
    let mut writer = Writer::create(open_dir(&journal)).unwrap();
    writer.append(log("x")).unwrap();
    assert!(blocks() >= 1 << 20, "{} bytes are reserved", blocks());
    writer.trim();
    assert!(blocks() <= 4096);
    writer.append(log("y")).unwrap();
    assert!(blocks() >= 1 << 20);
    drop(writer);
    // A writer that died could not; who takes it up does.
    drop(recover(open_dir(&journal)).unwrap());
    assert!(blocks() <= 4096);
    assert_eq!(verify(&journal).unwrap().records, 2);
}

/// RLIMIT_FSIZE makes write(2) give a short count, then EFBIG. It is the whole process's limit, so it is over what
/// the other tests here write.
#[test]
fn a_file_size_limit() {
    SigSet::from(Signal::SIGXFSZ).thread_block().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(open_dir(dir.path())).unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, 3_000_000, 3_000_000).unwrap();
    let (receipts, error) = fill(&mut writer, &"x".repeat(30_000));
    assert!(matches!(error, JournalError::Short { wrote, wanted, .. } if wrote < wanted), "{error}");
    let head = writer.head();
    refuses_everything(&mut writer, &head);
    drop(writer);
    let recovered = recover(open_dir(dir.path())).unwrap();
    assert!(recovered.cut.is_some());
    drop(recovered);
    verify(dir.path()).unwrap();
    acknowledged_is_kept(dir.path(), &receipts);
}
