//! Components that are none, that are bombs, and agents that misbehave from the start.

use std::fs;
use std::os::unix::fs::symlink;

use nix::sys::stat::Mode;

use crate::rig::{Ran, Rig};
use crate::text::{Agent, NOTHING, body, module};

const FOREVER: &str = "(loop $l (br $l)) unreachable";

fn run(rig: &Rig, policy: &std::path::Path, bytes: &[u8]) -> Ran {
    let component = rig.file("agent.wasm", bytes);
    rig.end(rig.command(policy).arg(component))
}

#[test]
fn what_is_no_component_is_refused() {
    let Some(rig) = Rig::new("what_is_no_component_is_refused", &[]) else { return };
    let policy = rig.wasm_policy("");
    let good = wat::parse_str(body(NOTHING)).unwrap();
    run(&rig, &policy, &good).expect("a good one", 0, &["finished"]);
    let core = wat::parse_str("(module)").unwrap();
    let other_world =
        wat::parse_str(r#"(component (import "evil:host/shell@1.0.0" (instance (export "run" (func)))))"#).unwrap();
    let no_run = wat::parse_str("(component)").unwrap();
    let noise: Vec<u8> = (0_u32..100_000)
        .scan(1_u32, |s, _| {
            *s = s.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            s.to_be_bytes().first().copied()
        })
        .collect();
    let cases: [(&str, &[u8], &str); 9] = [
        ("empty", b"", "empty"),
        ("text", b"(component)", "text"),
        ("a core module", &core, "core WebAssembly module"),
        ("another world", &other_world, "evil:host/shell"),
        ("no run", &no_run, "run"),
        ("an ELF file", b"\x7fELF\x02\x01\x01", "ELF"),
        ("random bytes", &noise, "not WebAssembly"),
        ("random bytes after a header", &[&good[..8], &noise].concat(), "not valid"),
        ("another version", b"\0asm\x09\0\x01\0", "version"),
    ];
    for (what, bytes, says) in cases {
        run(&rig, &policy, bytes).expect(what, 11, &["component", says]);
    }
    // Cut anywhere: in the header, in sections, one byte before the end.
    let step = good.len() / 24;
    for at in (1..good.len()).step_by(step).chain([7, 8, 9, good.len() - 1]) {
        let ran = run(&rig, &policy, &good[..at]);
        ran.expect(&format!("cut at {at} of {}", good.len()), 11, &["component"]);
    }
    rig.clean("refused components");
}

#[test]
fn what_is_no_file_is_refused() {
    let Some(rig) = Rig::new("what_is_no_file_is_refused", &[]) else { return };
    let policy = rig.wasm_policy("");
    let fifo = rig.path("fifo.wasm");
    nix::unistd::mkfifo(&fifo, Mode::from_bits_truncate(0o600)).unwrap();
    let huge = rig.path("huge.wasm");
    fs::File::create(&huge).unwrap().set_len(8 << 30).unwrap();
    let dangling = rig.path("dangling.wasm");
    symlink(rig.path("nowhere"), &dangling).unwrap();
    for (what, path, says) in [
        ("missing", rig.path("missing.wasm"), "missing.wasm"),
        ("a FIFO", fifo, "fifo.wasm: it is not a regular file"),
        ("a folder", rig.path("work"), "not a regular file"),
        ("huge", huge, "huge.wasm: it is over"),
        ("a device", "/dev/zero".into(), "not a regular file"),
        ("a dangling link", dangling, "dangling.wasm"),
        ("a name with escapes", rig.path("a\x1b[2J\nb.wasm"), "No such file"),
    ] {
        let ran = rig.end(rig.command(&policy).arg(path));
        ran.expect(what, 11, &["component", says]);
        assert!(!ran.stderr.contains('\x1b'), "{what}: {:?}", ran.stderr);
    }
    rig.clean("refused files");
}

/// One function of this many instructions that Cranelift must keep apart.
fn long_function(instructions: usize) -> String {
    let step = "(local.set 0 (i32.add (i32.mul (local.get 0) (local.get 1)) (i32.load (local.get 0))))";
    module(&format!("(func $long (param i32 i32) {})", step.repeat(instructions)), NOTHING)
}

#[test]
fn a_compile_bomb_hurts_nobody() {
    let Some(rig) = Rig::new("a_compile_bomb_hurts_nobody", &[]) else { return };
    let policy = rig.wasm_policy("");
    let deep =
        format!("(func (result i32) {}(i32.const 0){})", "(block (result i32) ".repeat(60_000), ")".repeat(60_000));
    let many = "(func)".repeat(20_000);
    let locals = format!("(func (local {}))", "i64 ".repeat(45_000)).repeat(100);
    let nested = (0..60).fold(String::from("(component)"), |inner, _| format!("(component {inner})"));
    let instances = format!("(component (core module $m) {})", "(core instance (instantiate $m))".repeat(20_000));
    for (what, text) in [
        ("deep nesting", module(&deep, NOTHING)),
        ("many functions", module(&many, NOTHING)),
        ("many locals", module(&locals, NOTHING)),
        ("nested components", nested),
        ("many instances", instances),
        ("a long function", long_function(40_000)),
    ] {
        let Ok(bytes) = wat::parse_str(&text) else { panic!("{what} is no component text") };
        let ran = run(&rig, &policy, &bytes);
        println!(
            "{what}: {} bytes, {:?}, {:?}: {}",
            bytes.len(),
            ran.took,
            ran.status.code(),
            ran.stderr.lines().nth(1).unwrap_or_default()
        );
        let code = if ran.status.success() { 0 } else { 11 };
        ran.expect(what, code, &[]);
        rig.clean(what);
    }
}

#[test]
fn agents_that_fail_from_the_start_end_with_their_reason() {
    let Some(rig) = Rig::new("agents_that_fail_from_the_start_end_with_their_reason", &[]) else { return };
    let policy = rig.wasm_policy("[limits]\nmemory = \"64MiB\"\nfuel = 50_000_000\ntables = 10_000\nwall = \"20s\"\n");
    let grow = "(loop $l (drop (memory.grow (i32.const 16))) (br $l)) unreachable";
    let tables = "(loop $l (drop (table.grow $t (ref.null func) (i32.const 100))) (br $l)) unreachable";
    for (what, code, text, says) in [
        ("a trap", 21, body("unreachable"), "unreachable"),
        ("a trap at start-up", 21, module("(func $s unreachable) (start $s)", NOTHING), "unreachable"),
        ("deep recursion", 21, module("(func $down (call $down))", "(call $down) unreachable"), "call stack exhausted"),
        ("a memory bomb", 31, body(grow), "memory"),
        ("a memory bomb at start-up", 31, module(&format!("(func $s {grow}) (start $s)"), NOTHING), "memory"),
        ("a memory that is too big", 31, module("(memory 65536)", NOTHING), "memory"),
        ("a table bomb", 34, module("(table $t 1 funcref)", tables), "table"),
        ("a table that is too big", 34, module("(table 10000000 funcref)", NOTHING), "table"),
        ("an endless loop", 32, body(FOREVER), "fuel"),
        ("an endless loop at start-up", 32, module(&format!("(func $s {FOREVER}) (start $s)"), NOTHING), "fuel"),
        (
            "a failure",
            20,
            body("(i64.store (i32.const 0) (i64.const 0x1b6d305b1b6f6e)) (call $err (i32.const 0) (i32.const 7))"),
            "failed",
        ),
    ] {
        let ran = rig.wasm(&policy, &text);
        ran.expect(what, code, &[says]);
        assert!(!ran.stderr.contains('\x1b'), "{what}: {:?}", ran.stderr);
    }
    rig.clean("agents that fail");
}

/// An agent that blocks in `wasi:clocks` for an hour.
fn sleeper() -> String {
    Agent {
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
        run: "(call $block (call $after (i64.const 3600000000000))) unreachable",
    }
    .text()
}

/// Calls a tool for ever.
pub fn caller(tool: &str, args: &str) -> String {
    let escaped = args.replace('"', "\\22");
    let data = format!("(data (i32.const 1000) \"{tool}\") (data (i32.const 2000) \"{escaped}\")");
    let call = format!(
        "(call $call (i32.const 1000) (i32.const {}) (i32.const 2000) (i32.const {}) (i32.const 1024))",
        tool.len(),
        args.len()
    );
    // The result area is used anew for every call; the C library's bump allocator is not, so few bytes a call.
    module(&data, &format!("(loop $l {call} (br $l)) unreachable"))
}

#[test]
fn endless_work_ends_at_the_wall() {
    let Some(rig) = Rig::new("endless_work_ends_at_the_wall", &[]) else { return };
    let huge_fuel = "[limits]\nwall = \"500ms\"\nfuel = 9_000_000_000_000_000\ncalls = 1_000_000\n";
    let policy = rig.wasm_policy(huge_fuel);
    let with_exec = rig.wasm_policy(&format!(
        "{huge_fuel}pids = 32\n[tools]\nallow = [\"exec\"]\n[fs]\nread = [\"/usr\", \"/etc/ld.so.cache\", \"@workspace\"]\nexecute = [\"/usr\"]\n{}",
        "[[exec]]\nid = \"sleep\"\ncommand = [\"/usr/bin/sleep\"]\nwall = \"1h\"\n"
    ));
    let sleep = caller("exec", r#"{"argv":["/usr/bin/sleep","3600"]}"#);
    for (what, policy, text) in [
        ("a loop", &policy, body(FOREVER)),
        ("a loop at start-up", &policy, module(&format!("(func $s {FOREVER}) (start $s)"), NOTHING)),
        ("a host call that sleeps", &policy, sleeper()),
        ("host calls without end", &policy, caller("clock", "{}")),
        ("a command that hangs", &with_exec, sleep),
    ] {
        let ran = rig.wasm(policy, &text);
        ran.expect(what, 30, &["wall"]);
        assert!(ran.took.as_millis() < 5000, "{what} took {:?}: {:?}", ran.took, rig.records().last());
        rig.clean(what);
    }
}
