//! What an agent says: bounded, counted, and harmless on a screen. And how its end is told.

use nix::sys::signal::{Signal, kill};

use crate::rig::Rig;
use crate::text::{Agent, NOTHING, body, module};
use crate::victims::Victim;

/// Writes these bytes to a descriptor, whatever the interpreter thinks of them.
fn writing(fd: u8, bytes: &str) -> String {
    format!("import os; b = {bytes}\nwhile b: b = b[os.write({fd}, b):]")
}

#[test]
fn output_is_bounded_and_what_is_dropped_is_counted() {
    let Some(rig) = Rig::new("output_is_bounded_and_what_is_dropped_is_counted", &["python3"]) else { return };
    let policy = rig.native_policy("[limits]\noutput = \"10KiB\"\n");
    let ran = rig.python(&policy, &writing(1, "b'x' * 1_000_000"));
    ran.expect("stdout", 0, &["output: 989760 of 1000000 bytes dropped (limits.output)"]);
    assert_eq!(ran.stdout, vec![b'x'; 10 * 1024]);
    let end = rig.records().pop().unwrap();
    assert_eq!(
        (&end["detail"]["output_bytes"], &end["detail"]["output_dropped"]),
        (&1_000_000.into(), &989_760.into())
    );

    let ran = rig.python(&policy, &writing(2, "b'y' * 1_000_000"));
    ran.expect("stderr", 0, &["output: 989760 of 1000000 bytes dropped"]);
    assert_eq!(
        ran.stderr.matches('y').count(),
        10 * 1024 + ran.stderr.lines().filter(|l| !l.starts_with('y')).flat_map(|l| l.matches('y')).count()
    );

    // One limit for both.
    let both = format!("{}\n{}", writing(1, "b'x' * 10_000"), writing(2, "b'\\n' * 10_000"));
    rig.python(&policy, &both).expect("both", 0, &["output: 9760 of 20000 bytes dropped"]);
    let ran = rig.python(&policy, &writing(1, "b'x' * 10240"));
    ran.expect("exactly", 0, &[]);
    assert!(!ran.stderr.contains("dropped") && ran.stdout.len() == 10_240, "{}", ran.stderr);

    // Escaped text is longer; the limit is on what the agent wrote.
    let ran = rig.python(&policy, &writing(1, "b'\\x1b' * 10_241"));
    ran.expect("escapes", 0, &["output: 1 of 10241 bytes dropped"]);
    assert_eq!(ran.text(), "\\x1b".repeat(10_240));

    // A flood that nobody wants ends at the wall and costs no memory here.
    let brief = rig.native_policy("[limits]\noutput = \"10KiB\"\nwall = \"500ms\"\n");
    let ran = rig.native(&brief, &["/usr/bin/yes"]);
    ran.expect("a flood", 30, &["bytes dropped"]);
    assert_eq!(ran.stdout.len(), 10 * 1024);

    let policy = rig.wasm_policy("[limits]\noutput = \"10KiB\"\n");
    let short = "(local $i i32) (loop $l (call $log (i32.const 1) (i32.const 100) (i32.const 1000)) (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 2000)))) (call $ok (i32.const 0) (i32.const 0))";
    let ran = rig.wasm(&policy, &module("(data (i32.const 100) \"z\")", short));
    ran.expect("log", 0, &["info: z"]);
    assert!(ran.stderr.len() < 64 * 1024, "{}", ran.stderr.len());
    let dropped =
        rig.records().into_iter().find(|r| r["event"] == "log_dropped").expect("a record of what was dropped");
    let kept = rig.records().iter().filter(|r| r["type"] == "log").count() as u64;
    assert_eq!(dropped["detail"]["lines"], 2000 - kept);
    rig.clean("bounded output");
}

/// ESC, CSI, OSC with BEL and with ST, C1 as UTF-8 and as a byte, carriage return, bidi, zero width, and noise.
const NASTY: &str = r"b'a\x1b[2J\x1b]0;title\x07\x1b]8;;evil\x1b\\link\xc2\x9b31m\x9b31m\rover\x08\x7f\xe2\x80\xaeabc\xe2\x81\xa6\xe2\x80\x8b\xef\xbb\xbf\xff\xfe\tend\n'";

fn assert_harmless(what: &str, text: &[u8]) {
    let text = std::str::from_utf8(text).unwrap_or_else(|e| panic!("{what}: {e}"));
    let bad = |c: &char| {
        c.is_control() && !"\n\t".contains(*c)
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    let found: Vec<char> = text.chars().filter(bad).collect();
    assert!(found.is_empty(), "{what}: {found:?} in {text:?}");
}

#[test]
fn escapes_do_not_reach_the_screen() {
    let Some(rig) = Rig::new("escapes_do_not_reach_the_screen", &["python3"]) else { return };
    let policy = rig.native_policy("");
    for fd in [1, 2] {
        let ran = rig.python(&policy, &writing(fd, NASTY));
        ran.expect("escapes", 0, &[]);
        assert_harmless("stdout", &ran.stdout);
        assert_harmless("stderr", ran.stderr.as_bytes());
        let shown = if fd == 1 { ran.text() } else { ran.stderr };
        assert!(shown.contains("a\\x1b[2J\\x1b]0;title\\x07"), "{shown}");
        assert!(shown.contains("\tend\n"), "{shown}");
    }
    // A character in pieces, and one that never ends.
    let pieces = "import os\nfor b in b'\\xe2', b'\\x82', b'\\xac', b'\\xe2\\x82': os.write(1, b)";
    assert_eq!(rig.python(&policy, pieces).text(), "€\\xe2\\x82");
    let mut command = rig.command(&policy);
    let ran = rig.end(command.args(["--raw-output", "--", "/usr/bin/python3", "-c", &writing(1, NASTY)]));
    ran.expect("raw", 0, &[]);
    assert!(
        ran.stdout.starts_with(b"a\x1b[2J\x1b]0;title\x07") && ran.stdout.ends_with(b"\xff\xfe\tend\n"),
        "{:?}",
        ran.stdout
    );

    let policy = rig.wasm_policy("");
    let data = r#"(data (i32.const 100) "x\1b[2J\c2\9b\e2\80\aey\0az")"#;
    let text = "(i32.const 100) (i32.const 12)";
    for (what, code, run) in [
        ("a log line", 0, format!("(call $log (i32.const 1) {text}) {NOTHING}")),
        ("the last word", 0, format!("(call $ok {text})")),
        ("the reason of a failure", 20, format!("(call $err {text})")),
    ] {
        let ran = rig.wasm(&policy, &module(data, &run));
        ran.expect(what, code, &["x\\x1b[2J"]);
        assert_harmless(what, ran.stderr.as_bytes());
    }
    // Reading the record later is no less safe.
    let show = rig.end(rig.stockade().args(["journal", "show", "last", "--state"]).arg(rig.path("state")));
    show.expect("journal show", 0, &[]);
    assert_harmless("journal show", &show.stdout);
    rig.clean("escapes");
}

/// An agent that asks WASI for the time.
fn clock_by_wasi() -> String {
    Agent {
        imports: r#"(import "wasi:clocks/wall-clock@0.2.0" (instance $clock
              (type $d (record (field "seconds" u64) (field "nanoseconds" u32)))
              (export "datetime" (type $dt (eq $d)))
              (export "now" (func (result $dt)))))"#,
        wasi: &[("now", r#"$clock "now""#, "(param i32)")],
        module: "",
        run: "(call $now (i32.const 1024)) (call $ok (i32.const 0) (i32.const 0))",
    }
    .text()
}

#[test]
fn every_end_has_its_code() {
    let Some(rig) = Rig::new("every_end_has_its_code", &["python3"]) else { return };
    let policy = rig.native_policy("");
    for (code, program, says) in [
        (0, "pass", "finished: exit code 0"),
        (20, "raise SystemExit(7)", "failed: exit code 7"),
        (20, "raise SystemExit(130)", "failed: exit code 130"),
        (21, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashed: killed by signal 11"),
        (21, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "crashed: killed by signal 9"),
        (
            21,
            "import os, signal; signal.signal(2, signal.SIG_DFL); os.kill(os.getpid(), 2)",
            "crashed: killed by signal 2",
        ),
    ] {
        rig.python(&policy, program).expect(program, code, &[says]);
    }
    // The wasm agent's own ends are in `agents_that_fail_from_the_start_end_with_their_reason`.
    let no_clock = rig.wasm_policy("[tools]\nallow = []\n");
    let with_clock = rig.wasm_policy("");
    rig.wasm(&with_clock, &clock_by_wasi()).expect("the clock", 0, &["finished"]);
    let base = rig.file(
        "no-clock.toml",
        std::fs::read_to_string(&no_clock).unwrap().replace("preset:wasm-pure@1", "preset:base@1"),
    );
    rig.wasm(&base, &clock_by_wasi()).expect("a clock that is denied", 22, &["ended by a denial", "clock"]);

    let endless = rig.wasm_policy("[limits]\nfuel = 9_000_000_000_000_000\n");
    let component = rig.component("endless", &body("(loop $l (br $l)) unreachable"));
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143), (Signal::SIGHUP, 129)] {
        let mut running = rig.begin(rig.command(&endless).arg(&component));
        running.until("its id", |r| r.said().contains("run r-") && Victim::Cell.pid(r).is_some());
        kill(Victim::Stockade.pid(&running).unwrap(), signal).unwrap();
        running.end().expect(signal.as_str(), code, &[]);
    }
    rig.clean("every end");
}
