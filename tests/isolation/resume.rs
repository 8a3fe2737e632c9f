//! Runs that a crash ended and that go on.

use std::fs;

use serde_json::Value;

use crate::again::{MAY, agree, calls_of_counter, counter, recorded_effects};
use crate::rig::{Rig, Running, reap_all, records_of};
use crate::victims::Victim;

/// Rounds of the agent.
const ROUNDS: u32 = 30;

/// Lines of the journal so far.
fn lines(rig: &Rig) -> usize {
    let Some(run) = crate::rig::list(&rig.path("state/runs")).into_iter().max() else { return 0 };
    fs::read_to_string(run.join("journal/00000001.jsonl")).map_or(0, |text| text.lines().count())
}

/// Kills a process once the journal has this many lines; whether it was there.
fn kill_at(rig: &Rig, running: &mut Running, victim: Victim, at: usize) -> bool {
    running.until("records", |_| lines(rig) >= at);
    victim.kill(running)
}

/// The effects outside, and the record of them.
fn check(rig: &Rig, records: &[Value], after: &str) {
    agree(&recorded_effects(records, "workspace.write"), &rig.effects("written"), after);
    agree(&recorded_effects(records, "exec"), &rig.effects("ran"), after);
}

fn ids(records: &[Value]) -> usize {
    let mut ids: Vec<_> = records.iter().filter(|r| r["type"] == "call").filter_map(|r| r["id"].as_u64()).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.len()
}

#[test]
fn a_run_goes_on_where_it_was_killed() {
    let Some(rig) = Rig::new("a_run_goes_on_where_it_was_killed", &[]) else { return };
    let policy = rig.wasm_policy(MAY);
    let component = rig.component("counter", &counter(ROUNDS));
    let mut unknown = 0;
    for victim in [Victim::Shim, Victim::Cell, Victim::Stockade] {
        for at in [3, 20, 41, 87] {
            let what = format!("kill -9 of {victim:?} at record {at}");
            let mut running = rig.begin(rig.command(&policy).arg(&component));
            assert!(kill_at(&rig, &mut running, victim, at), "{what}");
            running.end();
            reap_all(&what);
            // Twice, if the first resumption is killed, too.
            let before = lines(&rig);
            let mut running = rig.begin(&mut rig.resume());
            if kill_at(&rig, &mut running, victim, before + 8) {
                running.end();
                reap_all(&what);
            }
            rig.end(&mut rig.resume()).expect(&what, 0, &["finished"]);
            let records = records_of(&rig.newest());
            assert_eq!(ids(&records), calls_of_counter(ROUNDS), "{what}");
            assert_eq!(records.iter().filter(|r| r["event"] == "resumed").count(), 2, "{what}");
            check(&rig, &records, &what);
            unknown += records.iter().filter(|r| r["status"] == "unknown").count();
            rig.end(&mut rig.resume()).expect("a run that has ended", 26, &["has come to its end"]);
            let ran = rig.replay("last", &[]);
            ran.expect(&format!("the replay after {what}"), 0, &[]);
            let said = String::from_utf8_lossy(&ran.stdout).into_owned();
            assert!(said.starts_with(&format!("identical: {} calls", calls_of_counter(ROUNDS))), "{said}");
            rig.clean(&what);
            rig.forget_runs();
            for file in ["written", "ran"] {
                let _none = fs::remove_file(rig.path("work").join(file));
            }
        }
    }
    println!("{unknown} calls of unknown outcome");
}

#[test]
fn what_is_not_as_it_was_keeps_a_run_from_going_on() {
    let Some(rig) = Rig::new("what_is_not_as_it_was_keeps_a_run_from_going_on", &[]) else { return };
    let policy = rig.wasm_policy(MAY);
    let component = rig.component("counter", &counter(ROUNDS));
    let mut running = rig.begin(rig.command(&policy).arg(&component));
    running.until("records", |_| lines(&rig) >= 20);
    // It lives.
    rig.end(&mut rig.resume()).expect("a living run", 26, &["still lives"]);
    assert!(Victim::Shim.kill(&running));
    running.end();
    reap_all("the shim's end");
    let before = records_of(&rig.newest());
    let text = fs::read_to_string(&policy).unwrap();
    fs::write(&policy, text.replacen("pids = 32", "pids = 31", 1)).unwrap();
    rig.end(&mut rig.resume()).expect("another policy", 26, &["policy bundle"]);
    fs::rename(&policy, rig.path("gone.toml")).unwrap();
    rig.end(&mut rig.resume()).expect("no policy", 10, &[]);
    fs::write(&policy, &text).unwrap();
    fs::rename(rig.path("work"), rig.path("gone")).unwrap();
    rig.end(&mut rig.resume()).expect("no workspace", 12, &[]);
    fs::rename(rig.path("gone"), rig.path("work")).unwrap();
    let digest = before[0]["component_digest"].as_str().unwrap();
    let kept = rig.path("state/objects").join(digest);
    fs::rename(&kept, rig.path("gone.wasm")).unwrap();
    rig.end(&mut rig.resume()).expect("no component", 26, &["component"]);
    fs::rename(rig.path("gone.wasm"), &kept).unwrap();
    assert_eq!(records_of(&rig.newest()).len(), before.len(), "a refusal leaves the journal alone");
    rig.end(&mut rig.resume()).expect("all as it was", 0, &["finished"]);
    check(&rig, &records_of(&rig.newest()), "refusals");
    rig.clean("refusals");
}

#[test]
fn a_run_goes_on_by_its_private_values_and_not_without_them() {
    let Some(rig) = Rig::new("a_run_goes_on_by_its_private_values_and_not_without_them", &[]) else { return };
    let policy = rig.wasm_policy(&format!("{MAY}\n[journal]\nprivate = [\"workspace.write\"]\n"));
    let component = rig.component("counter", &counter(ROUNDS));
    for erased in [false, true] {
        let mut running = rig.begin(rig.command(&policy).arg(&component));
        assert!(kill_at(&rig, &mut running, Victim::Stockade, 41));
        running.end();
        reap_all("the run");
        let before = rig.effects("written");
        if erased {
            // It has no writer, once its leftovers are reclaimed.
            let mut command = rig.stockade();
            rig.end(command.args(["journal", "erase", "last", "--state"]).arg(rig.path("state"))).expect(
                "erase",
                0,
                &[],
            );
            rig.end(&mut rig.resume()).expect("a run without its values", 40, &["private, and not here"]);
            assert_eq!(rig.effects("written"), before, "nothing acts on a course that cannot be compared");
        } else {
            rig.end(&mut rig.resume()).expect("a run with its values", 0, &["finished"]);
            assert_eq!(ids(&records_of(&rig.newest())), calls_of_counter(ROUNDS));
        }
        rig.clean("a resumption");
        rig.forget_runs();
        for file in ["written", "ran"] {
            let _none = fs::remove_file(rig.path("work").join(file));
        }
    }
}

#[test]
fn a_policy_that_was_named_from_a_folder_is_the_same_when_it_goes_on() {
    let Some(rig) = Rig::new("a_policy_that_was_named_from_a_folder_is_the_same_when_it_goes_on", &[]) else { return };
    let policy = rig.wasm_policy(MAY);
    let named = policy.strip_prefix(rig.path("")).unwrap();
    let component = rig.component("counter", &counter(ROUNDS));
    let mut running = rig.begin(rig.command(named).arg(&component));
    assert!(kill_at(&rig, &mut running, Victim::Stockade, 20));
    running.end();
    reap_all("a kill");
    let mut resume = rig.resume();
    resume.current_dir("/");
    rig.end(&mut resume).expect("the resumption", 0, &["finished"]);
    check(&rig, &records_of(&rig.newest()), "a resumption");
    rig.clean("a resumption");
}
