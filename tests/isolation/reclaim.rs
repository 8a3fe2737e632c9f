//! Kill means gone: whatever an agent does and however a run ends, nothing of it is left.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::bad_component::caller;
use crate::rig::{Ran, Rig, Running, reap_all};
use crate::text::body;
use crate::victims::Victim;

const HOSTILE: &str = include_str!("hostile.py");
const FOREVER: &str = "(loop $l (br $l)) unreachable";

fn hostile(rig: &Rig, policy: &Path, end: &str) -> Command {
    let mut command = rig.command(policy);
    command.args(["--", "/usr/bin/python3", "-c", HOSTILE, end]);
    command
}

/// An agent that says a word and then works without end.
fn endless_component(rig: &Rig) -> (PathBuf, PathBuf) {
    let policy = rig.wasm_policy("[limits]\nfuel = 9_000_000_000_000_000\n");
    (
        policy,
        rig.component("endless", &body(&format!("(call $log (i32.const 1) (i32.const 0) (i32.const 0)) {FOREVER}"))),
    )
}

/// A hostile agent that has done its worst.
fn settled(rig: &Rig, policy: &Path, end: &str) -> Running {
    let mut running = rig.begin(&mut hostile(rig, policy, end));
    running.until("the agent to be ready", |r| r.wrote().contains("ready"));
    running
}

/// No process, and nothing else.
fn gone(rig: &Rig, after: &str) {
    reap_all(after);
    rig.clean(after);
    rig.forget_runs();
}

#[test]
fn an_agent_that_will_not_go_goes_with_its_run() {
    let Some(rig) = Rig::new("an_agent_that_will_not_go_goes_with_its_run", &["python3"]) else { return };
    let policy = rig.native_policy("");
    for (end, code) in [("exit", 0), ("error", 20)] {
        let ran = rig.end(&mut hostile(&rig, &policy, end));
        ran.expect(end, code, &["syscalls denied"]);
        assert!(ran.text().contains("ready"));
        gone(&rig, end);
    }
    let brief = rig.native_policy("[limits]\nwall = \"1s\"\n");
    for end in ["stay", "stop"] {
        let ran = rig.end(&mut hostile(&rig, &brief, end));
        ran.expect(end, 30, &["wall"]);
        assert!(ran.took < Duration::from_secs(4), "{:?}", ran.took);
        gone(&rig, end);
    }
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143), (Signal::SIGHUP, 129)] {
        let running = settled(&rig, &policy, "stay");
        kill(Victim::Stockade.pid(&running).unwrap(), signal).unwrap();
        running.end_within(Duration::from_secs(10)).expect(signal.as_str(), code, &["interrupted"]);
        gone(&rig, signal.as_str());
    }
}

#[test]
fn whoever_is_killed_takes_the_run_along() {
    let Some(rig) = Rig::new("whoever_is_killed_takes_the_run_along", &["python3"]) else { return };
    let policy = rig.native_policy("");
    for (victim, code) in [(Victim::Shim, 40), (Victim::Cell, 21)] {
        let running = settled(&rig, &policy, "stay");
        assert!(victim.kill(&running), "{victim:?} is not there");
        running.end_within(Duration::from_secs(10)).expect(&format!("{victim:?}"), code, &[]);
        gone(&rig, &format!("the end of {victim:?}"));
    }
    let running = settled(&rig, &policy, "stay");
    let began = Instant::now();
    assert!(Victim::Stockade.kill(&running));
    assert_eq!(running.end().status.signal(), Some(9));
    gone(&rig, "the end of stockade");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());

    let running = settled(&rig, &policy, "stay");
    assert!(Victim::Janitor.kill(&running));
    kill(Victim::Stockade.pid(&running).unwrap(), Signal::SIGINT).unwrap();
    running.end_within(Duration::from_secs(10)).expect("the janitor", 130, &["interrupted"]);
    gone(&rig, "the end of the janitor");

    let (wasm, component) = endless_component(&rig);
    for (victim, code) in [(Victim::Shim, 40), (Victim::Cell, 21)] {
        let mut running = rig.begin(rig.command(&wasm).arg(&component));
        running.until("the agent to start", |r| r.said().contains("info:"));
        assert!(victim.kill(&running), "{victim:?} is not there");
        running.end_within(Duration::from_secs(10)).expect(&format!("wasm, {victim:?}"), code, &[]);
        gone(&rig, &format!("the end of {victim:?} of a wasm agent"));
    }
}

#[test]
fn without_supervisor_and_janitor_the_next_start_cleans_up() {
    let Some(rig) = Rig::new("without_supervisor_and_janitor_the_next_start_cleans_up", &["python3"]) else { return };
    let policy = rig.native_policy("");
    let running = settled(&rig, &policy, "stay");
    let id = running.said().lines().find_map(|l| l.strip_prefix("run ")).unwrap().to_owned();
    let reservations = rig.left().reservations;
    assert_eq!(reservations.len(), 1);
    for victim in [Victim::Janitor, Victim::Stockade] {
        assert!(victim.kill(&running));
    }
    running.end();
    let left = rig.left();
    assert_eq!(left.reservations, reservations, "without anyone to clean, the reservation stays: {left:?}");
    // The agent's processes go without anyone's help: their parent's death is their end.
    reap_all("both ends");
    let ran = rig.native(&policy, &["/usr/bin/true"]);
    ran.expect("the next start", 0, &[&format!("cleaned up after run {id}"), "finished"]);
    gone(&rig, "the next start");
}

/// Spins until a moment: a sleep would round it to the timer's.
fn wait_until(moment: Instant) {
    while Instant::now() < moment {
        std::hint::spin_loop();
    }
}

/// Pseudorandom numbers below `bound`, the same in every run of the test.
fn dice(seed: u64, bound: u64) -> impl Iterator<Item = u64> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % bound
    })
}

/// As long as a whole run takes here and now: 60 ms, or more on a busy host.
fn whole_run(rig: &Rig) -> Duration {
    let ran = rig.native(&rig.native_policy(""), &["/usr/bin/true"]);
    ran.expect("a whole run", 0, &[]).took.max(Duration::from_millis(60))
}

/// Starts runs and kills a process of each at a random moment of as long as a run takes.
fn kill_at_random(rig: &Rig, what: &str, times: usize, make: &dyn Fn() -> Command, end: &dyn Fn(&Running) -> bool) {
    let mut hit = 0;
    let moments = u64::try_from(whole_run(rig).as_micros()).unwrap();
    for (round, micros) in dice(0x5EED_0FC0_FFEE, moments).take(times).enumerate() {
        let running = rig.begin(&mut make());
        wait_until(Instant::now() + Duration::from_micros(micros));
        hit += usize::from(end(&running));
        let ran: Ran = running.end_within(Duration::from_secs(20));
        for word in ["panicked", "internal error"] {
            assert!(!ran.stderr.contains(word), "{what} {round} after {micros} µs: {}", ran.stderr);
        }
        gone(rig, &format!("{what} {round}, after {micros} µs: {}", ran.stderr));
    }
    println!("{what}: {hit} of {times} were hit");
    assert!(hit > 0, "{what}: never hit");
}

#[test]
fn a_supervisor_killed_at_any_moment_leaves_nothing() {
    let Some(rig) = Rig::new("a_supervisor_killed_at_any_moment_leaves_nothing", &["python3"]) else { return };
    let policy = rig.native_policy("");
    let native = || {
        let mut command = rig.command(&policy);
        command.args(["--", "/bin/sh", "-c", "setsid sleep 1000 & exec sleep 1000"]);
        command
    };
    kill_at_random(&rig, "kill -9 of stockade, native", 100, &native, &|r| Victim::Stockade.kill(r));
    let (wasm, component) = endless_component(&rig);
    let wasm = || {
        let mut command = rig.command(&wasm);
        command.arg(&component);
        command
    };
    kill_at_random(&rig, "kill -9 of stockade, wasm", 100, &wasm, &|r| Victim::Stockade.kill(r));
    // One command after the other, each in a cell of its own.
    let policy = rig.wasm_policy(concat!(
        "[limits]\npids = 32\n[tools]\nallow = [\"exec\"]\n[fs]\nread = [\"/usr\", \"/etc/ld.so.cache\", \"@workspace\"]\nexecute = [\"/usr\"]\n",
        "[[exec]]\nid = \"sh\"\ncommand = [\"/usr/bin/sh\"]\nwall = \"1h\"\n"
    ));
    let component = rig.component("tools", &caller("exec", r#"{"argv":["/usr/bin/sh","-c","setsid sleep 1000 &"]}"#));
    let tools = || {
        let mut command = rig.command(&policy);
        command.arg(&component);
        command
    };
    kill_at_random(&rig, "kill -9 of stockade, commands as tools", 40, &tools, &|r| Victim::Stockade.kill(r));
}

#[test]
fn a_compiler_whose_supervisor_is_killed_leaves_nothing() {
    let Some(rig) = Rig::new("a_compiler_whose_supervisor_is_killed_leaves_nothing", &[]) else { return };
    let policy = rig.wasm_policy("");
    // Costly to compile, and never in the cache.
    let text = crate::text::module(
        &format!("(func $l (param i32) {})", "(local.set 0 (i32.mul (local.get 0) (local.get 0)))".repeat(20_000)),
        FOREVER,
    );
    let component = rig.component("costly", &text);
    let make = || {
        let mut command = rig.command(&policy);
        command.arg(&component);
        command
    };
    kill_at_random(&rig, "kill -9 of stockade, compiling", 20, &make, &|r| Victim::Stockade.kill(r));
}

#[test]
fn others_killed_at_any_moment_leave_nothing() {
    let Some(rig) = Rig::new("others_killed_at_any_moment_leave_nothing", &[]) else { return };
    let policy = rig.native_policy("[limits]\nwall = \"300ms\"\n");
    let make = || {
        let mut command = rig.command(&policy);
        command.args(["--", "/bin/sh", "-c", "setsid sleep 1000 & exec sleep 1000"]);
        command
    };
    for victim in [Victim::Launcher, Victim::Shim, Victim::Cell, Victim::Janitor] {
        // A launcher lives for some milliseconds only, so it is waited for.
        let end = |running: &Running| {
            let patience = Instant::now() + Duration::from_millis(if victim == Victim::Launcher { 60 } else { 0 });
            loop {
                if victim.kill(running) {
                    return true;
                }
                if Instant::now() >= patience {
                    return false;
                }
            }
        };
        kill_at_random(&rig, &format!("kill -9 of {victim:?}"), 16, &make, &end);
    }
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let end = |running: &Running| kill(Pid::from_raw(i32::try_from(running.pid()).unwrap()), signal).is_ok();
        kill_at_random(&rig, signal.as_str(), 20, &make, &end);
    }
}
