//! Calls that wait for a person, and tools that an operator freezes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use std::os::fd::AsFd;

use common::{Rig, bundle, lifecycle, outline, setup};
use serde_json::{Value, json};
use stockade_journal::{Entry, Record};
use stockade_policy::Bundle;
use stockade_wire::control::{Course, ExitStatus, Setup, ToShim, ToSupervisor};
use stockade_wire::frame::Status;
use stockade_wire::operator::{Operator, Order, Pending};
use tempfile::TempDir;

const POLICY: &str = r#"
version = 1
id = "test"
extends = ["preset:base@1"]
[limits]
calls = 1000
[fs]
read = ["@workspace"]
write = ["@workspace"]
[tools]
allow = ["workspace.read", "workspace.stat", "exec"]
ask = ["workspace.write", "random"]
[[exec]]
id = "echo"
command = ["/bin/echo"]
wall = "60s"
"#;

fn asking(approvals: Option<u64>, course: Course, dirs: TempDir, policy: &str) -> Rig {
    let journal = dirs.path().join("journal");
    let _there = std::fs::create_dir(&journal);
    let bundle = bundle(policy);
    let setup = Setup { approvals, course, policy_bundle: Bundle::name(&bundle), ..setup("wasm") };
    let mut rig = Rig::with_setup(setup, &bundle, dirs, journal);
    rig.start();
    rig
}

fn new(approvals: Option<u64>) -> Rig {
    asking(approvals, Course::New, TempDir::new().unwrap(), POLICY)
}

const HOUR: Option<u64> = Some(3_600_000);

/// The next thing that waits.
fn pending(rig: &Rig) -> Pending {
    match rig.receive() {
        Some(ToSupervisor::Asks(pending)) => pending,
        other => panic!("{other:?} instead of a question"),
    }
}

fn root(note: &str) -> Operator {
    Operator { uid: 0, pid: 7, login_uid: Some(1000), note: note.to_owned() }
}

fn order(rig: &Rig, number: u64, order: Order) {
    rig.send(&ToShim::Order { number, order, by: root("because") });
}

fn settle(rig: &Rig, pending: &Pending, approve: bool) {
    let (approval, action) = (pending.approval, pending.action.clone());
    order(rig, 9, Order::Settle { approval, action, approve });
}

fn obeyed(rig: &Rig) -> Result<String, String> {
    match rig.receive() {
        Some(ToSupervisor::Obeyed { number: 9, outcome }) => outcome,
        other => panic!("{other:?} instead of what came of it"),
    }
}

fn settled(rig: &Rig, number: u64) {
    assert!(matches!(rig.receive(), Some(ToSupervisor::Settled { approval }) if approval == number));
}

fn steps(entries: &[Entry]) -> Vec<stockade_journal::Approval> {
    let steps = entries.iter().filter_map(|entry| match &entry.record {
        Record::Approval(step) => Some((**step).clone()),
        _ => None,
    });
    steps.collect()
}

const WRITE: &[u8] = br#"{"path":"a","content":"x"}"#;

#[test]
fn an_approved_call_happens_once_and_says_who_approved() {
    let mut rig = new(HOUR);
    let id = rig.ask("workspace.write", WRITE);
    let question = pending(&rig);
    assert_eq!((question.approval, question.call, question.tool.as_str()), (1, id, "workspace.write"));
    assert_eq!((question.object.as_str(), &question.args["content"]), ("@workspace/a", &json!("x")));
    // The question is on disk before anybody sees it, and nothing was done.
    assert_eq!(outline(&rig.records()).last().unwrap(), "asked");
    assert!(!rig.workspace.join("a").exists());
    settle(&rig, &question, true);
    settled(&rig, 1);
    assert_eq!(rig.answer(id).0, Status::Ok);
    assert_eq!(obeyed(&rig), Ok("approved: workspace.write @workspace/a".to_owned()));
    assert_eq!(std::fs::read(rig.workspace.join("a")).unwrap(), b"x");
    // A second time the answer is no answer, and the same call asks anew.
    settle(&rig, &question, true);
    assert!(obeyed(&rig).unwrap_err().contains("does not wait"));
    let again = rig.ask("workspace.write", WRITE);
    let second = pending(&rig);
    assert_eq!((second.approval, &second.action), (2, &question.action));
    settle(&rig, &second, false);
    settled(&rig, 2);
    let (status, body) = rig.answer(again);
    assert_eq!((status, &body["layer"]), (Status::Denied, &json!("approval")));
    assert_eq!(body["reason"], "the call needs an approval, and the operator denied it");
    assert!(obeyed(&rig).is_ok());
    let entries = rig.end();
    assert_eq!(
        outline(&entries),
        [
            "start",
            "asked",
            "approved",
            "call workspace.write allow approval",
            "result ok",
            "asked",
            "denied",
            "call workspace.write deny approval",
            "result denied",
            "exit"
        ]
    );
    let steps = steps(&entries);
    assert_eq!(steps[1].by, Some(json!({ "uid": 0, "pid": 7, "login_uid": 1000, "note": "because" })));
    assert_eq!(steps[0].action, question.action);
    assert!(!steps[0].expires.is_empty());
    let Record::Call(call) = &entries[3].record else { panic!() };
    assert!(call.reason.starts_with("approval 1 by uid 0; "), "{}", call.reason);
}

#[test]
fn an_approval_is_for_the_action_that_was_looked_at() {
    let mut rig = new(HOUR);
    let id = rig.ask("workspace.write", WRITE);
    let question = pending(&rig);
    let other = Order::Settle { approval: 1, action: "00".repeat(32), approve: true };
    order(&rig, 9, other);
    assert!(obeyed(&rig).unwrap_err().contains("another action"));
    order(&rig, 9, Order::Settle { approval: 2, action: question.action.clone(), approve: true });
    assert!(obeyed(&rig).unwrap_err().contains("does not wait"));
    // It still waits.
    settle(&rig, &question, true);
    settled(&rig, 1);
    assert_eq!(rig.answer(id).0, Status::Ok);
    assert!(obeyed(&rig).is_ok());
    // One byte of the content is another action.
    rig.ask("workspace.write", br#"{"path":"a","content":"y"}"#);
    assert_ne!(pending(&rig).action, question.action);
}

#[test]
fn silence_denies_and_nobody_is_asked_where_nobody_is() {
    let mut rig = new(Some(1));
    let id = rig.ask("workspace.write", WRITE);
    let question = pending(&rig);
    settled(&rig, 1);
    let (status, body) = rig.answer(id);
    assert_eq!(
        (status, &body["reason"]),
        (Status::Denied, &json!("the call needs an approval, and nobody gave one in time"))
    );
    settle(&rig, &question, true);
    assert!(obeyed(&rig).is_err());
    let entries = rig.end();
    assert!(outline(&entries).contains(&"expired".to_owned()));

    let mut rig = new(None);
    assert_eq!(rig.call("workspace.write", serde_json::from_slice(WRITE).unwrap()).0, Status::Denied);
    assert!(steps(&rig.end()).is_empty());
}

#[test]
fn what_could_not_be_done_is_not_asked_about() {
    let mut rig = new(HOUR);
    let (status, body) = rig.call("workspace.write", json!({ "path": "a", "content_base64": "not base64" }));
    assert_eq!((status, &body["error"]), (Status::Invalid, &json!("invalid")));
    assert!(steps(&rig.end()).is_empty());
}

/// Ends the first life of a run while its call waits; `then` is done first.
fn interrupted(then: impl FnOnce(&Rig, &Pending)) -> (TempDir, Pending) {
    let mut rig = new(HOUR);
    assert_eq!(rig.call("workspace.stat", json!({ "path": "." })).0, Status::Ok);
    rig.ask("workspace.write", WRITE);
    let question = pending(&rig);
    then(&rig, &question);
    (rig.crash().0, question)
}

fn resumed(dirs: TempDir) -> Rig {
    let mut rig = asking(HOUR, Course::Resumed, dirs, POLICY);
    assert_eq!(rig.call("workspace.stat", json!({ "path": "." })).0, Status::Ok);
    rig
}

#[test]
fn a_question_outlives_its_shim() {
    let (dirs, question) = interrupted(|_, _| {});
    let mut rig = resumed(dirs);
    let id = rig.ask("workspace.write", WRITE);
    let again = pending(&rig);
    assert_eq!((again.approval, &again.action, again.expires), (1, &question.action, question.expires));
    settle(&rig, &again, true);
    settled(&rig, 1);
    assert_eq!(rig.answer(id).0, Status::Ok);
    assert!(obeyed(&rig).is_ok());
    // Asked once, whatever came between.
    let states: Vec<String> = steps(&rig.end()).into_iter().map(|step| step.state).collect();
    assert_eq!(states, ["asked", "approved"]);
}

/// Writes a step of an approval as a shim does that dies right after.
fn answered_by(dirs: &TempDir, state: &str) {
    let journal = common::directory(&dirs.path().join("journal"));
    let mut writer = stockade_journal::recover(journal).unwrap().writer;
    let asked = steps(
        &stockade_journal::Reader::open(&dirs.path().join("journal")).unwrap().map(Result::unwrap).collect::<Vec<_>>(),
    );
    let step = stockade_journal::Approval { state: state.to_owned(), args: None, ..asked[0].clone() };
    writer.append(Record::Approval(Box::new(step))).unwrap();
    writer.commit().unwrap();
}

#[test]
fn an_answer_that_was_not_used_outlives_its_shim_and_is_used_once() {
    let (dirs, _) = interrupted(|_, _| {});
    answered_by(&dirs, "approved");
    let mut rig = resumed(dirs);
    let id = rig.ask("workspace.write", WRITE);
    settled(&rig, 1);
    assert_eq!(rig.answer(id).0, Status::Ok);
    rig.ask("workspace.write", WRITE);
    assert_eq!(pending(&rig).approval, 2);

    let (dirs, _) = interrupted(|_, _| {});
    answered_by(&dirs, "denied");
    let mut rig = resumed(dirs);
    let id = rig.ask("workspace.write", WRITE);
    settled(&rig, 1);
    assert_eq!(rig.answer(id).0, Status::Denied);
    assert!(!rig.workspace.join("a").exists());
}

#[test]
fn an_approved_call_is_decided_once_more() {
    // What is approved may have become impossible meanwhile: here by the operator's own freeze.
    let mut rig = new(HOUR);
    let id = rig.ask("workspace.write", WRITE);
    let question = pending(&rig);
    order(&rig, 9, Order::Freeze { tool: "workspace.*".to_owned() });
    settled(&rig, 1);
    let (status, body) = rig.answer(id);
    assert_eq!((status, &body["layer"]), (Status::Denied, &json!("approval")));
    assert_eq!(obeyed(&rig), Ok("frozen workspace.*; 1 calls in flight cut short".to_owned()));
    settle(&rig, &question, true);
    assert!(obeyed(&rig).is_err());
    let (status, body) = rig.call("workspace.stat", json!({ "path": "." }));
    assert_eq!((status, &body["layer"]), (Status::Denied, &json!("frozen")));
    order(&rig, 9, Order::Thaw { tool: "workspace.*".to_owned() });
    assert!(obeyed(&rig).is_ok());
    assert_eq!(rig.call("workspace.stat", json!({ "path": "." })).0, Status::Ok);
    order(&rig, 9, Order::Thaw { tool: "workspace.*".to_owned() });
    assert!(obeyed(&rig).is_err());
    let entries = rig.end();
    assert_eq!(steps(&entries).last().unwrap().state, "withdrawn");
    assert_eq!(lifecycle(&entries, "tool_frozen")[0]["by"]["login_uid"], 1000);
    assert_eq!(lifecycle(&entries, "tool_thawed").len(), 1);
}

#[test]
fn a_command_that_runs_is_cut_short_by_a_freeze() {
    let mut rig = new(HOUR);
    let id = rig.ask("exec", br#"{"argv":["/bin/echo"]}"#);
    assert!(matches!(rig.receive(), Some(ToSupervisor::LaunchTool { cell: 1, .. })));
    let (out, out_w) = std::io::pipe().unwrap();
    let (err, err_w) = std::io::pipe().unwrap();
    let started = ToShim::ToolStarted { cell: 1, enforcement: Value::Null };
    common::send(&rig.control, &started, &[out.as_fd(), err.as_fd()]);
    order(&rig, 9, Order::Freeze { tool: "exec".to_owned() });
    assert!(matches!(rig.receive(), Some(ToSupervisor::KillTool { cell: 1 })));
    assert_eq!(obeyed(&rig), Ok("frozen exec; 1 calls in flight cut short".to_owned()));
    drop((out_w, err_w));
    rig.send(&ToShim::ToolExited { cell: 1, status: ExitStatus::Signal(9) });
    let (status, body) = rig.answer(id);
    assert_eq!((status, &body["error"]), (Status::Failed, &json!("frozen")));
    assert_eq!(rig.call("exec", json!({ "argv": ["/bin/echo"] })).0, Status::Denied);
    assert_eq!(lifecycle(&rig.end(), "tool_exited")[0]["killed_for"], "frozen");
}

#[test]
fn what_was_frozen_before_the_run_is_frozen_in_it() {
    let dirs = TempDir::new().unwrap();
    let journal = dirs.path().join("journal");
    std::fs::create_dir(&journal).unwrap();
    let bundle = bundle(POLICY);
    let setup = Setup { frozen: vec!["workspace.stat".to_owned()], ..setup("wasm") };
    let mut rig = Rig::with_setup(setup, &bundle, dirs, journal);
    rig.start();
    assert_eq!(rig.call("workspace.stat", json!({ "path": "." })).0, Status::Denied);
    order(&rig, 9, Order::Freeze { tool: "no such*".to_owned() });
    assert!(obeyed(&rig).is_err());
}

#[test]
fn an_approval_of_a_private_call_tells_nothing_of_it() {
    let policy = format!("{POLICY}[journal]\nprivate = [\"workspace.write\"]\n");
    let mut rig = asking(HOUR, Course::New, TempDir::new().unwrap(), &policy);
    let id = rig.ask("workspace.write", br#"{"path":"a","content":"the secret"}"#);
    let question = pending(&rig);
    settle(&rig, &question, true);
    settled(&rig, 1);
    assert_eq!(rig.answer(id).0, Status::Ok);
    assert!(obeyed(&rig).is_ok());
    let lines = std::fs::read_to_string(rig.journal.join("00000001.jsonl")).unwrap();
    assert!(!lines.contains("the secret") && !lines.contains(&question.action), "{lines}");
    rig.end();
}
