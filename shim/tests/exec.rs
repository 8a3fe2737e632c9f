//! `exec`, with a supervisor of the test's that starts what it says it starts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use std::io::{PipeWriter, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use common::{POLICY, Rig, lifecycle, outline};
use serde_json::json;
use stockade_journal::Record;
use stockade_wire::control::{ExitStatus, ToShim, ToSupervisor};
use stockade_wire::frame::{FromCell, Status};

/// Asks for `exec` and checks what reaches the supervisor.
fn asked(rig: &mut Rig, args: &[u8]) -> u64 {
    let id = rig.ask("exec", args);
    match rig.receive() {
        Some(ToSupervisor::LaunchTool { cell, exec, argv }) => {
            assert_eq!((cell, exec.as_str(), argv[0].as_str()), (1, "echo", "/bin/echo"));
        }
        other => panic!("{other:?}"),
    }
    // The intent is on disk before anything can be launched.
    assert_eq!(outline(&rig.records()).last().unwrap(), "call exec allow policy");
    id
}

fn started(rig: &Rig) -> (PipeWriter, PipeWriter) {
    let (out, out_w) = std::io::pipe().unwrap();
    let (err, err_w) = std::io::pipe().unwrap();
    let message = ToShim::ToolStarted { cell: 1, enforcement: json!({ "seccomp": 1 }) };
    common::send(&rig.control, &message, &[out.as_fd(), err.as_fd()]);
    (out_w, err_w)
}

fn exited(rig: &Rig, status: ExitStatus) {
    rig.send(&ToShim::ToolExited { cell: 1, status });
}

#[test]
fn a_command_from_launch_to_answer() {
    let mut rig = Rig::running();
    let id = asked(&mut rig, br#"{"argv":["/bin/echo","hi"]}"#);
    let (mut out, mut err) = started(&rig);
    out.write_all(b"hi\n").unwrap();
    err.write_all(b"caf\xe9").unwrap();
    drop((out, err));
    exited(&rig, ExitStatus::Code(0));
    assert_eq!(
        rig.answer(id),
        (
            Status::Ok,
            json!({ "status": { "code": 0 }, "stdout": "hi\n", "stderr": "caf\u{fffd}", "stdout_dropped": 0, "stderr_dropped": 0 })
        )
    );
    let entries = rig.end();
    assert_eq!(
        outline(&entries),
        ["start", "call exec allow policy", "tool_started", "tool_exited", "result ok", "exit"]
    );
    assert_eq!(lifecycle(&entries, "tool_started"), [json!({ "cell": 1, "call": 1, "enforcement": { "seccomp": 1 } })]);
    let Record::Call(call) = &entries[1].record else { panic!() };
    assert_eq!(call.effect, "local");
    assert!(call.rules.contains(&"exec.echo".to_owned()), "{:?}", call.rules);
}

#[test]
fn output_is_bounded_and_the_rest_counted() {
    let mut rig = Rig::running();
    let id = asked(&mut rig, br#"{"argv":["/bin/echo"]}"#);
    let (mut out, err) = started(&rig);
    // More than the pipe holds: the mediator takes it while it comes.
    out.write_all(&vec![b'x'; 3 << 20]).unwrap();
    drop((out, err));
    exited(&rig, ExitStatus::Signal(13));
    let (status, body) = rig.answer(id);
    assert_eq!((status, &body["status"]), (Status::Ok, &json!({ "signal": 13 })));
    assert_eq!(body["stdout"].as_str().unwrap().len(), 64 * 1024);
    assert_eq!(body["stdout_dropped"], (3 << 20) - 64 * 1024);
}

#[test]
fn a_command_over_its_time_is_killed() {
    let mut rig = Rig::running();
    let id = asked(&mut rig, br#"{"argv":["/bin/echo"],"timeout_ms":50}"#);
    let (mut out, _err) = started(&rig);
    let begun = Instant::now();
    out.write_all(b"part").unwrap();
    assert!(matches!(rig.receive(), Some(ToSupervisor::KillTool { cell: 1 })));
    assert!(
        (Duration::from_millis(45)..Duration::from_millis(900)).contains(&begun.elapsed()),
        "{:?}",
        begun.elapsed()
    );
    exited(&rig, ExitStatus::Signal(9));
    let (status, body) = rig.answer(id);
    assert_eq!((status, &body["error"], &body["stdout"]), (Status::Limit, &json!("wall"), &json!("part")));
    assert_eq!(lifecycle(&rig.end(), "tool_exited")[0]["killed_for"], "wall");
}

#[test]
fn a_longer_time_than_the_rule_s_is_not_had() {
    let mut rig = Rig::running();
    let id = asked(&mut rig, br#"{"argv":["/bin/echo"],"timeout_ms":86400000}"#);
    let _pipes = started(&rig);
    let begun = Instant::now();
    assert!(matches!(rig.receive(), Some(ToSupervisor::KillTool { cell: 1 })));
    assert!(begun.elapsed() < Duration::from_secs(5));
    exited(&rig, ExitStatus::Signal(9));
    assert_eq!(rig.answer(id).0, Status::Limit);
}

#[test]
fn a_launch_that_fails_is_told_without_its_details() {
    let mut rig = Rig::running();
    let id = asked(&mut rig, br#"{"argv":["/bin/echo"]}"#);
    rig.send(&ToShim::ToolRefused { cell: 1, error: "pivot_root: /srv/secret-name".into() });
    let (status, body) = rig.answer(id);
    assert_eq!((status, &body["error"]), (Status::Failed, &json!("launch")));
    assert!(!body.to_string().contains("secret-name"));
    let id = rig.ask("exec", br#"{"argv":["/bin/echo"]}"#);
    assert!(matches!(rig.receive(), Some(ToSupervisor::LaunchTool { cell: 2, .. })), "numbers are not used twice");
    rig.send(&ToShim::ToolRefused { cell: 2, error: String::new() });
    assert_eq!(rig.answer(id).0, Status::Failed);
    assert!(lifecycle(&rig.end(), "tool_refused")[0]["error"].as_str().unwrap().contains("secret-name"));
}

#[test]
fn an_agent_that_ends_during_a_command() {
    let mut rig = Rig::running();
    asked(&mut rig, br#"{"argv":["/bin/echo"]}"#);
    let _pipes = started(&rig);
    // A time limit of the cell itself: it says so while its call is in flight.
    let outcome = br#"{"reason":"limit_wall","detail":"epoch","fuel":3}"#.to_vec();
    rig.say(&FromCell::Exit { outcome });
    assert!(matches!(rig.receive(), Some(ToSupervisor::AgentExit(_))));
    rig.send(&ToShim::CellExited { end: common::end() });
    assert!(matches!(rig.receive(), Some(ToSupervisor::KillTool { cell: 1 })));
    assert!(matches!(rig.receive(), Some(ToSupervisor::Bye(_))));
    assert_eq!(
        outline(&rig.records()),
        ["start", "call exec allow policy", "tool_started", "agent_exit", "result failed", "exit"]
    );
    rig.join().unwrap();
}

#[test]
fn a_number_of_arguments_or_a_program_the_policy_does_not_name() {
    let mut rig = Rig::running_with(&POLICY.replace(r#"["/bin/echo"]"#, r#"["/bin/echo", "-n"]"#));
    for argv in [json!(["/bin/echo"]), json!(["/bin/echo", "-e"]), json!(["echo", "-n"]), json!(["/bin//echo", "-n"])] {
        assert_eq!(rig.call("exec", json!({ "argv": argv })).0, Status::Denied);
    }
    rig.ask("exec", br#"{"argv":["/bin/echo","-n","x"]}"#);
    assert!(matches!(rig.receive(), Some(ToSupervisor::LaunchTool { argv, .. }) if argv == ["/bin/echo", "-n", "x"]));
}
