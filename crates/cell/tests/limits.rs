//! Each limit of the inner sandbox ends the run, and is told by its name.
#![cfg(feature = "run")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::text::{self, Agent, NOTHING};
use common::{Cell, artifact, config, run};
use stockade_wire::control::Reason;
use stockade_wire::frame::{FromCell, Status, ToCell};

const FOREVER: &str = "(loop $l (br $l)) unreachable";

#[test]
fn fuel() {
    need!("stockade-cell", "stockade-compile");
    let mut limits = config();
    limits.fuel = 1_000_000;
    let ended = run(&text::body(FOREVER), &limits);
    assert_eq!(ended.reason(), Reason::LimitFuel, "{ended:?}");
    // The last block is paid for before it runs, so the count may pass the limit by little.
    assert!((1_000_000..1_000_100).contains(&ended.exit.unwrap().fuel));
}

#[test]
fn wall_clock_in_a_loop() {
    need!("stockade-cell", "stockade-compile");
    let mut limits = config();
    limits.wall_ms = 300;
    limits.fuel = u64::MAX / 2;
    let ended = run(&text::body(FOREVER), &limits);
    assert_eq!(ended.reason(), Reason::LimitWall, "{ended:?}");
}

#[test]
fn wall_clock_in_a_start_function() {
    need!("stockade-cell", "stockade-compile");
    let mut limits = config();
    limits.wall_ms = 300;
    limits.fuel = u64::MAX / 2;
    let ended = run(&text::module(&format!("(func $s {FOREVER}) (start $s)"), NOTHING), &limits);
    assert_eq!(ended.reason(), Reason::LimitWall, "{ended:?}");
}

#[test]
fn wall_clock_in_a_call_that_nobody_answers() {
    need!("stockade-cell", "stockade-compile");
    let mut limits = config();
    limits.wall_ms = 300;
    let code = artifact(&text::body(
        "(call $call (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 1024)) unreachable",
    ));
    let mut cell = Cell::start(&code, &limits);
    assert!(matches!(cell.frame(), Some(FromCell::Ready { .. })));
    cell.send(&ToCell::Start);
    assert!(matches!(cell.frame(), Some(FromCell::Call { .. })));
    let Some(FromCell::Exit { outcome }) = cell.frame() else { panic!("no exit frame") };
    let exit: stockade_wire::control::AgentExit = serde_json::from_slice(&outcome).unwrap();
    assert_eq!(exit.reason, Reason::LimitWall);
    cell.finish(None, vec![], vec![], Some(exit));
}

#[test]
fn wall_clock_in_a_sleep() {
    need!("stockade-cell", "stockade-compile");
    let mut limits = config();
    limits.wall_ms = 300;
    for nanos in ["3600000000000", "-1"] {
        let agent = Agent {
            imports: r#"
              (import "wasi:io/poll@0.2.0" (instance $poll
                (export "pollable" (type $p (sub resource)))
                (export "[method]pollable.block" (func (param "self" (borrow $p))))))
              (alias export $poll "pollable" (type $pollable))
              (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
                (alias outer 1 $pollable (type $p))
                (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))"#,
            wasi: &[
                ("block", r#"$poll "[method]pollable.block""#, "(param i32)"),
                ("after", r#"$clock "subscribe-duration""#, "(param i64) (result i32)"),
            ],
            module: "",
            run: &format!("(call $block (call $after (i64.const {nanos}))) unreachable"),
        };
        let ended = Cell::start(&artifact(&agent.text()), &limits).serve(|_, _| common::at(1000));
        assert_eq!(ended.reason(), Reason::LimitWall, "{ended:?}");
        assert_eq!(ended.calls.len(), 2, "when it was to sleep, and whether the sleep is over");
    }
}

#[test]
fn memory_by_growth() {
    need!("stockade-cell", "stockade-compile");
    let mut limits = config();
    limits.memory = 1 << 20;
    let grow = "(loop $l (drop (memory.grow (i32.const 1))) (br $l)) unreachable";
    let ended = run(&text::body(grow), &limits);
    assert_eq!(ended.reason(), Reason::LimitMemory, "{ended:?}");
    assert!(ended.detail().contains("1048576"), "{}", ended.detail());
}

#[test]
fn memory_from_the_start() {
    need!("stockade-cell", "stockade-compile");
    let mut limits = config();
    limits.memory = 1 << 20;
    for module in [
        "(memory 65536)",
        // Many small ones: the limit is for all together.
        &"(memory 1)".repeat(20),
    ] {
        let ended = run(&text::module(module, NOTHING), &limits);
        assert_eq!(ended.reason(), Reason::LimitMemory, "{ended:?}");
    }
}

#[test]
fn the_agents_own_maximum_is_no_limit_of_ours() {
    need!("stockade-cell", "stockade-compile");
    let module = "(memory $own 1 2)";
    let body = "(if (i32.ne (memory.grow $own (i32.const 2)) (i32.const -1)) (then unreachable)) (call $ok (i32.const 0) (i32.const 0))";
    assert_eq!(run(&text::module(module, body), &config()).reason(), Reason::Finished);
}

#[test]
fn tables() {
    need!("stockade-cell", "stockade-compile");
    let mut limits = config();
    limits.table_elements = 1000;
    let grow = "(loop $l (drop (table.grow $t (ref.null func) (i32.const 100))) (br $l)) unreachable";
    for (module, body) in [("(table $t 1 funcref)", grow), ("(table 10000000 funcref)", NOTHING)] {
        let ended = run(&text::module(module, body), &limits);
        assert_eq!(ended.reason(), Reason::LimitTable, "{ended:?}");
    }
}

#[test]
fn too_many_memories_are_refused_before_anything_runs() {
    need!("stockade-cell", "stockade-compile");
    let code = artifact(&text::module(&"(memory 0)".repeat(99), NOTHING));
    let ended = Cell::start(&code, &config()).serve(|_, _| unreachable!());
    assert!(ended.refused().contains("100 linear memories; at most 64"), "{}", ended.stderr);
}

#[test]
fn host_memory_is_not_the_agents_to_spend() {
    need!("stockade-cell", "stockade-compile");
    // A log line of 40 MiB: more than any host call may hand over.
    let body = "(drop (memory.grow (i32.const 700))) (call $log (i32.const 0) (i32.const 0) (i32.const 41943040)) (call $ok (i32.const 0) (i32.const 0))";
    let ended = run(&text::body(body), &config());
    assert_eq!(ended.reason(), Reason::Crashed, "{ended:?}");
    // A task's worth of pollables without end.
    let agent = Agent {
        imports: r#"
          (import "wasi:io/poll@0.2.0" (instance $poll (export "pollable" (type $p (sub resource)))))
          (alias export $poll "pollable" (type $pollable))
          (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
            (alias outer 1 $pollable (type $p))
            (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))"#,
        wasi: &[("after", r#"$clock "subscribe-duration""#, "(param i64) (result i32)")],
        module: "",
        run: "(loop $l (drop (call $after (i64.const 1))) (br $l)) unreachable",
    };
    let ended = run(&agent.text(), &config());
    assert_eq!(ended.reason(), Reason::Crashed, "{ended:?}");
}

#[test]
fn a_large_answer_is_bounded_by_the_memory_limit() {
    need!("stockade-cell", "stockade-compile");
    let mut limits = config();
    limits.memory = 1 << 20;
    let code = artifact(&text::body(
        "(call $call (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 1024)) (call $ok (i32.const 0) (i32.const 0))",
    ));
    let ended = Cell::start(&code, &limits).serve(|_, _| (Status::Ok, "x".repeat(3 << 20)));
    assert_eq!(ended.reason(), Reason::LimitMemory, "{ended:?}");
}
