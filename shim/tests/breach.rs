//! A cell that breaks the rules of its channel, and a supervisor that breaks the rules of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use std::io::Write;
use std::os::fd::AsFd;

use common::{POLICY, Rig, bundle, end, lifecycle, outline, pair, sealed, send, send_raw, setup};
use nix::sys::socket::SockType;
use serde_json::json;
use stockade_policy::Bundle;
use stockade_shim::{Doors, ShimError, run};
use stockade_wire::control::{Setup, ToShim, ToSupervisor};
use stockade_wire::frame::{FromCell, Level, MAX_FRAME, Status};

/// Has the cell send `bytes`, and checks that the run is ended for a reason that holds `why`.
fn condemned(mut rig: Rig, bytes: &[u8], why: &str) {
    rig.cell().write_all(bytes).unwrap();
    let reason = loop {
        match rig.receive() {
            Some(ToSupervisor::KillCell { reason }) => break reason,
            Some(ToSupervisor::CellReady { .. } | ToSupervisor::Log { .. } | ToSupervisor::AgentExit(_)) => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(reason.contains(why), "{reason:?} does not say {why:?}");
    assert_eq!(rig.hear(), None, "the channel is closed");
    // The reason is on disk before the supervisor can act on it.
    assert_eq!(lifecycle(&rig.records(), "killed"), [json!({ "reason": reason })]);
    let entries = rig.end();
    assert_eq!(lifecycle(&entries, "exit").len(), 1);
}

fn frame(frame: &FromCell) -> Vec<u8> {
    frame.encode().unwrap()
}
fn call(id: u64, tool: &str) -> Vec<u8> {
    frame(&FromCell::Call { id, fuel: 0, tool: tool.into(), args: b"{}".to_vec() })
}
fn ready() -> Vec<u8> {
    frame(&FromCell::Ready { report: b"{}".to_vec() })
}
fn exit(text: &str) -> Vec<u8> {
    frame(&FromCell::Exit { outcome: text.as_bytes().to_vec() })
}

#[test]
fn bytes_that_are_no_frame_end_the_run() {
    condemned(Rig::running(), &[0, 0, 0, 0], "frame of 0 bytes");
    condemned(Rig::running(), &(MAX_FRAME as u32 + 1).to_le_bytes(), "allowed are 1 to");
    condemned(Rig::running(), &[255; 64], "frame of 4294967295 bytes");
    condemned(Rig::running(), &[1, 0, 0, 0, 0x77], "unknown frame kind 0x77");
    condemned(Rig::running(), &[1, 0, 0, 0, 0x81], "unknown frame kind 0x81");
    condemned(Rig::running(), &[2, 0, 0, 0, 2, 9], "unknown log level");
    condemned(Rig::running(), &[3, 0, 0, 0, 2, 1, 0xff], "not UTF-8");
    let mut long = vec![12, 1, 0, 0, 1];
    long.extend([0; 8]);
    long.extend(255u16.to_le_bytes());
    long.extend([b'x'; 257]);
    condemned(Rig::running(), &long, "tool name too long");
}

#[test]
fn frames_out_of_their_place_end_the_run() {
    condemned(Rig::new("wasm", POLICY), &call(1, "clock"), "before start");
    condemned(
        Rig::new("wasm", POLICY),
        &frame(&FromCell::Log { level: Level::Info, message: "x".into() }),
        "before start",
    );
    condemned(Rig::new("wasm", POLICY), &[ready(), ready()].concat(), "twice");
    condemned(Rig::new("wasm", POLICY), &frame(&FromCell::Ready { report: b"{".to_vec() }), "ready frame");
    condemned(Rig::running(), &ready(), "twice");
    let fine = r#"{"reason":"finished","detail":"","fuel":1}"#;
    condemned(Rig::running(), &[exit(fine), call(1, "clock")].concat(), "after exit");
    condemned(Rig::running(), &exit(r#"{"reason":"finished","detail":"","fuel":1,"more":1}"#), "exit frame");
    condemned(Rig::running(), &exit("finished"), "exit frame");
    condemned(Rig::running(), &exit(&format!("\"{}\"", "x".repeat(100_000))), "allowed are 65536");
}

#[test]
fn call_ids_increase() {
    let mut rig = Rig::running();
    rig.next_id = 7;
    assert_eq!(rig.call("clock", json!({})).0, Status::Ok);
    condemned(rig, &call(7, "clock"), "call id 7 after 7");
}

#[test]
fn one_call_at_a_time() {
    let mut rig = Rig::running();
    rig.ask("exec", br#"{"argv":["/bin/echo","hi"]}"#);
    assert!(matches!(rig.receive(), Some(ToSupervisor::LaunchTool { cell: 1, .. })));
    rig.cell().write_all(&call(2, "clock")).unwrap();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.push(rig.receive().unwrap());
    }
    assert!(matches!(seen[0], ToSupervisor::KillTool { cell: 1 }), "{seen:?}");
    assert!(matches!(&seen[1], ToSupervisor::KillCell { reason } if reason.contains("in flight")), "{seen:?}");
    let entries = rig.end();
    assert_eq!(
        outline(&entries),
        ["start", "call exec allow policy", "killed", "result failed", "exit"],
        "the call that was in flight has its outcome"
    );
}

#[test]
fn no_effect_is_served_after_a_breach() {
    let mut rig = Rig::running();
    let write = FromCell::Call {
        id: 1,
        fuel: 0,
        tool: "workspace.write".into(),
        args: br#"{"path":"x","content":"y"}"#.to_vec(),
    };
    let bytes = [ready(), frame(&write)].concat();
    rig.cell().write_all(&bytes).unwrap();
    assert!(matches!(rig.receive(), Some(ToSupervisor::KillCell { .. })));
    let file = rig.workspace.join("x");
    assert!(!outline(&rig.end()).iter().any(|line| line.starts_with("call")));
    assert!(!file.exists());
}

#[test]
fn calls_that_a_dead_cell_left_are_not_performed() {
    let mut rig = Rig::new("wasm", POLICY);
    rig.start();
    let write = FromCell::Call {
        id: 1,
        fuel: 0,
        tool: "workspace.write".into(),
        args: br#"{"path":"x","content":"y"}"#.to_vec(),
    };
    // In this order the mediator can't see the call without the end.
    rig.send(&ToShim::CellExited { end: end() });
    let _ = rig.cell().write_all(&frame(&write));
    while let Some(message) = rig.receive() {
        if matches!(message, ToSupervisor::Bye(_)) {
            break;
        }
    }
    assert!(!rig.workspace.join("x").exists());
    assert!(rig.join().is_ok());
}

/// xorshift64: the same noise in every run of the test.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.next() as u8).collect()
    }
}

#[test]
fn noise_never_stops_the_mediator_but_by_the_rules() {
    let mut noise = Noise(0x5eed);
    for round in 0..150 {
        let mut rig = Rig::running();
        let mut bytes = Vec::new();
        for id in 1..=noise.next() % 4 {
            bytes.extend(call(id, "clock"));
        }
        let n = (noise.next() % 300) as usize;
        match round % 3 {
            // Pure noise; a plausible length and noise; a good frame with one byte changed or cut off.
            0 => bytes.extend(noise.bytes(n)),
            1 => {
                bytes.extend((n as u32 + 1).to_le_bytes());
                bytes.push((noise.next() % 6) as u8);
                bytes.extend(noise.bytes(n));
            }
            _ => {
                let mut good = call(9, "workspace.read");
                let at = (noise.next() as usize) % good.len();
                good[at] ^= noise.next() as u8;
                good.truncate(at + 1 + (noise.next() as usize) % good.len());
                bytes.extend(good);
            }
        }
        let _ = rig.cell().write_all(&bytes);
        rig.cell().shutdown(std::net::Shutdown::Write).unwrap();
        common::rest(rig.cell());
        let entries = rig.end();
        assert_eq!(outline(&entries).last().unwrap(), "exit");
    }
}

#[test]
fn a_closed_channel_ends_a_cell_that_stays() {
    let mut rig = Rig::running();
    drop(rig.cell.take());
    assert!(matches!(rig.receive(), Some(ToSupervisor::KillCell { reason }) if reason.contains("closed its channel")));
    assert_eq!(lifecycle(&rig.end(), "killed").len(), 1);
}

#[test]
fn a_supervisor_that_is_gone_ends_the_run() {
    let mut rig = Rig::running();
    rig.orphan();
    assert_eq!(rig.hear(), None, "the cell's door is closed");
    let records = rig.wait_for_end();
    assert!(matches!(records.0, Err(ShimError::Orphaned)), "{:?}", records.0);
    assert_eq!(outline(&records.1), ["start", "killed"]);
    assert_eq!(lifecycle(&records.1, "killed"), [json!({ "reason": "the supervisor is gone" })]);
}

/// Sends one message to a running shim, and gives the error it ends with.
fn fatal(bytes: &[u8], fds: usize) -> String {
    let rig = Rig::running();
    let spare = std::fs::File::open("/dev/null").unwrap();
    send_raw(&rig.control, bytes, &vec![spare.as_fd(); fds]);
    let (result, entries) = rig.wait_for_end();
    assert_eq!(lifecycle(&entries, "killed").len(), 1, "{:?}", outline(&entries));
    let error = result.unwrap_err();
    assert_eq!(error.exit_code(), stockade_shim::error::exit::CONTROL);
    error.to_string()
}

#[test]
fn a_supervisor_that_breaks_its_rules_ends_the_run() {
    assert!(fatal(b"{", 0).contains("not a message"));
    assert!(fatal(br#"{"type":"resume"}"#, 0).contains("unknown variant"));
    assert!(fatal(br#"{"type":"listener","cell":0,"more":1}"#, 1).contains("unknown field"));
    assert!(fatal(br#"{"type":"listener","cell":0}"#, 0).contains("0 descriptors"));
    assert!(fatal(br#"{"type":"listener","cell":0}"#, 2).contains("2 descriptors"));
    assert!(fatal(br#"{"type":"listener","cell":4}"#, 1).contains("not asked for"));
    assert!(fatal(br#"{"type":"listener","cell":0}"#, 40).contains("descriptors"));
    assert!(fatal(br#"{"type":"attested","enforcement":{}}"#, 0).contains("twice"));
    assert!(fatal(br#"{"type":"attested","enforcement":{}}"#, 1).contains("with descriptors"));
    assert!(fatal(br#"{"type":"tool_exited","cell":1,"status":{"code":0}}"#, 0).contains("not asked for"));
    assert!(fatal(br#"{"type":"tool_started","cell":1,"enforcement":{}}"#, 2).contains("not asked for"));
    let setup = serde_json::to_vec(&ToShim::Setup(Box::new(setup("wasm")))).unwrap();
    assert!(fatal(&setup, 1).contains("twice"));
}

#[test]
fn nothing_starts_before_the_cell_is_ready() {
    let rig = Rig::new("wasm", POLICY);
    rig.send(&ToShim::Attested { enforcement: json!({}) });
    let (result, entries) = rig.wait_for_end();
    assert!(result.unwrap_err().to_string().contains("before the cell was ready"));
    assert_eq!(outline(&entries), ["killed"]);
}

#[test]
fn a_condemned_run_does_not_start() {
    let mut rig = Rig::new("wasm", POLICY);
    rig.cell().write_all(&[ready(), ready()].concat()).unwrap();
    assert!(matches!(rig.receive(), Some(ToSupervisor::CellReady { .. })));
    assert!(matches!(rig.receive(), Some(ToSupervisor::KillCell { .. })));
    rig.send(&ToShim::Attested { enforcement: json!({}) });
    assert!(!outline(&rig.end()).contains(&"start".to_owned()));
}

/// Starts a shim with this first message, and gives its error.
fn refused(kind: &str, message: &ToShim, attached: Option<std::os::fd::OwnedFd>) -> ShimError {
    let dirs = tempfile::TempDir::new().unwrap();
    let (control, theirs) = pair(SockType::SeqPacket);
    let (_cell, cell_theirs) = pair(SockType::Stream);
    let doors = Doors {
        agent: None,
        control: theirs,
        cell: (kind == "wasm").then_some(cell_theirs),
        egress: None,
        journal: common::directory(dirs.path()),
        workspace: None,
    };
    send(&control, message, &attached.iter().map(AsFd::as_fd).collect::<Vec<_>>());
    let error = run(doors).unwrap_err();
    assert_eq!(std::fs::read_dir(dirs.path()).unwrap().count(), 0, "no journal is begun");
    assert_eq!(error.exit_code(), stockade_shim::error::exit::SETUP);
    error
}

#[test]
fn a_setup_that_is_not_one_is_refused() {
    let good = || sealed(&bundle(POLICY));
    let setup_in = |workspace: &str| Setup { workspace: workspace.to_owned(), ..setup("wasm") };
    let message =
        |kind: &str, workspace: &str| ToShim::Setup(Box::new(Setup { kind: kind.to_owned(), ..setup_in(workspace) }));
    let say = |e: ShimError| e.to_string();
    assert!(say(refused("wasm", &ToShim::Listener { cell: 0 }, Some(good()))).contains("not `setup`"));
    assert!(say(refused("wasm", &message("wasm", ""), None)).contains("0 descriptors"));
    let named = |bytes: &[u8]| {
        let message = ToShim::Setup(Box::new(Setup { policy_bundle: Bundle::name(bytes), ..setup_in("") }));
        say(refused("wasm", &message, Some(sealed(bytes))))
    };
    assert!(named(b"{}").contains("policy bundle: missing field"));
    assert!(named(b"").contains("policy bundle: EOF"));
    assert!(
        say(refused("wasm", &message("wasm", ""), Some(std::fs::File::open("/etc/passwd").unwrap().into())))
            .contains("not a memfd")
    );
    assert!(say(refused("wasm", &message("wasm", ""), Some(sealed(&vec![b' '; 9 << 20])))).contains("allowed are"));
    assert!(say(refused("wasm", &message("wasm", "/srv/w"), Some(good()))).contains("not mounted"));
    assert!(say(refused("wasm", &message("native", ""), Some(good()))).contains("no cell channel"));
    assert!(say(refused("native", &message("wasm", ""), Some(good()))).contains("needs its cell channel"));
    assert!(say(refused("wasm", &message("vm", ""), Some(good()))).contains("unknown kind"));
    let open = nix::sys::memfd::memfd_create("open", nix::sys::memfd::MFdFlags::MFD_ALLOW_SEALING).unwrap();
    let mut file = std::fs::File::from(open);
    file.write_all(&bundle(POLICY)).unwrap();
    assert!(say(refused("wasm", &message("wasm", ""), Some(file.into()))).contains("seals"));
    // A rule that no compiler made, in a bundle that is otherwise in order.
    let broken = String::from_utf8(bundle(POLICY)).unwrap().replace("\"not\"]", "\"and\"]");
    assert!(named(broken.as_bytes()).contains("policy bundle: rule gate."), "{}", named(broken.as_bytes()));
    // A bundle that is in order, and is not the one that was announced.
    let other = bundle(&POLICY.replace("calls = 1000", "calls = 1001"));
    let error = say(refused("wasm", &message("wasm", ""), Some(sealed(&other))));
    assert!(error.contains(&format!("it is {}, announced was", Bundle::name(&other))), "{error}");
}
