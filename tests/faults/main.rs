//! Fail closed: every system call of a launch is made to fail, and those that close a layer are made to lie.
//!
//! The faults are real: strace(1) changes what the kernel answers to the shipped launcher. Whatever happens,
//! either no agent code runs, the error names the step and says what to do, and nothing is left; or the call
//! did not matter and the read-back shows every layer in place.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod inject;
mod trace;

use std::collections::BTreeSet;

use inject::{Fault, Rig, Verdict};
use stockade_tests::host::{Alone, Left, skip_unless};

/// Calls without which a layer is not closed. None of them may fail unnoticed.
const LAYERS: [&str; 24] = [
    "clone3",
    "unshare",
    "setgroups",
    "setresuid",
    "setresgid",
    "setsid",
    "sethostname",
    "mount",
    "umount2",
    "pivot_root",
    "open_tree",
    "move_mount",
    "mount_setattr",
    "fsopen",
    "fsconfig",
    "fsmount",
    "capset",
    "landlock_create_ruleset",
    "landlock_add_rule",
    "landlock_restrict_self",
    "seccomp",
    "close_range",
    "dup3",
    "execveat",
];

/// Calls that close a layer and can be answered "done" without being done.
const LIES: [&str; 16] = [
    "setgroups",
    "setresuid",
    "setresgid",
    "setsid",
    "umount2",
    "pivot_root",
    "move_mount",
    "mount_setattr",
    "capset",
    "landlock_restrict_self",
    "landlock_add_rule",
    "seccomp",
    "close_range",
    "unshare",
    "prctl",
    "prlimit64",
];

/// The C library's own start: a process that fails there has not begun.
const START: [&str; 6] = ["execve", "arch_prctl", "set_tid_address", "set_robust_list", "rseq", "brk"];

#[test]
fn every_call_of_a_launch_may_fail() {
    let _alone = Alone::on_this_host();
    if skip_unless("every_call_of_a_launch_may_fail", &["strace"]) {
        return;
    }
    let rig = Rig::new();
    let calls = rig.calls();
    assert!(calls.iter().any(|(name, _)| name == "landlock_restrict_self"), "the trace saw no launch: {calls:?}");
    let mut steps = BTreeSet::new();
    let mut survived = BTreeSet::new();
    for (name, count) in calls.iter().filter(|(name, _)| !START.contains(&name.as_str())) {
        for nth in 1..=*count {
            // Of the calls of the C library's start and of its allocator, the first few stand for all.
            if nth > 6
                && !LAYERS.contains(&name.as_str())
                && !["write", "prctl", "openat2", "openat"].contains(&name.as_str())
            {
                break;
            }
            let verdict = rig.run(&Fault::Error { name, nth });
            match verdict {
                Verdict::Refused { step, stderr } => {
                    // The tracer follows the shim, too, whose first fault may be its journal's.
                    let said = stderr.contains("agent code ran") || stderr.contains("journal:");
                    assert!(said, "{name} #{nth}: {stderr}");
                    steps.extend(step);
                }
                Verdict::AfterExec => {}
                Verdict::Ran { whole } => {
                    assert!(whole, "{name} #{nth} failed, the agent ran, and a layer is missing from the read-back");
                    assert!(!LAYERS.contains(&name.as_str()), "{name} #{nth} failed and nobody noticed");
                    survived.insert(name.clone());
                }
            }
            Left::now().assert_nothing(&format!("{name} #{nth}"));
        }
    }
    println!("steps that were seen to fail: {steps:?}");
    println!("calls that may fail without harm: {survived:?}");
    // Not among them is "read-only-root": strace counts calls by process, and the same call of the launcher itself
    // comes first.
    for step in [
        "groups",
        "time-namespace",
        "clone",
        "id-map",
        "become-root-inside",
        "session",
        "hostname",
        "private-mounts",
        "new-root",
        "root-entry",
        "pivot-root",
        "old-root",
        "identity",
        "capabilities",
        "no-new-privs",
        "landlock-rules",
        "landlock",
        "death-signal",
        "seccomp",
        "exec",
    ] {
        assert!(steps.contains(step), "no fault made step {step} fail: {steps:?}");
    }
}

#[test]
fn a_kernel_that_lies_is_found_out() {
    let _alone = Alone::on_this_host();
    if skip_unless("a_kernel_that_lies_is_found_out", &["strace"]) {
        return;
    }
    let rig = Rig::new();
    let calls = rig.calls();
    let mut caught = 0;
    for name in LIES {
        let Some((_, count)) = calls.iter().find(|(n, _)| n == name) else { continue };
        for nth in 1..=*count {
            match rig.run(&Fault::Lie { name, nth }) {
                Verdict::Refused { .. } => caught += 1,
                Verdict::AfterExec => {}
                Verdict::Ran { whole } => {
                    assert!(whole, "{name} #{nth} lied, the agent ran, and the read-back is not whole")
                }
            }
            Left::now().assert_nothing(&format!("a lying {name} #{nth}"));
        }
    }
    assert!(caught >= 12, "only {caught} lies were found out");
}

#[test]
fn the_launcher_takes_nothing_but_a_plan() {
    use std::os::fd::AsRawFd;
    use std::process::{Command, Stdio};

    use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};
    use stockade_tests::host::Programs;

    if skip_unless("the_launcher_takes_nothing_but_a_plan", &[]) {
        return;
    }
    let launcher = Programs::find().path("stockade-launcher");
    // Started by hand, it says what it is for.
    let by_hand = Command::new(&launcher).stdin(Stdio::null()).output().unwrap();
    assert_eq!(by_hand.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&by_hand.stderr).contains("receive failed"), "{by_hand:?}");
    // What is no plan is answered with the step on the socket: kind 3 (failed), step 2 (plan).
    for nonsense in [&b"x"[..], b"stkplan1", &[0xff; 4096]] {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
        send(ours.as_raw_fd(), nonsense, MsgFlags::empty()).unwrap();
        let mut child = Command::new(&launcher).stdin(Stdio::from(theirs)).spawn().unwrap();
        let mut report = [0; 64];
        assert_eq!(recv(ours.as_raw_fd(), &mut report, MsgFlags::empty()), Ok(32));
        assert_eq!((report[0], report[12]), (3, 2));
        assert_eq!(child.wait().unwrap().code(), Some(1));
    }
}
