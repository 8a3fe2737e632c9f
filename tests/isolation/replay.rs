//! Runs that are run again from their record.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::again::{MAY, asker, calls_of_counter, counter};
use crate::rig::{Rig, list, records_of};
use crate::text::body;

/// Calls of the long run.
const MANY: u32 = 10_000;

#[test]
fn ten_thousand_calls_are_identical() {
    let Some(rig) = Rig::new("ten_thousand_calls_are_identical", &[]) else { return };
    let policy = rig.wasm_policy(MAY);
    rig.wasm(&policy, &asker(MANY / 2, None)).expect("the run", 0, &["10000 tool calls"]);
    let ran = rig.replay("last", &[]);
    ran.expect("the replay", 0, &[]);
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(said.starts_with("identical: 10000 calls, "), "{said}");
    println!("10000 calls replayed in {:?}: {said}", ran.took);
    assert!(ran.took.as_secs() < 10, "{:?}", ran.took);
    rig.clean("a replay");
    assert!(list(&rig.path("state/replays")).is_empty(), "a replay leaves nothing");
}

#[test]
fn effects_are_not_done_again() {
    let Some(rig) = Rig::new("effects_are_not_done_again", &[]) else { return };
    let policy = rig.wasm_policy(MAY);
    rig.wasm(&policy, &counter(20)).expect("the run", 0, &[]);
    let before = (rig.effects("written"), rig.effects("ran"), records_of(&rig.newest()));
    assert_eq!((before.0.len(), before.1.len()), (20, 2));
    let journal = fs::read(rig.newest().join("journal/00000001.jsonl")).unwrap();
    // Neither the workspace nor the policy's file is needed.
    fs::rename(rig.path("work"), rig.path("gone")).unwrap();
    fs::rename(&policy, rig.path("gone.toml")).unwrap();
    let ran = rig.replay("last", &["--json"]);
    ran.expect("the replay", 0, &[]);
    let told: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!((told["identical"].as_bool(), told["calls"].as_u64()), (Some(true), Some(calls_of_counter(20) as u64)));
    assert_eq!(fs::read(rig.newest().join("journal/00000001.jsonl")).unwrap(), journal);
    fs::rename(rig.path("gone"), rig.path("work")).unwrap();
    assert_eq!((rig.effects("written"), rig.effects("ran"), records_of(&rig.newest())), before);
    let steps = rig.replay("last", &["--step", "--until", "5"]);
    steps.expect("steps", 0, &[]);
    let steps = String::from_utf8_lossy(&steps.stdout).into_owned();
    assert!(steps.contains("clock {} → ok") && steps.contains("info: 0000"), "{steps}");
    assert!(steps.ends_with("fuel\n") && steps.contains("identical up to record 5: 2 calls"), "{steps}");
    rig.clean("a replay");
}

#[test]
fn private_values_are_compared_while_they_are_there() {
    let Some(rig) = Rig::new("private_values_are_compared_while_they_are_there", &[]) else { return };
    let policy = rig.wasm_policy(&format!("{MAY}\n[journal]\nprivate = [\"workspace.write\", \"clock\"]\n"));
    rig.wasm(&policy, &counter(20)).expect("the run", 0, &[]);
    let records = records_of(&rig.newest());
    let first = records.iter().find(|r| r["args"]["private"].is_object()).unwrap();
    let replayed = |what: &str, run: &str, says: &str| {
        let ran = rig.replay(run, &[]);
        ran.expect(what, 0, &[]);
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert!(said.starts_with(says), "{what}: {said}");
        said
    };
    replayed("the replay", "last", "identical: ");
    let end = |what: &str, args: &[&str]| {
        let mut command = rig.stockade();
        rig.end(command.args(args).arg("--state").arg(rig.path("state"))).expect(what, 0, &[]);
    };
    let bundle = rig.path("evidence.tar").to_string_lossy().into_owned();
    end("a bundle", &["journal", "export", "last", "-o", &bundle]);
    // What is not here is not held against the agent.
    let short = format!("identical so far: 0 calls; the journal tells no more at {}, ", first["seq"]);
    let said = replayed("a bundle without them", &bundle, &short);
    assert!(said.contains("private, and not here"), "{said}");
    end("the erasure", &["journal", "erase", "last"]);
    replayed("the run without them", "last", &short);
    rig.forget_runs();
    rig.clean("replays");
}

#[test]
fn a_pruned_run_is_compared_up_to_what_is_gone() {
    let Some(rig) = Rig::new("a_pruned_run_is_compared_up_to_what_is_gone", &[]) else { return };
    let policy = rig.wasm_policy(MAY);
    rig.wasm(&policy, &counter(20)).expect("the run", 0, &[]);
    // What `journal prune` does once its time has come.
    let file = rig.newest().join("journal/00000001.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    let pruned = text.lines().map(|line| {
        let record: Value = serde_json::from_str(line).unwrap();
        match record["type"].as_str() {
            Some("call" | "result" | "log") => {
                format!("{{\"tombstone\":{{\"seq\":{},\"leaf\":\"{}\"}}}}\n", record["seq"], leaf(line))
            }
            _ => line.to_owned() + "\n",
        }
    });
    fs::write(&file, pruned.collect::<String>()).unwrap();
    let ran = rig.replay("last", &[]);
    ran.expect("the replay", 0, &[]);
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(said.starts_with("identical so far: 0 calls; ") && said.contains("tombstone"), "{said}");
    // Its policy lets nothing be pruned, so somebody else was there.
    let mut command = rig.stockade();
    rig.end(command.args(["journal", "verify", "last", "--state"]).arg(rig.path("state"))).expect(
        "tombstones that nobody asked for",
        15,
        &["lets none be pruned"],
    );
    rig.forget_runs();
    rig.clean("a replay");
}

/// The leaf hash of a line, in hex.
fn leaf(line: &str) -> String {
    let digest = Sha256::new().chain_update([0]).chain_update(line).finalize();
    digest.iter().map(|b| format!("{b:02x}")).collect()
}

/// Makes a change in a record, and the chain after it anew, so that nothing but a replay can see it.
fn forge(run: &Path, seq: usize, change: impl Fn(&str) -> String) {
    let file = run.join("journal/00000001.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    let mut out = String::new();
    let mut prev: Option<(String, String)> = None;
    for (at, line) in text.lines().enumerate() {
        let old = leaf(line);
        let mut line = match &prev {
            Some((was, now)) => line.replacen(was, now, 1),
            None => line.to_owned(),
        };
        if at + 1 == seq {
            line = change(&line);
        }
        prev = Some((old, leaf(&line)));
        out.push_str(&line);
        out.push('\n');
    }
    fs::write(file, out).unwrap();
}

#[test]
fn a_changed_answer_is_found_where_it_is() {
    let Some(rig) = Rig::new("a_changed_answer_is_found_where_it_is", &[]) else { return };
    let policy = rig.wasm_policy(MAY);
    rig.wasm(&policy, &asker(100, None)).expect("the run", 0, &[]);
    let records = records_of(&rig.newest());
    let at = records.iter().filter(|r| r["type"] == "result").nth(120).unwrap();
    assert!(at["body"]["inline"]["unix_ns"].is_string());
    let seq = at["seq"].as_u64().unwrap() as usize;
    let digits = at["body"]["inline"]["unix_ns"].as_str().unwrap().to_owned();
    // One byte: the last digit.
    let last = if digits.ends_with('7') { '8' } else { '7' };
    let forged = format!("{}{last}", &digits[..digits.len() - 1]);
    forge(&rig.newest(), seq, |line| line.replacen(&digits, &forged, 1));
    // The head that was signed shows it, and the chain does not, so that without that head a replay is all there is.
    let verify = |what: &str, code, says: &[&str]| {
        let mut command = rig.stockade();
        rig.end(command.args(["journal", "verify", "last", "--state"]).arg(rig.path("state"))).expect(what, code, says);
    };
    verify("a forged record", 15, &["was signed"]);
    fs::rename(rig.path("state/notary"), rig.path("notary")).unwrap();
    fs::remove_file(rig.newest().join("checkpoint")).unwrap();
    verify("a forged record that nobody signed", 0, &[]);
    let ran = rig.replay("last", &[]);
    ran.expect("the replay", 27, &[]);
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(said.contains(&format!("diverged at record {} after 121 calls: arguments", seq + 1)), "{said}");
    assert!(said.contains(&digits) && said.contains(&forged), "both sides are shown: {said}");
    let json: Value = serde_json::from_slice(&rig.replay("last", &["--json"]).stdout).unwrap();
    assert_eq!((&json["end"]["seq"], &json["end"]["what"]), (&(seq + 1).into(), &"arguments".into()));

    // A change in what is not the agent's to see is the chain's business.
    let file = rig.newest().join("journal/00000001.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen(&forged, &digits, 1)).unwrap();
    rig.replay("last", &[]).expect("a broken chain", 15, &[]);
    rig.forget_runs();
    rig.clean("replays of a forged record");
}

#[test]
fn another_component_is_found_where_it_strays() {
    let Some(rig) = Rig::new("another_component_is_found_where_it_strays", &[]) else { return };
    let policy = rig.wasm_policy(MAY);
    rig.wasm(&policy, &asker(100, None)).expect("the run", 0, &[]);
    let records = records_of(&rig.newest());
    let at = records.iter().filter(|r| r["type"] == "call").nth(2 * 57 + 1).unwrap()["seq"].as_u64().unwrap();
    let strays = rig.component("strays", &asker(100, Some(57)));
    let ran = rig.replay("last", &["--with", strays.to_str().unwrap()]);
    ran.expect("another component", 27, &[]);
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(said.contains(&format!("diverged at record {at} after 115 calls: arguments")), "{said}");
    // One that differs in what nobody sees: it uses other fuel and is the same all the same.
    let same = asker(100, None).replacen(
        "(local.set 0 (i32.const 0))",
        "(drop (i32.add (i32.const 1) (i32.const 2))) (local.set 0 (i32.const 0))",
        1,
    );
    let same = rig.component("same", &same);
    let ran = rig.replay("last", &["--with", same.to_str().unwrap()]);
    ran.expect("a like component", 0, &[]);
    assert!(String::from_utf8_lossy(&ran.stdout).starts_with("the same behaviour: 200 calls"));

    // One byte of the component that was kept.
    let digest = records[0]["component_digest"].as_str().unwrap();
    let kept = rig.path("state/objects").join(digest);
    let mut bytes = fs::read(&kept).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&kept, &bytes).unwrap();
    rig.replay("last", &[]).expect("a changed component", 26, &["component", digest, "was changed"]);
    rig.wasm(&policy, &asker(100, None)).expect("a run that depends on it", 15, &["is not what its name says"]);
    fs::remove_file(&kept).unwrap();
    rig.replay("last", &[]).expect("no component", 26, &["not kept here"]);
    symlink("/etc/passwd", &kept).unwrap();
    rig.replay("last", &[]).expect("a link", 26, &["component"]);
    rig.clean("refused replays");
}

#[test]
fn a_record_that_was_cut_short_is_compared_as_far_as_it_goes() {
    let Some(rig) = Rig::new("a_record_that_was_cut_short_is_compared_as_far_as_it_goes", &[]) else { return };
    let policy = rig.wasm_policy(&MAY.replacen("[limits]\n", "[limits]\nwall = \"300ms\"\n", 1));
    let endless = body("(loop $l (br $l)) unreachable");
    rig.wasm(&policy, &endless).expect("an endless agent", 30, &[]);
    let ran = rig.replay("last", &[]);
    ran.expect("an endless agent again", 0, &[]);
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(said.contains("identical so far: 0 calls; the journal tells no more at "), "{said}");
    rig.wasm(&policy, &asker(1_000_000, None)).expect("calls without end", 30, &[]);
    let ran = rig.replay("last", &[]);
    ran.expect("calls again", 0, &[]);
    assert!(String::from_utf8_lossy(&ran.stdout).contains("identical so far: "), "{ran:?}");
    // Calls beyond the limit are counted and not recorded, and answered all the same.
    let few = rig.wasm_policy(&MAY.replacen("calls = 100_000", "calls = 5", 1));
    let ran = rig.wasm(&few, &counter(50));
    ran.expect("few calls", 0, &["denied"]);
    rig.replay("last", &[]).expect("few calls again", 0, &[]);
    rig.clean("short records");
}

#[test]
fn a_bundle_is_replayed_as_the_run_is() {
    let Some(rig) = Rig::new("a_bundle_is_replayed_as_the_run_is", &[]) else { return };
    let policy = rig.wasm_policy(MAY);
    rig.wasm(&policy, &counter(10)).expect("the run", 0, &[]);
    let bundle = rig.path("run.tar");
    let mut command = rig.stockade();
    rig.end(command.args(["journal", "export", "last", "-o"]).arg(&bundle).arg("--state").arg(rig.path("state")))
        .expect("the export", 0, &[]);
    rig.folder("elsewhere");
    let mut command = rig.stockade();
    command.arg("replay").arg(&bundle).arg("--state").arg(rig.path("elsewhere"));
    let ran = rig.end(&mut command);
    ran.expect("the bundle", 0, &[]);
    assert!(String::from_utf8_lossy(&ran.stdout).starts_with("identical: 21 calls"), "{ran:?}");
    rig.clean("a bundle");
}

#[test]
fn a_policy_is_put_to_the_calls_and_stops_at_the_first_change() {
    let Some(rig) = Rig::new("a_policy_is_put_to_the_calls_and_stops_at_the_first_change", &[]) else { return };
    let policy = rig.wasm_policy(MAY);
    rig.wasm(&policy, &counter(3)).expect("the run", 0, &[]);
    let stricter = rig.wasm_policy(&MAY.replacen("\"workspace.write\", ", "", 1));
    let ran = rig.replay("last", &["--policy", stricter.to_str().unwrap()]);
    ran.expect("a stricter policy", 19, &[]);
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(said.contains("identical up to record ") && said.contains(": 1 call,"), "{said}");
    assert!(said.contains("workspace.write") && said.contains("denied"), "{said}");
    rig.replay("last", &["--policy", policy.to_str().unwrap()]).expect("its own policy", 0, &[]);
    rig.clean("a policy");
}

#[test]
fn a_native_run_replays_its_decisions_only() {
    let Some(rig) = Rig::new("a_native_run_replays_its_decisions_only", &["python3"]) else { return };
    let policy = rig.native_policy("");
    rig.python(&policy, "open('made', 'w').write('once')").expect("the run", 0, &[]);
    fs::remove_file(rig.path("work/made")).unwrap();
    let ran = rig.replay("last", &[]);
    ran.expect("the replay", 0, &[]);
    assert!(String::from_utf8_lossy(&ran.stdout).contains("the program itself is not run again"), "{ran:?}");
    assert!(!rig.path("work/made").exists());
    rig.end(&mut rig.resume()).expect("a native run", 26, &["native"]);
    rig.clean("a native run");
}
