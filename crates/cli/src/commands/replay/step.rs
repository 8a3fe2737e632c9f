//! One step of a replay on the operator's screen.

use std::io::{Write, stdin, stdout};
use std::os::fd::{AsFd, BorrowedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::{Value, json};
use stockade_wire::control::Step;

use crate::screen::plain;

/// Shows a step; waits for Enter, or for a signal, if somebody is there to press it.
pub(super) fn show(step: &Step, signals: BorrowedFd<'_>, wait: bool, as_json: bool) {
    let line = if as_json {
        json!({ "step": { "seq": step.seq, "what": step.what } }).to_string()
    } else {
        plain(&format!("{:>6}  {}", step.seq, told(&step.what)))
    };
    let mut out = stdout().lock();
    // A reader that has gone is no reason to stop.
    let _written = writeln!(out, "{line}").and_then(|()| out.flush());
    if wait {
        await_enter(signals);
    }
}

fn told(what: &Value) -> String {
    let text = |value: Option<&Value>| match value {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    if let Some(call) = what.get("call") {
        let (tool, args) = (text(call.get("tool")), text(call.get("args")));
        let answer = what.get("answer");
        let status = text(answer.and_then(|answer| answer.get("status")));
        return format!("{tool} {args} → {status} {}", text(answer.and_then(|answer| answer.get("body"))));
    }
    match what.get("log") {
        Some(log) => format!("{}: {}", text(log.get("level")), text(log.get("message"))),
        None => what.to_string(),
    }
}

fn await_enter(signals: BorrowedFd<'_>) {
    let input = stdin();
    let mut fds = [PollFd::new(input.as_fd(), PollFlags::POLLIN), PollFd::new(signals, PollFlags::POLLIN)];
    while matches!(poll(&mut fds, PollTimeout::NONE), Err(nix::errno::Errno::EINTR)) {}
    let [typed, _] = fds.map(|fd| fd.any().unwrap_or(false));
    if typed {
        let _line = input.read_line(&mut String::new());
    }
}
