//! Signed heads: every record of a run is signed at its end, whoever was killed, and what is cut later shows.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use serde_json::Value;
use stockade_journal::note::SigningKey;

use crate::rig::{Rig, list, reap_all};
use crate::victims::Victim;

/// Waits for a file `go` in the workspace, and says so; the test makes it.
const WAITS: &str = "import os, sys, time
print('ready', flush=True)
while not os.path.exists('/workspace/go'): time.sleep(0.01)
";

fn stockade(rig: &Rig, args: &[&str]) -> (Option<i32>, String) {
    let mut command: Command = rig.stockade();
    let done = command.args(args).arg("--state").arg(rig.path("state")).output().unwrap();
    (done.status.code(), String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr))
}

fn key(rig: &Rig) -> String {
    stockade(rig, &["notary", "key", "--first"]).1.trim().to_owned()
}

/// Verifies the newest run with the first key; gives the exit code and what was said.
fn verify(rig: &Rig) -> (Option<i32>, String) {
    stockade(rig, &["journal", "verify", "last", "--key", &key(rig)])
}

/// That all records of the newest run are signed.
fn all_signed(rig: &Rig, after: &str) {
    let (code, said) = verify(rig);
    let records = rig.records().len();
    assert_eq!(code, Some(0), "{after}: {said}");
    assert!(said.contains(&format!("signed: {records} records")), "{after}: {records} records: {said}");
}

fn segment(rig: &Rig) -> PathBuf {
    list(&rig.path("state/runs")).pop().unwrap().join("journal/00000001.jsonl")
}

#[test]
fn heads_are_signed_and_a_cut_journal_shows() {
    let Some(rig) = Rig::new("heads_are_signed_and_a_cut_journal_shows", &["python3"]) else { return };
    let policy = rig.native_policy("");
    rig.python(&policy, "import socket\ntry: socket.socket()\nexcept OSError: pass").expect("a run", 0, &[]);
    all_signed(&rig, "a run");
    // Without its last line the chain holds: only the signed heads tell.
    let path = segment(&rig);
    let whole = std::fs::read_to_string(&path).unwrap();
    let cut: String = whole.lines().take(whole.lines().count() - 1).map(|line| line.to_owned() + "\n").collect();
    std::fs::write(&path, cut).unwrap();
    let (code, said) = verify(&rig);
    assert_eq!(code, Some(15), "{said}");
    assert!(said.contains("rollback"), "{said}");
    rig.forget_runs();
    rig.clean("the runs");
}

#[test]
fn all_runs_are_held_against_the_log_and_a_deleted_one_shows() {
    let Some(rig) = Rig::new("all_runs_are_held_against_the_log_and_a_deleted_one_shows", &["python3"]) else { return };
    let policy = rig.native_policy("");
    for _ in 0..3 {
        rig.python(&policy, "pass").expect("a run", 0, &[]);
    }
    let all = |rig: &Rig| stockade(rig, &["journal", "verify", "--all", "--key", &key(rig)]);
    let (code, said) = all(&rig);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("3 run(s), 0 of them not as signed"), "{said}");
    let runs: Vec<PathBuf> = list(&rig.path("state/runs"));
    let name = |run: &PathBuf| run.file_name().unwrap().to_string_lossy().into_owned();
    std::fs::remove_dir_all(&runs[0]).unwrap();
    // Its own checkpoint goes, too: the host's log still knows.
    std::fs::remove_file(runs[1].join("checkpoint")).unwrap();
    let path = runs[1].join("journal/00000001.jsonl");
    let whole = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, whole.lines().take(1).map(|line| line.to_owned() + "\n").collect::<String>()).unwrap();
    let (code, said) = all(&rig);
    assert_eq!(code, Some(15), "{said}");
    let line =
        |run: &PathBuf| said.lines().find(|line| line.starts_with(&name(run))).unwrap_or_else(|| panic!("{said}"));
    assert!(line(&runs[0]).contains("deleted: "), "{said}");
    assert!(line(&runs[1]).contains("rollback: "), "{said}");
    assert!(line(&runs[2]).contains("whole"), "{said}");
    let (code, said) = stockade(&rig, &["journal", "verify", "--all", "--json", "--key", &key(&rig)]);
    let report: Value = serde_json::from_str(&said).unwrap();
    let ok: Vec<_> = report["runs"].as_array().unwrap().iter().map(|run| run["ok"].as_bool().unwrap()).collect();
    assert_eq!((code, ok), (Some(15), vec![false, false, true]), "{said}");
    // Without its log nothing is left to hold runs against.
    let key = key(&rig);
    std::fs::remove_dir_all(rig.path("state/notary")).unwrap();
    let (code, said) = stockade(&rig, &["journal", "verify", "--all", "--key", &key]);
    assert_eq!(code, Some(15), "{said}");
    assert!(said.contains("there is no host's log"), "{said}");
    rig.forget_runs();
    rig.clean("the runs");
}

#[test]
fn a_key_that_systemd_hands_over_signs_and_is_kept_nowhere() {
    let Some(rig) = Rig::new("a_key_that_systemd_hands_over_signs_and_is_kept_nowhere", &["python3"]) else { return };
    let key = SigningKey::from_seed("example.org/hosts/one", &[7; 32]).unwrap();
    rig.folder("credentials");
    rig.file("credentials/stockade.notary", format!("{}\n", *key.to_text()));
    let policy = rig.native_policy("");
    let run = |credential: bool| {
        let mut command = rig.command(&policy);
        if credential {
            command.env("CREDENTIALS_DIRECTORY", rig.path("credentials"));
        }
        rig.end(command.args(["--", "/usr/bin/python3", "-c", "pass"]))
    };
    let mut init = rig.stockade();
    init.args(["notary", "init", "--origin", "example.org/hosts/one", "--state"]).arg(rig.path("state"));
    rig.end(init.env("CREDENTIALS_DIRECTORY", rig.path("credentials"))).expect("the log's begin", 0, &[]);
    run(true).expect("a run with the credential", 0, &[]);
    let (code, said) = stockade(&rig, &["journal", "verify", "--all", "--key", &key.verifier().to_string()]);
    assert_eq!(code, Some(0), "{said}");
    assert!(!rig.path("state/notary/key").exists());
    // Without it nothing is signed, so nothing runs.
    run(false).expect("a run without the credential", 15, &["it is missing"]);
    // Epochs are not ours to end.
    let mut rotate = rig.stockade();
    rotate.args(["notary", "rotate", "--state"]).arg(rig.path("state"));
    let rotated = rig.end(rotate.env("CREDENTIALS_DIRECTORY", rig.path("credentials")));
    assert!(!rotated.status.success() && rotated.stderr.contains("epochs are off"), "{rotated:?}");
    // Another key is not this log's.
    let other = SigningKey::from_seed("example.org/hosts/one", &[8; 32]).unwrap();
    rig.file("credentials/stockade.notary", format!("{}\n", *other.to_text()));
    run(true).expect("a run with another credential", 15, &["the log's is"]);
    rig.forget_runs();
    rig.clean("the runs");
}

#[test]
fn a_notary_that_is_killed_comes_back_and_nothing_is_unsigned() {
    let Some(rig) = Rig::new("a_notary_that_is_killed_comes_back_and_nothing_is_unsigned", &["python3"]) else {
        return;
    };
    let policy = rig.native_policy("");
    for kills in [1, 3] {
        let mut command = rig.command(&policy);
        let mut running = rig.begin(command.args(["--", "/usr/bin/python3", "-c", WAITS]));
        running.until("the agent to be ready", |r| r.wrote().contains("ready"));
        for _ in 0..kills {
            running.until("the notary", |r| Victim::Notary.pid(r).is_some());
            let notary = Victim::Notary.pid(&running).unwrap();
            kill(notary, Signal::SIGKILL).unwrap();
            running.until("the notary's end", |r| Victim::Notary.pid(r) != Some(notary));
        }
        rig.file("work/go", "");
        running.end().expect("a run whose notary is killed", 0, &["finished"]);
        all_signed(&rig, "its notary was killed");
        std::fs::remove_file(rig.path("work/go")).unwrap();
        rig.forget_runs();
    }
    rig.clean("the runs");
}

#[test]
fn what_a_killed_run_leaves_is_closed_and_signed() {
    let Some(rig) = Rig::new("what_a_killed_run_leaves_is_closed_and_signed", &["python3"]) else { return };
    let policy = rig.native_policy("");
    for victim in [Victim::Shim, Victim::Stockade] {
        let mut command = rig.command(&policy);
        let mut running = rig.begin(command.args(["--", "/usr/bin/python3", "-c", WAITS]));
        running.until("the agent to be ready", |r| r.wrote().contains("ready"));
        assert!(victim.kill(&running), "{victim:?}");
        running.end_within(Duration::from_secs(20));
        reap_all("the run");
        let last = rig.records().pop().unwrap();
        assert_eq!(last.get("event"), Some(&Value::from("reclaimed")), "{victim:?}: {last}");
        all_signed(&rig, &format!("{victim:?} was killed"));
        rig.forget_runs();
    }
    rig.clean("the runs");
}
