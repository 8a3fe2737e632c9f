use std::fs;
use std::path::PathBuf;
use std::process::Output;

use serde_json::{Value, json};
use stockade_journal::note::{Checkpoint, SigningKey};
use stockade_journal::tree::Frontier;
use stockade_journal::{Reader, Record};

use crate::{Place, call, errors, exit, inline, result, text};

const HOST: &str = "stockade.example";

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(HOST, &[seed; 32]).unwrap()
}

/// A run with a blob, and its head signed by `key`.
fn place(signer: &SigningKey) -> Place {
    let place = Place::new();
    let mut writer = place.begin("r-1", "wasm");
    let long = writer.payload(json!("x".repeat(20_000))).unwrap();
    writer.append(call(1, "workspace.write", long, None)).unwrap();
    writer.append(result(1, "ok")).unwrap();
    writer.append(call(2, "clock", inline(json!({})), Some("policy"))).unwrap();
    writer.append(exit()).unwrap();
    drop(writer);
    sign(&place, "r-1", signer, u64::MAX);
    fs::write(place.path().join("runs/r-1/launch.json"), "{}\n").unwrap();
    place
}

/// Signs the first `most` records.
fn sign(place: &Place, run: &str, signer: &SigningKey, most: u64) {
    let mut reader = Reader::open(&place.journal(run)).unwrap();
    let mut tree = Frontier::new();
    while let Some(line) = reader.read().unwrap() {
        if tree.size() < most {
            tree.push(line.hash).unwrap();
        }
    }
    let origin = format!("{HOST}/run/{run}");
    let head = Checkpoint { origin, size: tree.size(), root: tree.root(), extensions: Vec::new() };
    fs::write(place.path().join("runs").join(run).join("checkpoint"), head.sign(signer).unwrap().to_string()).unwrap();
}

fn verify(place: &Place, what: &str, key: &SigningKey) -> Output {
    place.stockade(&["journal", "verify", what, "--key", &key.verifier().to_string()])
}

fn refused(output: &Output, words: &str) {
    assert_eq!(output.status.code(), Some(15), "{}{}", text(output), errors(output));
    assert!(errors(output).contains(words), "{} without {words}", errors(output));
}

/// Changes record 2 and chains all that follow anew: by itself the journal holds together.
fn rewrite(place: &Place, run: &str) {
    let entries: Vec<_> = Reader::open(&place.journal(run)).unwrap().map(Result::unwrap).collect();
    fs::remove_dir_all(place.journal(run)).unwrap();
    let mut writer = place.begin(run, "wasm");
    for entry in entries.into_iter().skip(1) {
        let record = match entry.record {
            Record::Call(call) => {
                Record::Call(stockade_journal::Call { tool: "clock".into(), args: inline(json!({})), ..call })
            }
            other => other,
        };
        writer.append(record).unwrap();
    }
}

#[test]
fn a_signed_journal_is_authenticated_by_its_key_alone() {
    let place = place(&key(1));
    let output = verify(&place, "last", &key(1));
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    assert!(text(&output).contains("signed: 5 records of stockade.example/run/r-1, by stockade.example+"));
    refused(&verify(&place, "last", &key(2)), "checkpoint:");
    let open = place.stockade(&["journal", "verify", "last"]);
    assert_eq!(open.status.code(), Some(0));
    assert!(text(&open).contains("nothing was authenticated"), "{}", text(&open));
    let file = place.path().join("host.vkey");
    fs::write(&file, format!("{}\n", key(1).verifier())).unwrap();
    let output = place.stockade(&["journal", "verify", "r-1", "--json", "--key", file.to_str().unwrap()]);
    let report: Value = serde_json::from_str(&text(&output)).unwrap();
    assert_eq!(
        (&report["authenticated"], &report["signed"]["size"], &report["after_signed"]),
        (&json!(true), &json!(5), &json!(0))
    );
    let listed: Value = serde_json::from_str(&text(&place.stockade(&["journal", "list", "--json"]))).unwrap();
    assert_eq!(listed[0]["signed"], 5);
    let nonsense = place.stockade(&["journal", "verify", "r-1", "--key", "nonsense"]);
    assert_eq!(nonsense.status.code(), Some(2));
}

#[test]
fn what_is_wrong_is_said() {
    let one = place(&key(1));
    rewrite(&one, "r-1");
    refused(&verify(&one, "r-1", &key(1)), "the first 5 records have the root");

    let cut = place(&key(1));
    let segment = cut.journal("r-1").join("00000001.jsonl");
    let lines = fs::read_to_string(&segment).unwrap();
    fs::write(&segment, lines.split_inclusive('\n').take(3).collect::<String>()).unwrap();
    refused(&verify(&cut, "r-1", &key(1)), "rollback: 3 records, but 5 were signed");

    let bare = place(&key(1));
    fs::remove_file(bare.path().join("runs/r-1/checkpoint")).unwrap();
    refused(&verify(&bare, "r-1", &key(1)), "there is no signed head");

    let spliced = place(&key(1));
    let mut other = spliced.begin("r-2", "wasm");
    other.append(exit()).unwrap();
    drop(other);
    sign(&spliced, "r-2", &key(1), u64::MAX);
    fs::copy(spliced.path().join("runs/r-2/checkpoint"), spliced.path().join("runs/r-1/checkpoint")).unwrap();
    refused(&verify(&spliced, "r-1", &key(1)), "the checkpoint is of \"stockade.example/run/r-2\"");
    fs::remove_dir_all(spliced.journal("r-1")).unwrap();
    fs::rename(spliced.journal("r-2"), spliced.journal("r-1")).unwrap();
    sign(&spliced, "r-1", &key(1), u64::MAX);
    refused(&verify(&spliced, "r-1", &key(1)), "the journal is of run \"r-2\", not of \"r-1\"");
}

#[test]
fn records_after_the_signed_head_are_counted() {
    let place = place(&key(1));
    sign(&place, "r-1", &key(1), 3);
    let output = verify(&place, "r-1", &key(1));
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    assert!(text(&output).contains("2 record(s) after the last signed head"), "{}", text(&output));
}

#[test]
fn a_later_key_is_believed_if_the_one_before_named_it() {
    let place = place(&key(3));
    let epochs = place.path().join("notary/epochs");
    fs::create_dir_all(&epochs).unwrap();
    for (number, (old, new)) in [(1, 2), (2, 3)].into_iter().enumerate().map(|(number, keys)| (number + 1, keys)) {
        let extensions = vec![format!("next-key {}", key(new).verifier())];
        let last = Checkpoint { origin: HOST.to_owned(), size: 7, root: [7; 32], extensions };
        fs::write(epochs.join(format!("{number:06}")), last.sign(&key(old)).unwrap().to_string()).unwrap();
    }
    for (from, followed) in [(1, "2 epoch(s) after"), (2, "1 epoch(s) after"), (3, "by stockade.example+")] {
        let output = verify(&place, "r-1", &key(from));
        assert_eq!(output.status.code(), Some(0), "{from}: {}", errors(&output));
        assert!(text(&output).contains(followed), "{}", text(&output));
    }
    fs::remove_file(epochs.join("000001")).unwrap();
    refused(&verify(&place, "r-1", &key(1)), "checkpoint:");
}

fn export(place: &Place, name: &str) -> PathBuf {
    let to = place.path().join(name);
    let output = place.stockade(&["journal", "export", "r-1", "-o", to.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    to
}

#[test]
fn a_bundle_is_verified_without_the_state_folder() {
    let place = place(&key(1));
    let (one, two) = (export(&place, "one.tar"), export(&place, "two.tar"));
    assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap(), "the same run gives the same bytes");
    fs::remove_dir_all(place.path().join("runs")).unwrap();
    let output = verify(&place, one.to_str().unwrap(), &key(1));
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    assert!(text(&output).contains("signed: 5 records"), "{}", text(&output));
    assert!(text(&output).contains("not in the bundle: the component"), "{}", text(&output));
    refused(&verify(&place, one.to_str().unwrap(), &key(2)), "checkpoint:");
    let again = place.stockade(&["journal", "export", "r-1", "-o", one.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(2), "there is no such run any more");
}

#[test]
fn what_is_no_bundle_is_said() {
    let place = place(&key(1));
    for (what, words) in [(place.path().join("gone.tar"), "no such bundle"), (place.path().join("runs"), "a folder")] {
        let output = verify(&place, what.to_str().unwrap(), &key(1));
        assert_eq!(output.status.code(), Some(2), "{}", errors(&output));
        assert!(errors(&output).contains(words), "{}", errors(&output));
    }
    let text_file = place.path().join("notes.txt");
    fs::write(&text_file, "no tar").unwrap();
    let output = place.stockade(&["journal", "verify", text_file.to_str().unwrap(), "--json"]);
    assert_eq!(output.status.code(), Some(15));
    let told: serde_json::Value = serde_json::from_str(&text(&output)).unwrap();
    assert_eq!(told["ok"], false, "{told}");
}

/// Every byte of a bundle but those that tar leaves free is held against something.
#[test]
fn no_changed_bundle_passes() {
    let place = place(&key(1));
    let bundle = export(&place, "one.tar");
    let whole = fs::read(&bundle).unwrap();
    let changed = place.path().join("changed.tar");
    let vkey: stockade_journal::note::VerifierKey = key(1).verifier().clone();
    let passes = |bytes: &[u8]| {
        fs::write(&changed, bytes).unwrap();
        stockade_cli::bundle::unpack(&changed, Some(place.path()), stockade_cli::bundle::Signals::AreTaken).is_ok_and(
            |unpacked| {
                let evidence = stockade_cli::evidence::Evidence {
                    run: unpacked.manifest.run.clone(),
                    journal: unpacked.path().join("journal"),
                    checkpoint: unpacked.file("checkpoint"),
                    host: unpacked.path().join("notary"),
                };
                evidence.check(Some(&vkey)).is_ok()
            },
        )
    };
    assert!(passes(&whole));
    for at in (0..whole.len()).step_by(97).chain(0..2048) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        // An absent file is told in words that nothing else says: words of the bundle's maker.
        let free =
            whole[..at].windows(8).any(|w| w == b"\"absent\"") && !whole[..at].windows(7).any(|w| w == b"\"files\"");
        assert!(free || !passes(&bytes), "a bit of byte {at}");
        if at % 1013 == 0 {
            assert!(!passes(&whole[..at]), "cut at {at}");
        }
    }
    assert!(!passes(&[whole.as_slice(), b"\0"].concat()));
    assert!(!passes(&[whole.as_slice(), whole.as_slice()].concat()));
    // Nothing of a refused bundle is left.
    let left: Vec<_> =
        fs::read_dir(place.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert!(!left.iter().any(|name| name.starts_with("stockade-bundle-")), "{left:?}");
}

#[test]
fn names_that_lead_outside_and_other_kinds_of_file_are_refused() {
    let place = Place::new();
    let attempt = |names: &[(&str, tar::EntryType)], manifest: Value| {
        let path = place.path().join("hostile.tar");
        let mut builder = tar::Builder::new(fs::File::create(&path).unwrap());
        let text = serde_json::to_string_pretty(&manifest).unwrap() + "\n";
        let all = std::iter::once(("manifest.json", tar::EntryType::Regular, text.as_bytes()));
        for (name, kind, data) in all.chain(names.iter().map(|(name, kind)| (*name, *kind, b"".as_slice()))) {
            let mut header = tar::Header::new_ustar();
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(kind);
            header.set_mode(0o600);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            header.set_size(data.len() as u64);
            header.set_cksum();
            builder.append(&header, data).unwrap();
        }
        builder.finish().unwrap();
        stockade_cli::bundle::unpack(&path, Some(place.path()), stockade_cli::bundle::Signals::AreTaken)
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    let manifest = |names: &[&str]| {
        let sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let files: Vec<_> = names.iter().map(|name| json!({"name": name, "size": 0, "sha256": sha256})).collect();
        json!({"format": 1, "journal_version": 2, "run": "r-1", "absent": [], "files": files})
    };
    // The order of keys is the writer's.
    let ordered = |value: &Value| value.clone();
    let regular = tar::EntryType::Regular;
    for name in
        ["../x", "/etc/passwd", "journal/../../x", "journal/blobs/../x", "journal//00000001.jsonl", "journal/x", "x"]
    {
        let said = attempt(&[(name, regular)], ordered(&manifest(&[name]))).unwrap_err();
        assert!(said.contains("manifest.json"), "{name}: {said}");
    }
    for kind in [tar::EntryType::Symlink, tar::EntryType::Link, tar::EntryType::Directory, tar::EntryType::GNUSparse] {
        assert!(attempt(&[("checkpoint", kind)], manifest(&["checkpoint"])).is_err(), "{kind:?}");
    }
    assert!(attempt(&[("checkpoint", regular); 2], manifest(&["checkpoint"; 2])).is_err());
    assert!(!place.path().join("x").exists());
}

/// Puts a host log beside the runs, with the heads of run r-1 after so many records, amid those of another run.
fn log_of(place: &Place, seed: u8, sizes: &[u64]) {
    use stockade_journal::tiles::{Appender, Folder, HostLog, RunHead};
    let folder = place.path().join("notary");
    fs::create_dir_all(&folder).unwrap();
    let log = HostLog::begin(Folder::open(&folder).unwrap(), HOST, |_| Ok(key(seed))).unwrap();
    let lock = log.lock().unwrap();
    let signer = &key(seed);
    let mut appender = Appender::open(&lock, signer.verifier()).unwrap();
    let time = "2026-11-22T13:30:00.000001Z".to_owned();
    for size in sizes {
        let other = RunHead { run: "r-9".to_owned(), size: *size, root: [9; 32], time: time.clone() };
        appender.append(&other, signer).unwrap();
        let mut tree = Frontier::new();
        let mut reader = Reader::open(&place.journal("r-1")).unwrap();
        while let Some(line) = reader.read().unwrap() {
            if tree.size() < *size {
                tree.push(line.hash).unwrap();
            }
        }
        let head = RunHead { run: "r-1".to_owned(), size: *size, root: tree.root(), time: time.clone() };
        appender.append(&head, signer).unwrap();
    }
}

#[test]
fn the_hosts_log_shows_what_was_cut_or_rewritten_and_signed_anew() {
    let place = place(&key(1));
    log_of(&place, 1, &[2, 5]);
    let output = verify(&place, "r-1", &key(1));
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    assert!(text(&output).contains("logged: 2 head(s) of this run in the host's log of 4"), "{}", text(&output));
    let bundle = export(&place, "logged.tar");
    // An older head in the place of the newest: the log knows better, and so does the journal.
    sign(&place, "r-1", &key(1), 2);
    assert_eq!(verify(&place, "r-1", &key(1)).status.code(), Some(0));
    sign(&place, "r-1", &key(1), 3);
    refused(&verify(&place, "r-1", &key(1)), "the signed head of 3 records is not in the host's log");
    // Who has the key rewrites the run and signs it.
    rewrite(&place, "r-1");
    sign(&place, "r-1", &key(1), u64::MAX);
    refused(&verify(&place, "r-1", &key(1)), "is not in the host's log");
    fs::remove_file(place.path().join("runs/r-1/checkpoint")).unwrap();
    refused(&verify(&place, "r-1", &key(1)), "the first 2 records have the root");
    // The bundle was made before.
    fs::remove_dir_all(place.path().join("notary")).unwrap();
    let output = verify(&place, bundle.to_str().unwrap(), &key(1));
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    assert!(text(&output).contains("logged: 1 head(s) of this run in the host's log of 4"), "{}", text(&output));
    refused(&verify(&place, bundle.to_str().unwrap(), &key(2)), "checkpoint");
}

#[test]
fn a_bundle_that_is_not_there_is_no_broken_one() {
    let place = Place::new();
    let path = place.path().join("gone.tar").display().to_string();
    let folder = format!("{}/", place.path().display());
    for (named, words) in [(path.as_str(), "no such bundle"), (folder.as_str(), "a folder; a bundle")] {
        let output = place.stockade(&["journal", "verify", named]);
        assert_eq!(output.status.code(), Some(2), "{}", errors(&output));
        assert!(errors(&output).contains(words), "{}", errors(&output));
    }
    fs::write(&path, "no bundle").unwrap();
    let output = place.stockade(&["journal", "verify", &path, "--json"]);
    let told: Value = serde_json::from_str(&text(&output)).unwrap();
    assert_eq!((output.status.code(), &told["ok"], &told["run"]), (Some(15), &json!(false), &Value::Null), "{told}");
    assert!(told["error"].as_str().unwrap().contains("not a bundle, at byte 0"), "{told}");
}

#[test]
fn a_signal_leaves_nothing_of_a_bundle() {
    let signer = key(1);
    let place = place(&signer);
    let bundle = place.path().join("case.tar");
    let made = place.stockade(&["journal", "export", "r-1", "-o", &bundle.display().to_string()]);
    assert!(made.status.success(), "{}", errors(&made));
    // A reader that never reads: the command waits with its answer, and still has the files.
    let (_unread, full) = nix::unistd::pipe().unwrap();
    nix::fcntl::fcntl(&full, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK)).unwrap();
    while nix::unistd::write(&full, &[0; 4096]).is_ok() {}
    nix::fcntl::fcntl(&full, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::empty())).unwrap();
    for signal in [nix::libc::SIGHUP, nix::libc::SIGINT, nix::libc::SIGTERM] {
        let tmp = place.path().join(format!("tmp-{signal}"));
        fs::create_dir(&tmp).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_stockade"));
        command.args(["journal", "verify"]).arg(&bundle).env("TMPDIR", &tmp).stdout(full.try_clone().unwrap());
        let mut child = command.spawn().unwrap();
        while fs::read_dir(&tmp).unwrap().next().is_none() {
            assert!(child.try_wait().unwrap().is_none(), "it ended");
            std::thread::yield_now();
        }
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::try_from(signal).unwrap()).unwrap();
        let code = child.wait().unwrap().code();
        let left = fs::read_dir(&tmp).unwrap().count();
        assert_eq!((code, left), (Some(128 + signal), 0), "signal {signal}");
    }
}
