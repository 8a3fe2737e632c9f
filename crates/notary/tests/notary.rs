//! Real notaries, as root: what they sign, what they refuse, and that killing them loses nothing.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use stockade_journal::note::{Checkpoint, VerifierKey};
use stockade_journal::tiles::{Folder, HostLog, RunHead};
use stockade_journal::tree::{Frontier, Hash, leaf_hash, verify_inclusion};
use stockade_notary::NOTARY_ID;
use stockade_notary::client::{ClientError, Notary, Place};
use stockade_wire::notary::{FromNotary, Refusal};

const PROGRAM: &str = env!("CARGO_BIN_EXE_stockade-notary");

/// A state folder, if the test can run.
fn place(test: &str) -> Option<(tempfile::TempDir, Place)> {
    if !nix::unistd::geteuid().is_root() {
        println!("SKIPPED {test}: it starts notaries, which takes root");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    // The notary passes through it with its own uid.
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let place = Place::of(dir.path());
    Some((dir, place))
}

fn start(place: &Place) -> Notary {
    Notary::start(Path::new(PROGRAM), place).unwrap()
}

fn leaves(run: &str, from: u64, to: u64) -> Vec<Hash> {
    (from..=to).map(|line| leaf_hash(format!("{run}:{line}").as_bytes())).collect()
}

fn root(run: &str, size: u64) -> Hash {
    let mut frontier = Frontier::new();
    leaves(run, 1, size).into_iter().for_each(|leaf| frontier.push(leaf).unwrap());
    frontier.root()
}

fn log(place: &Place) -> HostLog {
    HostLog::open(Folder::open(&place.folder).unwrap()).unwrap()
}

/// Opens an answer as a verifier would, by the first key and nothing else.
fn check(place: &Place, run: &str, signed: &FromNotary) -> (u64, u64) {
    let FromNotary::Signed { size, checkpoint, index, leaf, host } = signed else { panic!("{signed:?}") };
    let log = log(place);
    let keys = log.keys(log.first_key().unwrap()).unwrap();
    let (head, _, _) = keys.open(checkpoint.as_bytes(), &log.run_origin(run)).unwrap();
    assert_eq!((head.size, head.root), (*size, root(run, *size)));
    let (host, _, _) = keys.open(host.as_bytes(), log.origin()).unwrap();
    let proof = log.prove_inclusion(*index, host.size).unwrap();
    verify_inclusion(&leaf_hash(leaf.as_bytes()), *index, host.size, &host.root, &proof).unwrap();
    let entry = RunHead::from_leaf(leaf.as_bytes()).unwrap();
    assert_eq!((entry.run.as_str(), entry.size, entry.root), (run, head.size, head.root));
    (*size, *index)
}

fn refused<T: std::fmt::Debug>(result: Result<T, ClientError>) -> Refusal {
    match result {
        Err(ClientError::Refused { code, .. }) => code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn signs_resumes_and_refuses() {
    let Some((_dir, place)) = place("signs_resumes_and_refuses") else { return };
    let mut notary = start(&place);
    let begun = notary.begin("r-1").unwrap();
    assert_eq!(begun.size, 0);
    notary.append(1, &leaves("r-1", 1, 3000)).unwrap();
    assert_eq!(check(&place, "r-1", &notary.head().unwrap()), (3000, 0));
    notary.append(3001, &leaves("r-1", 3001, 3001)).unwrap();
    notary.send_head().unwrap();
    assert_eq!(check(&place, "r-1", &notary.wait().unwrap()), (3001, 1));
    drop(notary);

    let mut notary = start(&place);
    let begun = notary.resume("r-1", 3005).unwrap();
    assert_eq!((begun.size, begun.root), (3001, root("r-1", 3001)));
    notary.append(3002, &leaves("r-1", 3002, 3005)).unwrap();
    assert_eq!(check(&place, "r-1", &notary.head().unwrap()), (3005, 2));
    drop(notary);

    assert_eq!(refused(start(&place).resume("r-1", 3004)), Refusal::Rollback);
    assert_eq!(refused(start(&place).resume("r-2", 9)), Refusal::Run);
    assert_eq!(refused(start(&place).begin("r-1")), Refusal::Run);
    assert_eq!(refused(start(&place).begin("../r")), Refusal::Run);
    assert_eq!(refused(start(&place).init(Some("other"))), Refusal::Protocol);
    assert_eq!(refused(start(&place).head()), Refusal::Protocol);
    let mut gap = start(&place);
    gap.resume("r-1", 3005).unwrap();
    gap.append(3007, &leaves("r-1", 3007, 3007)).unwrap();
    assert_eq!(refused(gap.head()), Refusal::Protocol);

    // Key and runs are the notary's alone; the rest is for everybody.
    use std::os::unix::fs::MetadataExt as _;
    for (file, mode) in [("key", 0o600), ("checkpoint", 0o644), ("runs/r-1", 0o600), ("epochs/first", 0o644)] {
        let meta = std::fs::metadata(place.folder.join(file)).unwrap();
        assert_eq!((meta.uid(), meta.mode() & 0o777), (NOTARY_ID, mode), "{file}");
    }
}

#[test]
fn is_shut_in() {
    let Some((_dir, place)) = place("is_shut_in") else { return };
    let mut notary = start(&place);
    notary.begin("r-1").unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", notary.pid())).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let id = NOTARY_ID.to_string();
    assert_eq!(field("Uid"), vec![id.clone(); 4]);
    assert_eq!(field("Gid"), vec![id; 4]);
    assert!(field("Groups").is_empty());
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(field(set), ["0000000000000000"], "{set}");
    }
    assert_eq!(field("NoNewPrivs"), ["1"]);
    assert_eq!(field("Seccomp"), ["2"]);
    assert_eq!(field("Threads"), ["1"]);
    // Not dumpable: its files in /proc are root's.
    use std::os::unix::fs::MetadataExt as _;
    assert_eq!(std::fs::metadata(format!("/proc/{}/environ", notary.pid())).unwrap().uid(), 0);
    assert_eq!(std::fs::read(format!("/proc/{}/environ", notary.pid())).unwrap(), b"");
    let fds = std::fs::read_dir(format!("/proc/{}/fd", notary.pid())).unwrap().count();
    assert!(fds <= 6, "socket, stdout, stderr, its folder, a lock: {fds}");
}

#[test]
fn an_epoch_ends_and_its_key_is_gone() {
    let Some((_dir, place)) = place("an_epoch_ends_and_its_key_is_gone") else { return };
    let mut first = start(&place);
    first.begin("r-1").unwrap();
    first.append(1, &leaves("r-1", 1, 5)).unwrap();
    let early = first.head().unwrap();
    let old = std::fs::read_to_string(place.folder.join("key")).unwrap();
    let (ended, key) = start(&place).rotate().unwrap();
    assert_eq!(ended, 1);
    let new = std::fs::read_to_string(place.folder.join("key")).unwrap();
    assert_ne!(old, new);
    assert!(!place.folder.join("key.next").exists());
    // The other notary goes on, under the new key.
    first.append(6, &leaves("r-1", 6, 6)).unwrap();
    let late = first.head().unwrap();
    check(&place, "r-1", &early);
    check(&place, "r-1", &late);
    let FromNotary::Signed { host, .. } = &late else { panic!() };
    let key: VerifierKey = key.parse().unwrap();
    Checkpoint::open(host.as_bytes(), &key, log(&place).origin()).unwrap();
    assert_eq!(start(&place).rotate().unwrap().0, 2);
    let log = log(&place);
    for first in [log.first_key().unwrap(), key] {
        let keys = log.keys(first).unwrap();
        assert_eq!(log.checkpoint(&keys).unwrap().0.size, 2);
    }
}

#[test]
fn an_epoch_ends_by_its_age() {
    let Some((_dir, place)) = place("an_epoch_ends_by_its_age") else { return };
    let mut notary = start(&place);
    notary.begin("r-1").unwrap();
    notary.append(1, &leaves("r-1", 1, 1)).unwrap();
    notary.head().unwrap();
    let path = place.folder.join("key");
    let young = std::fs::read_to_string(&path).unwrap();
    let (key, since) = young.trim_end().split_once("\nsince ").unwrap();
    let since = stockade_journal::parse_time(since).unwrap();
    let begun = |hours: i64| stockade_journal::format_time(since - hours * 3_600_000_000).unwrap();
    for (line, hours, ended) in [(2, 23, false), (3, 25, true)] {
        std::fs::write(&path, format!("{key}\nsince {}\n", begun(hours))).unwrap();
        notary.append(line, &leaves("r-1", line, line)).unwrap();
        check(&place, "r-1", &notary.head().unwrap());
        assert_eq!(!std::fs::read_to_string(&path).unwrap().contains(key), ended, "after {hours} hours");
    }
}

#[test]
fn a_killed_epoch_end_is_finished() {
    let Some((_dir, place)) = place("a_killed_epoch_end_is_finished") else { return };
    start(&place).begin("r-1").unwrap();
    let path = |file: &str| place.folder.join(file);
    let (key, checkpoint) = (std::fs::read(path("key")).unwrap(), std::fs::read(path("checkpoint")).unwrap());
    start(&place).rotate().unwrap();
    let next = std::fs::read(path("key")).unwrap();
    let own = |file: &str, bytes: &[u8]| {
        std::fs::write(path(file), bytes).unwrap();
        std::os::unix::fs::chown(path(file), Some(NOTARY_ID), Some(NOTARY_ID)).unwrap();
    };
    // Killed after the note in epochs/: the old key and head are still there.
    own("key", &key);
    own("key.next", &next);
    own("checkpoint", &checkpoint);
    // Who reads it before the next notary comes finds the epoch's last head, and no other by its key.
    let keys = log(&place).keys(log(&place).first_key().unwrap()).unwrap();
    assert_eq!(keys.ended().len(), 1);
    assert_eq!(log(&place).checkpoint(&keys).unwrap().0.size, 0);
    start(&place).begin("r-2").unwrap();
    assert!(!path("key.next").exists());
    assert_ne!(std::fs::read(path("key")).unwrap(), key);
    // Killed between the two keys: none is in place.
    own("key.next", &next);
    std::fs::remove_file(path("key")).unwrap();
    start(&place).begin("r-3").unwrap();
    // Killed before the note: the next key was never named, and goes.
    let now = std::fs::read(path("key")).unwrap();
    own("key.next", &key);
    start(&place).begin("r-4").unwrap();
    assert_eq!(std::fs::read(path("key")).unwrap(), now);
    assert!(!path("key.next").exists());
    // Without a key nothing is signed.
    std::fs::remove_file(path("key")).unwrap();
    assert_eq!(refused(start(&place).begin("r-5")), Refusal::Key);
}

#[test]
fn what_a_witness_remembers_is_held_against_the_log() {
    let Some((_dir, place)) = place("what_a_witness_remembers_is_held_against_the_log") else { return };
    let mut notary = start(&place);
    notary.begin("r-1").unwrap();
    notary.head().unwrap();
    let saved = _dir.path().join("saved");
    let copy = |from: &Path, to: &Path| {
        assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
    };
    copy(&place.folder, &saved);
    let FromNotary::Signed { host, .. } = notary.head().unwrap() else { panic!() };
    drop(notary);
    std::fs::create_dir(&place.cosigned).unwrap();
    std::fs::write(place.cosigned.join("w1"), &host).unwrap();
    start(&place).begin("r-2").unwrap();
    // The host's log is put back to what it was: the witness has seen more.
    std::fs::remove_dir_all(&place.folder).unwrap();
    copy(&saved, &place.folder);
    assert_eq!(refused(start(&place).begin("r-3")), Refusal::Rollback);
    std::fs::remove_dir_all(&place.cosigned).unwrap();
    // Another leaf in its place: the witness has seen another log.
    let mut notary = start(&place);
    notary.begin("r-3").unwrap();
    notary.head().unwrap();
    drop(notary);
    std::fs::create_dir(&place.cosigned).unwrap();
    std::fs::write(place.cosigned.join("w1"), &host).unwrap();
    assert_eq!(refused(start(&place).begin("r-4")), Refusal::Fork);
}

/// Two runs sign as fast as they can while their notaries are killed at whatever point they are.
#[test]
fn killing_loses_no_head_and_forks_nothing() {
    let Some((_dir, place)) = place("killing_loses_no_head_and_forks_nothing") else { return };
    start(&place).init(Some("host.example/kill")).unwrap();
    let kills: u32 = std::env::var("STOCKADE_NOTARY_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    let heads: Vec<_> = std::thread::scope(|scope| {
        let runs = ["r-a", "r-b"].map(|run| {
            let place = &place;
            scope.spawn(move || life(place, run, kills))
        });
        runs.into_iter().flat_map(|run| run.join().unwrap()).collect()
    });
    println!("{} heads were acknowledged over {} kills", heads.len(), 2 * kills);
    let log = log(&place);
    let keys = log.keys(log.first_key().unwrap()).unwrap();
    let (now, _) = log.checkpoint(&keys).unwrap();
    let mut entries = Vec::new();
    log.heads(&now, |_, head| entries.push(head)).unwrap();
    // No acknowledged head is lost, nor another tree of its size signed.
    let mut signed: HashMap<u64, Hash> = HashMap::new();
    for (run, answer) in &heads {
        let (size, index) = check(&place, run, answer);
        let entry = &entries[usize::try_from(index).unwrap()];
        assert_eq!((entry.run.as_str(), entry.size), (*run, size));
        let FromNotary::Signed { host, .. } = answer else { panic!() };
        let (host, _, _) = keys.open(host.as_bytes(), log.origin()).unwrap();
        log.extends("an acknowledged head", host.size, &host.root, &now).unwrap();
        assert!(signed.insert(host.size, host.root).is_none_or(|before| before == host.root));
    }
    // Each run only grew.
    for run in ["r-a", "r-b"] {
        let sizes: Vec<_> = entries.iter().filter(|head| head.run == run).map(|head| head.size).collect();
        assert!(sizes.is_sorted(), "{run}: {sizes:?}");
    }
    assert!(heads.len() > 2, "hardly anything was signed");
}

/// A run: appends, asks for heads, and its notary is killed after a random time, again and again.
fn life(place: &Place, run: &'static str, kills: u32) -> Vec<(&'static str, FromNotary)> {
    let mut heads = Vec::new();
    let mut lines = 0;
    let mut chance = run.len() as u64 + u64::from(run.as_bytes()[2]);
    for round in 0..kills {
        let mut notary = start(place);
        let begun = if round == 0 { notary.begin(run) } else { notary.resume(run, lines) }.unwrap();
        assert!(begun.size <= lines);
        assert_eq!(begun.root, root(run, begun.size));
        notary.append(begun.size + 1, &leaves(run, begun.size + 1, lines)).unwrap();
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let pid = nix::unistd::Pid::from_raw(i32::try_from(notary.pid()).unwrap());
        let after = Duration::from_micros(chance >> 33 & 0x7fff);
        // POLL: the kill is what happens at a random time; nothing is waited for.
        let killer = std::thread::spawn(move || {
            std::thread::sleep(after);
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        });
        loop {
            lines += 1;
            let told = notary.append(lines, &leaves(run, lines, lines)).and_then(|()| notary.head());
            match told {
                Ok(signed) => heads.push((run, signed)),
                Err(ClientError::Gone) => break,
                Err(other) => panic!("{other}"),
            }
        }
        killer.join().unwrap();
    }
    heads
}
