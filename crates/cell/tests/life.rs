//! A run from `Ready` to `Exit`: what an agent gets, and how its end is told.
#![cfg(feature = "run")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::text::{self, Agent, NOTHING};
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
