//! A run from `Ready` to `Exit`: what an agent gets, and how its end is told.
#![cfg(feature = "run")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::text::{self, NOTHING};
use common::{Cell, artifact, config, run};
use stockade_wire::cell::cell_exit;
use stockade_wire::control::Reason;
use stockade_wire::frame::{Level, Status};

#[test]
fn an_agent_calls_logs_and_finishes() {
    need!("stockade-cell", "stockade-compile");
    // Calls `echo`, logs the answer, returns the second word of its task.
    let agent = text::module(
        r#"(data (i32.const 0) "echo{\"n\":1}")"#,
        "(call $call (i32.const 0) (i32.const 4) (i32.const 4) (i32.const 7) (i32.const 1024))
         (if (i32.load8_u (i32.const 1024)) (then unreachable))
         (call $log (i32.const 2) (i32.load (i32.const 1028)) (i32.load (i32.const 1032)))
         (call $ok (i32.load (i32.add (local.get 0) (i32.const 8))) (i32.load (i32.add (local.get 0) (i32.const 12))))",
    );
    let ended = Cell::start(&artifact(&agent), &config()).serve(|_, _| (Status::Ok, r#"{"said":"hello"}"#.into()));
    assert_eq!(ended.reason(), Reason::Finished, "{ended:?}");
    assert_eq!(ended.detail(), "two");
    assert_eq!(ended.calls, [(1, "echo".to_owned(), r#"{"n":1}"#.to_owned())]);
    assert_eq!(ended.logs, [(Level::Warn, r#"{"said":"hello"}"#.to_owned())]);
    assert_eq!(ended.status.code(), Some(cell_exit::FINISHED));
    assert!(ended.exit.unwrap().fuel > 0);
    assert!(ended.stdout.is_empty() && ended.stderr.is_empty());
}

#[test]
fn the_report_says_what_closed_the_cell() {
    need!("stockade-cell", "stockade-compile");
    let code = artifact(&text::body(NOTHING));
    let ended = Cell::start(&code, &config()).serve(|_, _| unreachable!());
    let ready = ended.ready.as_ref().unwrap();
    assert_eq!(ready["engine"]["fingerprint"], stockade_wire::cell::ENGINE_FINGERPRINT);
    assert_eq!(ready["engine"]["settings"]["nan_canonicalization"], true);
    assert_eq!(ready["engine"]["settings"]["threads"], false);
    assert_eq!(ready["limits"]["memory"], config().memory);
    assert_eq!(ready["artifact_sha256"].as_str().unwrap().len(), 64);
    let canaries = ready["canaries"].as_array().unwrap();
    assert!(canaries.len() >= 4 && canaries.iter().all(|c| c["result"] == "EPERM"), "{canaries:?}");
    assert_eq!(ready["environment"][0], "LANG");
}

#[test]
fn nothing_runs_before_start() {
    need!("stockade-cell", "stockade-compile");
    // A start function that calls a tool: it must not run while the cell waits.
    let agent = text::module(
        r#"(data (i32.const 0) "early") (func $start (call $call (i32.const 0) (i32.const 5) (i32.const 0) (i32.const 0) (i32.const 1024))) (start $start)"#,
        NOTHING,
    );
    let mut cell = Cell::start(&artifact(&agent), &config());
    assert!(matches!(cell.frame(), Some(stockade_wire::frame::FromCell::Ready { .. })));
    // The shim leaves without a word: the cell ends, and had called nothing.
    let ended = cell.finish(None, vec![], vec![], None);
    assert!(ended.refused().contains("closed by the shim"), "{ended:?}");
    let ended = run(&agent, &config());
    assert_eq!((ended.reason(), ended.calls[0].1.as_str()), (Reason::Finished, "early"));
}

#[test]
fn a_failure_is_the_agents_own_words() {
    need!("stockade-cell", "stockade-compile");
    let ended = run(
        &text::module(r#"(data (i32.const 0) "no logs here")"#, "(call $err (i32.const 0) (i32.const 12))"),
        &config(),
    );
    assert_eq!((ended.reason(), ended.detail()), (Reason::Failed, "no logs here"));
    assert_eq!(ended.status.code(), Some(cell_exit::FAILED));
}

#[test]
fn every_kind_of_tool_error_reaches_the_agent() {
    need!("stockade-cell", "stockade-compile");
    let code = artifact(&text::body(
        "(call $call (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 1024))
         (i32.store8 (i32.const 2000) (i32.add (i32.const 48) (i32.load8_u (i32.const 1024))))
         (i32.store8 (i32.const 2001) (i32.add (i32.const 48) (i32.load8_u (i32.const 1028))))
         (call $ok (i32.const 2000) (i32.const 2))",
    ));
    for (status, seen) in
        [(Status::Denied, "10"), (Status::Invalid, "11"), (Status::Failed, "12"), (Status::Limit, "13")]
    {
        let ended = Cell::start(&code, &config()).serve(|_, _| (status, "{}".into()));
        assert_eq!((ended.reason(), ended.detail()), (Reason::Finished, seen));
    }
}

#[test]
fn long_logs_are_cut_and_long_names_never_leave() {
    need!("stockade-cell", "stockade-compile");
    let agent = text::module(
        r#"(data (i32.const 0) "\c3\a4")"#,
        "(local $i i32)
         (loop $l (i32.store16 (local.get $i) (i32.const 0xa4c3))
           (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 2))) (i32.const 1000))))
         (call $log (i32.const 0) (i32.const 0) (i32.const 998))
         (call $call (i32.const 0) (i32.const 130) (i32.const 0) (i32.const 0) (i32.const 1024))
         (if (i32.ne (i32.load8_u (i32.const 1028)) (i32.const 1)) (then unreachable))
         (call $ok (i32.const 0) (i32.const 0))",
    );
    let mut limits = config();
    limits.log_line = 101;
    let ended = run(&agent, &limits);
    assert_eq!(ended.reason(), Reason::Finished, "{ended:?}");
    assert_eq!(ended.logs, [(Level::Debug, "ä".repeat(50))]);
    assert!(ended.calls.is_empty());
}

#[test]
fn traps_are_told_with_their_place() {
    need!("stockade-cell", "stockade-compile");
    for (module, body, said) in [
        ("(func $deep unreachable)", "(call $deep) (call $ok (i32.const 0) (i32.const 0))", "unreachable"),
        ("", "(call $ok (i32.load (i32.const 0x7fffffff)) (i32.const 0))", "out of bounds memory access"),
        ("", "(call $ok (i32.div_u (i32.const 1) (i32.const 0)) (i32.const 0))", "divide by zero"),
        ("(func $down (call $down))", "(call $down) (call $ok (i32.const 0) (i32.const 0))", "call stack exhausted"),
        ("(func $start unreachable) (start $start)", NOTHING, "unreachable"),
        // A result whose text is outside of memory.
        ("", "(call $ok (i32.const -16) (i32.const 100))", "out of bounds"),
        // A result that is not UTF-8.
        (r#"(data (i32.const 0) "\ff\fe")"#, "(call $ok (i32.const 0) (i32.const 2))", "utf-8"),
    ] {
        let ended = run(&text::module(module, body), &config());
        assert_eq!(ended.reason(), Reason::Crashed, "{said}: {ended:?}");
        assert!(ended.detail().to_lowercase().contains(said), "{said}: {}", ended.detail());
        assert_eq!(ended.status.code(), Some(cell_exit::TRAPPED));
    }
}

#[test]
fn two_runs_of_one_agent_burn_the_same_fuel() {
    need!("stockade-cell", "stockade-compile");
    let code = artifact(&text::body(
        "(local $i i32) (loop $l (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100000))))
         (call $ok (i32.const 0) (i32.const 0))",
    ));
    let fuel = || Cell::start(&code, &config()).serve(|_, _| unreachable!()).exit.unwrap().fuel;
    let first = fuel();
    assert!(first > 100_000);
    assert_eq!(first, fuel());
}

#[test]
fn a_shim_that_misbehaves_ends_the_run() {
    need!("stockade-cell", "stockade-compile");
    use stockade_wire::frame::{FromCell, ToCell};
    let code = artifact(&text::body(
        "(call $call (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 1024)) (call $ok (i32.const 0) (i32.const 0))",
    ));
    let reply = |id, body: &[u8]| {
        ToCell::Reply { id, status: Status::Ok, recorded: false, body: body.to_vec() }.encode().unwrap()
    };
    for (answer, said) in [
        (reply(2, b"{}"), "another call"),
        (reply(1, b"\xff"), "UTF-8"),
        (ToCell::Start.encode().unwrap(), "second start"),
        (vec![0, 0, 0, 0], "frame of 0 bytes"),
        (vec![255, 255, 255, 255], "frame of 4294967295 bytes"),
        (vec![1, 0, 0, 0, 0x55], "unknown frame kind"),
    ] {
        let mut cell = Cell::start(&code, &config());
        assert!(matches!(cell.frame(), Some(FromCell::Ready { .. })));
        cell.send(&ToCell::Start);
        assert!(matches!(cell.frame(), Some(FromCell::Call { .. })));
        cell.send_raw(&answer);
        let Some(FromCell::Exit { outcome }) = cell.frame() else { panic!("no exit frame: {said}") };
        let exit: stockade_wire::control::AgentExit = serde_json::from_slice(&outcome).unwrap();
        assert_eq!(exit.reason, Reason::Killed, "{exit:?}");
        assert!(exit.detail.contains(said), "{exit:?}");
        let ended = cell.finish(None, vec![], vec![], Some(exit));
        assert_eq!(ended.status.code(), Some(cell_exit::TRAPPED));
    }
}
