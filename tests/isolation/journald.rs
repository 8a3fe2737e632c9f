//! What journald is told of a run: decisions and signed heads, no arguments, and nothing that holds the run up.

use std::collections::BTreeMap;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use crate::rig::{Rig, list};

/// Runs `command` where `/run/systemd/journal` is the folder `journal` of the test's.
fn with_journald(rig: &Rig, command: &Command) -> Command {
    let mut whole = Command::new("/usr/bin/unshare");
    whole.args(["--mount", "--propagation", "private", "/bin/sh", "-euc"]);
    whole.arg(
        "mkdir -p /run/systemd\nmount -t tmpfs -o mode=0755 none /run/systemd\nmkdir /run/systemd/journal\n\
         mount --bind \"$1\" /run/systemd/journal\nshift\nexec \"$@\"",
    );
    whole.arg("sh").arg(rig.path("journal")).arg(command.get_program()).args(command.get_args());
    whole
}

/// A field's values, by name.
type Fields = BTreeMap<String, Vec<String>>;

/// The entries that lie in the socket, read as systemd.io/JOURNAL_NATIVE_PROTOCOL says.
fn entries(socket: &UnixDatagram) -> Vec<Fields> {
    socket.set_nonblocking(true).unwrap();
    let mut buffer = vec![0; 256 * 1024];
    let received = std::iter::from_fn(|| socket.recv(&mut buffer).ok().map(|n| buffer[..n].to_vec()));
    received.collect::<Vec<_>>().iter().map(|datagram| parse(datagram)).collect()
}

fn parse(mut rest: &[u8]) -> Fields {
    let mut fields = Fields::new();
    while !rest.is_empty() {
        let at = rest.iter().position(|b| b"=\n".contains(b)).expect("a name ends");
        let (name, value) = (String::from_utf8(rest[..at].to_vec()).unwrap(), &rest[at + 1..]);
        let (value, after) = if rest[at] == b'=' {
            let end = value.iter().position(|b| *b == b'\n').expect("a value ends");
            (&value[..end], &value[end..])
        } else {
            let length = usize::try_from(u64::from_le_bytes(value[..8].try_into().unwrap())).unwrap();
            value[8..].split_at(length)
        };
        assert_eq!(after[0], b'\n', "after {name}");
        fields.entry(name).or_default().push(String::from_utf8(value.to_vec()).unwrap());
        rest = &after[1..];
    }
    fields
}

#[test]
fn decisions_and_heads_are_told_and_no_arguments() {
    let Some(rig) = Rig::new("decisions_and_heads_are_told_and_no_arguments", &["unshare"]) else { return };
    rig.folder("journal");
    let socket = UnixDatagram::bind(rig.path("journal/socket")).unwrap();
    let policy = rig.wasm_policy("[tools]\nallow = [\"workspace.write\"]\n");
    let component = rig.component("agent", &crate::again::counter(3));
    rig.end(&mut with_journald(&rig, rig.command(&policy).arg(component))).expect("a run", 0, &[]);
    let run = list(&rig.path("state/runs")).pop().unwrap();
    let name = run.file_name().unwrap().to_string_lossy().into_owned();
    let records = rig.records();
    let told = entries(&socket);
    assert!(told.iter().all(|e| e["STOCKADE_RUN"] == [name.as_str()] && e["SYSLOG_IDENTIFIER"] == ["stockade"]));
    assert!(!told.iter().any(|e| e["MESSAGE"][0].contains("0001")), "no argument: {told:?}");
    // Every call, in order, as it stands in the record.
    let calls: Vec<&Fields> = told.iter().filter(|e| e.contains_key("STOCKADE_TOOL")).collect();
    let recorded: Vec<_> = records.iter().filter(|r| r["type"] == "call").collect();
    assert_eq!(calls.len(), recorded.len());
    for (told, record) in calls.iter().zip(recorded) {
        for (field, key) in [
            ("STOCKADE_TOOL", "tool"),
            ("STOCKADE_DECISION", "decision"),
            ("STOCKADE_LAYER", "layer"),
            ("STOCKADE_TIME", "time"),
            ("STOCKADE_POLICY_DIGEST", "policy_digest"),
        ] {
            assert_eq!(told[field], [record[key].as_str().unwrap()]);
        }
        assert_eq!(told["STOCKADE_SEQ"], [record["seq"].to_string()]);
        let level = if record["decision"] == "allow" { "6" } else { "5" };
        assert_eq!(told["PRIORITY"], [level]);
    }
    assert!(calls.iter().any(|e| e["STOCKADE_DECISION"] == ["deny"]), "the agent's exec is refused");
    // The last head is the run's, as it was signed.
    let head = told.iter().rfind(|e| e.contains_key("STOCKADE_CHECKPOINT")).expect("a head");
    assert_eq!(head["STOCKADE_SIZE"], [records.len().to_string()]);
    assert_eq!(head["STOCKADE_CHECKPOINT"], [std::fs::read_to_string(run.join("checkpoint")).unwrap()]);
    rig.clean("a run that journald was told of");
}

#[test]
fn a_journald_that_takes_nothing_holds_up_nothing() {
    let Some(rig) = Rig::new("a_journald_that_takes_nothing_holds_up_nothing", &["unshare"]) else { return };
    rig.folder("journal");
    let policy = rig.wasm_policy("[tools]\nallow = [\"workspace.write\"]\n");
    let component = rig.component("agent", &crate::again::counter(500));
    // It never reads: after some datagrams its queue is full (net.unix.max_dgram_qlen).
    let socket = UnixDatagram::bind(rig.path("journal/socket")).unwrap();
    let full = rig.end(&mut with_journald(&rig, rig.command(&policy).arg(&component)));
    full.expect("a journald that does not read", 0, &["journald: ", "entries were not taken", "has all"]);
    // Its name is there, but nobody listens.
    drop(socket);
    let gone = rig.end(&mut with_journald(&rig, rig.command(&policy).arg(component)));
    gone.expect("a journald that is gone", 0, &["journald: ", "entries were not taken"]);
    rig.clean("runs without journald");
}
