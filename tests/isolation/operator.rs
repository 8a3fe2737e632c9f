//! What an operator says to runs that live: approvals, stops, freezes.

use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::again::counter;
use crate::rig::{Ran, Rig, Running, reap_all, records_of};
use crate::victims::Victim;

/// What the agents here may do: their writes need an approval.
const ASKS: &str = concat!(
    "[limits]\npids = 32\n",
    "[tools]\nallow = [\"clock\", \"exec\"]\nask = [\"workspace.write\"]\n",
    "[fs]\nread = [\"/usr\", \"/etc/ld.so.cache\", \"@workspace\"]\nwrite = [\"@workspace\"]\nexecute = [\"/usr\"]\n",
    "[[exec]]\nid = \"sh\"\ncommand = [\"/usr/bin/sh\"]\nwall = \"1m\"\n"
);

impl Rig {
    fn operate(&self, arguments: &[&str]) -> Ran {
        self.end(self.stockade().args(arguments))
    }

    /// What waits, as JSON.
    fn pending(&self) -> Vec<Value> {
        let ran = self.operate(&["approvals", "list", "--json"]);
        ran.expect("approvals list", 0, &[]);
        serde_json::from_slice(&ran.stdout).unwrap()
    }

    fn run_id(&self) -> String {
        self.newest().file_name().unwrap().to_str().unwrap().to_owned()
    }

    /// Starts an agent whose first write waits; gives the approval's name.
    fn waiting(&self, command: &mut Command) -> (Running, String) {
        let mut running = self.begin(command);
        running.until("the question", |running| running.said().contains("approvals show "));
        let name = running.said();
        let name = name.split("approvals show ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
        (running, name)
    }
}

fn states(records: &[Value]) -> Vec<&str> {
    records.iter().filter(|r| r["type"] == "approval").filter_map(|r| r["state"].as_str()).collect()
}

#[test]
fn a_call_waits_for_a_person_and_the_record_says_who() {
    let Some(rig) = Rig::new("a_call_waits_for_a_person_and_the_record_says_who", &[]) else { return };
    let policy = rig.wasm_policy(ASKS);
    let component = rig.component("counter", &counter(2));
    let (mut running, first) = rig.waiting(rig.command(&policy).arg(&component));
    let waits = rig.pending();
    assert_eq!(
        (waits.len(), &waits[0]["object"], &waits[0]["tool"]),
        (1, &"@workspace/written".into(), &"workspace.write".into())
    );
    assert_eq!(first, format!("{}/1", waits[0]["run"].as_str().unwrap()));
    let shown = rig.operate(&["approvals", "show", &first]);
    for word in ["workspace.write", "@workspace/written", "\"0000\\n\"", waits[0]["action"].as_str().unwrap()] {
        assert!(shown.text().contains(word), "{word}: {}", shown.text());
    }
    assert_eq!(rig.effects("written").len(), 0, "it was done before anybody approved");
    // Another action than the one on the screen is not approved.
    let other = "0".repeat(64);
    let refused = rig.operate(&["approvals", "approve", &first, "--action", &other]);
    refused.expect("another action", 28, &["nothing was approved"]);
    assert_eq!(rig.pending().len(), 1);
    let approved = rig.operate(&["approvals", "approve", &first, "--note", "looked at"]);
    approved.expect("approve", 0, &[]);
    rig.operate(&["approvals", "approve", &first]).expect("a second time", 28, &["does not wait"]);
    // The next one is refused; the agent goes on.
    running.until("the second question", |_| !rig.pending().is_empty());
    let second = format!("{}/2", rig.run_id());
    rig.operate(&["approvals", "deny", &second]).expect("deny", 0, &[]);
    running.end().expect("the run", 0, &["finished"]);
    assert_eq!(rig.effects("written"), ["0000"]);
    let records = rig.records();
    assert_eq!(states(&records), ["asked", "approved", "asked", "denied"]);
    let step = records.iter().find(|r| r["state"] == "approved").unwrap();
    assert_eq!((&step["by"]["uid"], &step["by"]["note"]), (&0.into(), &"looked at".into()));
    rig.operate(&["approvals", "show", &second]).expect("a run that is over", 2, &["lives"]);
    rig.clean("approvals");
}

#[test]
fn a_question_outlives_the_crash_of_a_run() {
    let Some(rig) = Rig::new("a_question_outlives_the_crash_of_a_run", &[]) else { return };
    let policy = rig.wasm_policy(ASKS);
    let component = rig.component("counter", &counter(1));
    for victim in [Victim::Shim, Victim::Stockade] {
        let (running, name) = rig.waiting(rig.command(&policy).arg(&component));
        assert!(victim.kill(&running));
        running.end();
        reap_all("a crash");
        assert_eq!(rig.pending(), Vec::<Value>::new(), "nobody waits in a run that is dead");
        let (running, again) = rig.waiting(&mut rig.resume());
        assert_eq!(again, name, "the same question has another name after {victim:?}");
        rig.operate(&["approvals", "approve", &again]).expect("approve", 0, &[]);
        running.end().expect("the resumed run", 0, &["finished"]);
        assert_eq!(rig.effects("written"), ["0000"]);
        assert_eq!(states(&rig.records()), ["asked", "approved"]);
        rig.clean("a resumed question");
        rig.forget_runs();
        std::fs::remove_file(rig.path("work/written")).unwrap();
        let _none = std::fs::remove_file(rig.path("work/ran"));
    }
}

#[test]
fn nobody_is_waited_for_where_nobody_is() {
    let Some(rig) = Rig::new("nobody_is_waited_for_where_nobody_is", &[]) else { return };
    let component = rig.component("counter", &counter(1));
    let ran = rig.end(rig.command(&rig.wasm_policy(ASKS)).arg("--headless").arg(&component));
    ran.expect("headless", 0, &["finished"]);
    assert_eq!(rig.effects("written").len(), 0);
    assert!(states(&rig.records()).is_empty());
    // Silence is a denial.
    let short = rig.wasm_policy(&format!("{ASKS}[approvals]\nexpires = \"1s\"\n"));
    rig.end(rig.command(&short).arg(&component)).expect("silence", 0, &["finished"]);
    assert_eq!(rig.effects("written").len(), 0);
    assert_eq!(states(&rig.records()), ["asked", "expired"]);
    rig.clean("silence");
}

/// An agent whose command never ends by itself.
const SLEEPS: &str = "echo begun > ran; exec sleep 1000";

fn sleeper(rig: &Rig) -> (Running, String) {
    let policy = rig.wasm_policy(ASKS);
    let text = crate::text::module(
        &format!(
            "(data (i32.const 1000) \"exec\") (data (i32.const 2000) \"{{\\22argv\\22:[\\22/usr/bin/sh\\22,\\22-c\\22,\\22{SLEEPS}\\22]}}\")"
        ),
        &format!(
            "(call $call (i32.const 1000) (i32.const 4) (i32.const 2000) (i32.const {}) (i32.const 3000))
             (call $ok (i32.const 0) (i32.const 0))",
            format!(r#"{{"argv":["/usr/bin/sh","-c","{SLEEPS}"]}}"#).len()
        ),
    );
    let component = rig.component("sleeper", &text);
    let mut running = rig.begin(rig.command(&policy).arg(component));
    running.until("the command", |_| rig.effects("ran") == ["begun"]);
    (running, rig.run_id())
}

#[test]
fn a_stop_ends_a_run_and_the_command_it_waits_for() {
    let Some(rig) = Rig::new("a_stop_ends_a_run_and_the_command_it_waits_for", &[]) else { return };
    let (running, run) = sleeper(&rig);
    rig.operate(&["stop", &run]).expect("without --now", 2, &["--now"]);
    let stopped = rig.operate(&["stop", "--now", &run, "--note", "enough"]);
    stopped.expect("stop", 0, &[]);
    running.end().expect("the run", 143, &["stopped by uid 0", "enough"]);
    let records = rig.records();
    let exit = records.last().unwrap();
    assert_eq!((&exit["event"], &exit["detail"]["reason"]), (&"exit".into(), &"interrupted".into()));
    rig.operate(&["stop", "--now", &run]).expect("again", 2, &["lives"]);
    rig.clean("a stop");
}

#[test]
fn a_stop_needs_no_supervisor_that_listens() {
    let Some(rig) = Rig::new("a_stop_needs_no_supervisor_that_listens", &[]) else { return };
    let (running, run) = sleeper(&rig);
    let supervisor = Pid::from_raw(i32::try_from(running.pid()).unwrap());
    kill(supervisor, Signal::SIGSTOP).unwrap();
    let stopped = rig.operate(&["stop", "--now", &run]);
    stopped.expect("stop", 0, &["does not answer"]);
    // Whoever is left is dead, and waits for its parent to go on.
    for group in ["cell", "tool-1"] {
        let events = std::fs::read_to_string(format!("/sys/fs/cgroup/unified/stockade/{run}/{group}/cgroup.events"))
            .or_else(|_| std::fs::read_to_string(format!("/sys/fs/cgroup/stockade/{run}/{group}/cgroup.events")));
        assert!(events.unwrap().contains("populated 0"), "{group} lives");
    }
    kill(supervisor, Signal::SIGCONT).unwrap();
    let ran = running.end();
    assert!(!ran.status.success(), "{}", ran.stderr);
    rig.clean("a stop by force");
}

#[test]
fn a_frozen_tool_is_refused_in_runs_that_live_and_in_those_to_come() {
    let Some(rig) = Rig::new("a_frozen_tool_is_refused_in_runs_that_live_and_in_those_to_come", &[]) else { return };
    let (running, run) = sleeper(&rig);
    rig.operate(&["freeze-tool", "ex*"]).expect("no tool", 2, &["no tool's name"]);
    let frozen = rig.operate(&["freeze-tool", "exec", "--run", &run, "--note", "incident"]);
    frozen.expect("freeze", 0, &[]);
    assert!(frozen.text().contains("1 calls in flight cut short"), "{}", frozen.text());
    running.end().expect("the run", 0, &["finished"]);
    let records = rig.records();
    let result = records.iter().find(|r| r["type"] == "result").unwrap();
    assert_eq!((&result["status"], &result["body"]["inline"]["error"]), (&"failed".into(), &"frozen".into()));
    assert!(records.iter().any(|r| r["event"] == "tool_frozen" && r["detail"]["by"]["note"] == "incident"));

    // On the host, for runs to come. The test has the host for itself; the tool is thawed whatever comes.
    struct Thaw<'a>(&'a Rig);
    impl Drop for Thaw<'_> {
        fn drop(&mut self) {
            let _thawed = self.0.operate(&["thaw-tool", "workspace.write"]);
        }
    }
    let thaw = Thaw(&rig);
    rig.operate(&["freeze-tool", "workspace.write"]).expect("freeze", 0, &[]);
    assert!(rig.operate(&["freeze-tool", "--list", "--json"]).text().contains("\"workspace.write\""));
    let component = rig.component("counter", &counter(1));
    let policy = rig.wasm_policy(
        &ASKS.replace("\"clock\", ", "\"clock\", \"workspace.write\", ").replace("ask = [\"workspace.write\"]\n", ""),
    );
    rig.end(rig.command(&policy).arg(&component)).expect("a run after it", 0, &["finished"]);
    assert_eq!(rig.effects("written").len(), 0);
    let records = rig.records();
    assert!(records.iter().any(|r| r["tool"] == "workspace.write" && r["layer"] == "frozen"));
    drop(thaw);
    rig.operate(&["thaw-tool", "workspace.write"]).expect("thawed already", 28, &["not frozen"]);
    rig.end(rig.command(&policy).arg(&component)).expect("a run after the thaw", 0, &["finished"]);
    assert_eq!(rig.effects("written"), ["0000"]);
    rig.clean("a freeze");
}

#[test]
fn strangers_and_nonsense_get_nothing() {
    use std::os::fd::AsRawFd;
    let Some(rig) = Rig::new("strangers_and_nonsense_get_nothing", &["setpriv"]) else { return };
    let (running, run) = sleeper(&rig);
    let socket = format!("/run/stockade/runs/{run}.sock");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata("/run/stockade").unwrap().permissions());
    assert_eq!(mode & 0o077, 0, "others reach the folder of the sockets");
    // Others than root: neither the command nor the socket.
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "1000", "--regid", "1000", "--clear-groups"]);
    command.arg(rig.stockade().get_program()).args(["stop", "--now", &run]);
    rig.end(&mut command).expect("as uid 1000", 13, &["root"]);
    // Nonsense is refused, and the run lives on; so it does if many connect and say nothing.
    let connect = || {
        use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket as make};
        let fd = make(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).unwrap();
        connect(fd.as_raw_fd(), &UnixAddr::new(socket.as_str()).unwrap()).map(|()| fd)
    };
    let silent: Vec<_> = (0..40).filter_map(|_| connect().ok()).collect();
    for nonsense in
        ["", "{}", "{\"type\":\"stop\"}", "{\"type\":\"order\",\"order\":{\"type\":\"shell\"},\"note\":\"\"}"]
    {
        let fd = connect().unwrap();
        let sent = nix::sys::socket::send(fd.as_raw_fd(), nonsense.as_bytes(), nix::sys::socket::MsgFlags::empty());
        sent.unwrap();
        if !nonsense.is_empty() {
            let mut answer = [0; 4096];
            let len = nix::sys::socket::recv(fd.as_raw_fd(), &mut answer, nix::sys::socket::MsgFlags::empty()).unwrap();
            let answer = String::from_utf8_lossy(&answer[..len]).into_owned();
            assert!(answer.contains("refused"), "{nonsense}: {answer}");
        }
    }
    drop(silent);
    assert_eq!(rig.pending(), Vec::<Value>::new());
    rig.operate(&["stop", "--now", &run]).expect("stop", 0, &[]);
    running.end().expect("the run", 143, &[]);
    let records = records_of(&rig.newest());
    assert_eq!(records.last().unwrap()["event"], "exit");
    rig.clean("nonsense");
}
