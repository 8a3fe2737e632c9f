//! WASI as an agent finds it: what a runtime needs to start, and no authority.
#![cfg(feature = "run")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::text::Agent;
use common::{Cell, artifact, config};
use stockade_wire::cell::CellConfig;
use stockade_wire::control::Reason;
use stockade_wire::frame::Status;

fn play(agent: &Agent<'_>, config: &CellConfig, answer: impl FnMut(&str, &str) -> (Status, String)) -> common::Ended {
    Cell::start(&artifact(&agent.text()), config).serve(answer)
}

const WALL: Agent<'_> = Agent {
    imports: r#"
      (import "wasi:clocks/wall-clock@0.2.0" (instance $clock
        (type $d (record (field "seconds" u64) (field "nanoseconds" u32)))
        (export "datetime" (type $t (eq $d)))
        (export "now" (func (result $t)))))"#,
    wasi: &[("now", r#"$clock "now""#, "(param i32)")],
    module: "",
    run: "(call $now (i32.const 512))
          (if (i64.ne (i64.load (i32.const 512)) (i64.const 1234567890)) (then unreachable))
          (if (i32.ne (i32.load (i32.const 520)) (i32.const 987654321)) (then unreachable))
          (call $ok (i32.const 0) (i32.const 0))",
};

#[test]
fn the_wall_clock_is_a_call() {
    need!("stockade-cell", "stockade-compile");
    let ended = play(&WALL, &config(), |_, _| (Status::Ok, r#"{"unix_ns":"1234567890987654321"}"#.into()));
    assert_eq!(ended.reason(), Reason::Finished, "{ended:?}");
    assert_eq!(ended.calls, [(1, "clock".to_owned(), "{}".to_owned())]);
}

#[test]
fn a_denied_clock_ends_the_run_as_denied() {
    need!("stockade-cell", "stockade-compile");
    let ended = play(&WALL, &config(), |_, _| (Status::Denied, r#"{"reason":"no clock"}"#.into()));
    assert_eq!(ended.reason(), Reason::Denied, "{ended:?}");
    assert!(ended.detail().contains("no clock"));
    for odd in ["", "[]", r#"{"unix_ns":7}"#, r#"{"unix_ns":"-7"}"#] {
        let ended = play(&WALL, &config(), |_, _| (Status::Ok, odd.into()));
        assert_eq!(ended.reason(), Reason::Crashed, "{ended:?}");
    }
}

#[test]
fn the_monotonic_clock_never_goes_back() {
    need!("stockade-cell", "stockade-compile");
    let agent = Agent {
        imports: r#"
          (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock (export "now" (func (result u64)))))"#,
        wasi: &[("now", r#"$clock "now""#, "(result i64)")],
        module: "",
        run: "(if (i64.lt_u (i64.const 0) (i64.sub (call $now) (call $now))) (then unreachable)) (call $ok (i32.const 0) (i32.const 0))",
    };
    let mut time = 1000;
    let ended = play(&agent, &config(), |_, _| {
        time -= 10;
        (Status::Ok, format!(r#"{{"unix_ns":"{time}"}}"#))
    });
    assert_eq!((ended.reason(), ended.calls.len()), (Reason::Finished, 2), "{ended:?}");
}

const SLEEP: Agent<'_> = Agent {
    imports: r#"
      (import "wasi:io/poll@0.2.0" (instance $poll
        (export "pollable" (type $p (sub resource)))
        (export "[method]pollable.block" (func (param "self" (borrow $p))))
        (export "[method]pollable.ready" (func (param "self" (borrow $p)) (result bool)))
        (export "poll" (func (param "in" (list (borrow $p))) (result (list u32))))))
      (alias export $poll "pollable" (type $pollable))
      (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
        (alias outer 1 $pollable (type $p))
        (export "subscribe-instant" (func (param "when" u64) (result (own $p))))))"#,
    wasi: &[
        ("block", r#"$poll "[method]pollable.block""#, "(param i32)"),
        ("ready", r#"$poll "[method]pollable.ready""#, "(param i32) (result i32)"),
        ("poll", r#"$poll "poll""#, "(param i32 i32 i32)"),
        ("at", r#"$clock "subscribe-instant""#, "(param i64) (result i32)"),
    ],
    module: "",
    // Two sleeps: neither is over at 10, the first is at 20; then both are.
    run: "(i32.store (i32.const 0) (call $at (i64.const 20)))
          (i32.store (i32.const 4) (call $at (i64.const 30)))
          (if (call $ready (i32.load (i32.const 0))) (then unreachable))
          (call $poll (i32.const 0) (i32.const 2) (i32.const 512))
          (if (i32.ne (i32.load (i32.const 516)) (i32.const 1)) (then unreachable))
          (if (i32.load (i32.load (i32.const 512))) (then unreachable))
          (call $block (i32.load (i32.const 4)))
          (call $poll (i32.const 0) (i32.const 2) (i32.const 512))
          (if (i32.ne (i32.load (i32.const 516)) (i32.const 2)) (then unreachable))
          (call $ok (i32.const 0) (i32.const 0))",
};

#[test]
fn a_sleep_depends_on_readings_of_the_clock_alone() {
    need!("stockade-cell", "stockade-compile");
    // An answer that is recorded lets no time pass; one that is not does, here some nanoseconds.
    for recorded in [true, false] {
        let mut cell = Cell::start(&artifact(&SLEEP.text()), &config());
        cell.recorded = recorded;
        let mut readings = [10, 10, 15, 20, 25, 35, 35].into_iter();
        let ended = cell.serve(|_, _| common::at(readings.next().unwrap()));
        assert_eq!((ended.reason(), ended.calls.len()), (Reason::Finished, 7), "{ended:?}");
        assert!(ended.calls.iter().all(|(_, tool, _)| tool == "clock"));
        assert!(ended.fuel.is_sorted() && ended.fuel[0] > 0, "{:?}", ended.fuel);
    }
}

#[test]
fn fuel_is_told_with_each_call_and_the_same_each_time() {
    need!("stockade-cell", "stockade-compile");
    let once = || play(&SLEEP, &config(), |_, _| common::at(40));
    let (first, second) = (once(), once());
    assert_eq!(first.reason(), Reason::Crashed, "the first sleep is over at once, which this agent does not expect");
    assert_eq!((first.fuel, first.exit), (second.fuel, second.exit));
}

#[test]
fn a_denied_clock_ends_a_sleep_as_denied() {
    need!("stockade-cell", "stockade-compile");
    let ended = play(&SLEEP, &config(), |_, _| (Status::Denied, r#"{"reason":"no clock"}"#.into()));
    assert_eq!((ended.reason(), ended.calls.len()), (Reason::Denied, 1), "{ended:?}");
}

#[test]
fn random_numbers_are_a_call_and_insecure_ones_the_same_each_time() {
    need!("stockade-cell", "stockade-compile");
    let agent = Agent {
        imports: r#"
          (import "wasi:random/random@0.2.0" (instance $random (export "get-random-u64" (func (result u64)))))
          (import "wasi:random/insecure@0.2.0" (instance $insecure (export "get-insecure-random-u64" (func (result u64)))))"#,
        wasi: &[
            ("r", r#"$random "get-random-u64""#, "(result i64)"),
            ("i", r#"$insecure "get-insecure-random-u64""#, "(result i64)"),
        ],
        module: r#"
          (func $hex (param $n i64) (param $at i32) (local $i i32)
            (loop $l
              (i32.store8 (i32.add (local.get $at) (local.get $i))
                (i32.add (i32.const 97) (i32.wrap_i64 (i64.and (i64.shr_u (local.get $n) (i64.extend_i32_u (i32.shl (local.get $i) (i32.const 2)))) (i64.const 15)))))
              (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 16)))))"#,
        run: "(if (i64.ne (call $r) (i64.const 0x0807060504030201)) (then unreachable))
              (call $hex (call $i) (i32.const 0)) (call $ok (i32.const 0) (i32.const 16))",
    };
    let go = |answer: (Status, &str)| play(&agent, &config(), |_, _| (answer.0, answer.1.to_owned()));
    let first = go((Status::Ok, r#"{"base64":"AQIDBAUGBwg="}"#));
    assert_eq!(first.reason(), Reason::Finished, "{first:?}");
    assert_eq!(first.calls, [(1, "random".to_owned(), r#"{"length":8}"#.to_owned())]);
    assert_eq!(first.detail(), go((Status::Ok, r#"{"base64":"AQIDBAUGBwg="}"#)).detail());
    assert_eq!(go((Status::Denied, "{}")).reason(), Reason::Denied);
    assert_eq!(go((Status::Ok, r#"{"base64":"AQID"}"#)).reason(), Reason::Crashed);
    assert_eq!(go((Status::Ok, r#"{"base64":"!"}"#)).reason(), Reason::Crashed);
}

#[test]
fn a_socket_is_refused_whatever_the_shim_says_and_is_on_the_record() {
    need!("stockade-cell", "stockade-compile");
    for (package, function, kind) in
        [("tcp-create-socket", "create-tcp-socket", "tcp"), ("udp-create-socket", "create-udp-socket", "udp")]
    {
        let imports = format!(
            r#"
          (import "wasi:sockets/network@0.2.0" (instance $net
            (type $e (enum "unknown" "access-denied" "not-supported" "invalid-argument" "out-of-memory" "timeout" "concurrency-conflict" "not-in-progress" "would-block" "invalid-state" "new-socket-limit" "address-not-bindable" "address-in-use" "remote-unreachable" "connection-refused" "connection-reset" "connection-aborted" "datagram-too-large" "name-unresolvable" "temporary-resolver-failure" "permanent-resolver-failure"))
            (export "error-code" (type $c (eq $e)))
            (type $f (enum "ipv4" "ipv6"))
            (export "ip-address-family" (type $g (eq $f)))))
          (alias export $net "error-code" (type $code))
          (alias export $net "ip-address-family" (type $family))
          (import "wasi:sockets/{kind}@0.2.0" (instance $sock (export "{kind}-socket" (type (sub resource)))))
          (alias export $sock "{kind}-socket" (type $socket))
          (import "wasi:sockets/{package}@0.2.0" (instance $make
            (alias outer 1 $socket (type $s)) (alias outer 1 $code (type $c)) (alias outer 1 $family (type $f))
            (export "{function}" (func (param "address-family" $f) (result (result (own $s) (error $c)))))))"#
        );
        let agent = Agent {
            imports: &imports,
            wasi: &[("new", &format!("$make \"{function}\""), "(param i32 i32)")],
            module: "",
            run: "(call $new (i32.const 0) (i32.const 512))
              (if (i32.ne (i32.load8_u (i32.const 512)) (i32.const 1)) (then unreachable))
              (if (i32.ne (i32.load8_u (i32.const 516)) (i32.const 1)) (then unreachable))
              (call $ok (i32.const 0) (i32.const 0))",
        };
        for status in [Status::Denied, Status::Ok, Status::Invalid] {
            let ended = play(&agent, &config(), |_, _| (status, "{}".into()));
            assert_eq!(ended.reason(), Reason::Finished, "{ended:?}");
            let args: serde_json::Value = serde_json::from_str(&ended.calls[0].2).unwrap();
            assert_eq!(ended.calls[0].1, "wasi.socket");
            assert_eq!(args, serde_json::json!({"create": kind, "family": "ipv4"}));
        }
    }
}

#[test]
fn there_are_no_directories_and_the_environment_is_the_given() {
    need!("stockade-cell", "stockade-compile");
    let agent = Agent {
        imports: r#"
          (import "wasi:filesystem/types@0.2.0" (instance $types (export "descriptor" (type (sub resource)))))
          (alias export $types "descriptor" (type $descriptor))
          (import "wasi:filesystem/preopens@0.2.0" (instance $pre
            (alias outer 1 $descriptor (type $d))
            (export "get-directories" (func (result (list (tuple (own $d) string)))))))
          (import "wasi:cli/environment@0.2.0" (instance $env
            (export "get-environment" (func (result (list (tuple string string)))))))"#,
        wasi: &[
            ("dirs", r#"$pre "get-directories""#, "(param i32)"),
            ("envs", r#"$env "get-environment""#, "(param i32)"),
        ],
        module: "",
        run: "(call $dirs (i32.const 512)) (if (i32.load (i32.const 516)) (then unreachable))
              (call $envs (i32.const 512)) (if (i32.ne (i32.load (i32.const 516)) (i32.const 1)) (then unreachable))
              (call $ok (i32.load (i32.load (i32.const 512))) (i32.load offset=4 (i32.load (i32.const 512))))",
    };
    let ended = play(&agent, &config(), |_, _| unreachable!());
    assert_eq!((ended.reason(), ended.detail()), (Reason::Finished, "LANG"), "{ended:?}");
}

const WRITE: Agent<'_> = Agent {
    imports: r#"
      (import "wasi:io/error@0.2.0" (instance $error (export "error" (type (sub resource)))))
      (alias export $error "error" (type $err))
      (import "wasi:io/streams@0.2.0" (instance $streams
        (alias outer 1 $err (type $e0)) (export "error" (type $e (eq $e0)))
        (type $se (variant (case "last-operation-failed" (own $e)) (case "closed")))
        (export "stream-error" (type $serr (eq $se)))
        (export "output-stream" (type $o (sub resource)))
        (export "[method]output-stream.blocking-write-and-flush" (func (param "self" (borrow $o)) (param "contents" (list u8)) (result (result (error $serr)))))))
      (alias export $streams "output-stream" (type $out))
      (import "wasi:cli/stdout@0.2.0" (instance $stdout (alias outer 1 $out (type $o)) (export "get-stdout" (func (result (own $o))))))"#,
    wasi: &[
        ("get", r#"$stdout "get-stdout""#, "(result i32)"),
        ("write", r#"$streams "[method]output-stream.blocking-write-and-flush""#, "(param i32 i32 i32 i32)"),
    ],
    module: r#"(data (i32.const 0) "hello\0a")"#,
    run: "(call $write (call $get) (i32.const 0) (i32.const 6) (i32.const 512)) (if (i32.load8_u (i32.const 512)) (then unreachable)) (call $ok (i32.const 0) (i32.const 0))",
};

#[test]
fn stdout_is_a_pipe() {
    need!("stockade-cell", "stockade-compile");
    let ended = play(&WRITE, &config(), |_, _| unreachable!());
    assert_eq!((ended.reason(), ended.stdout.as_slice()), (Reason::Finished, &b"hello\n"[..]), "{ended:?}");
}

#[test]
fn exit_is_an_end_with_a_status() {
    need!("stockade-cell", "stockade-compile");
    for (status, reason) in [(0, Reason::Finished), (1, Reason::Failed)] {
        let run = format!("(call $exit (i32.const {status})) unreachable");
        let agent = Agent {
            imports: r#"
              (import "wasi:cli/exit@0.2.0" (instance $exit (export "exit" (func (param "status" (result))))))"#,
            wasi: &[("exit", r#"$exit "exit""#, "(param i32)")],
            module: "",
            run: &run,
        };
        let ended = play(&agent, &config(), |_, _| unreachable!());
        assert_eq!(ended.reason(), reason, "{ended:?}");
    }
}
