//! Which layer stopped an attack, from what can be checked.

use super::Verdict;
use super::attack::{Answer, Attack, Expect, Syscall};
use super::cells::{Kind, Seen};
use serde_json::Value;
use stockade_policy::seccomp::{self, Action};

/// The verdict on one run in a cell, given the one outside.
pub fn judge(kind: Kind, attack: &Attack, outside: &Verdict, seen: &Seen) -> Verdict {
    let expected = match if kind == Kind::Native { &attack.native } else { &attack.wasm } {
        Expect::Stopped(layers) => layers,
        Expect::Open(why) => return opened(why, seen),
        Expect::Absent(why) => return Verdict::Skip(why.clone()),
    };
    if !seen.moved.is_empty() {
        return Verdict::Fail(format!("on the host: {}", seen.moved.join("; ")));
    }
    if !seen.leftovers.is_empty() {
        return Verdict::Fail(format!("processes {:?} were left", seen.leftovers));
    }
    if let Some(why) = escaped(attack, seen) {
        return Verdict::Fail(why);
    }
    match (outside, stopped_by(kind, attack, expected, seen)) {
        (Verdict::Pass(_), Ok(layer)) => Verdict::Pass(layer),
        (Verdict::Pass(_), Err(why)) => Verdict::Fail(why),
        (_, Ok(layer)) => Verdict::Skip(format!("not shown outside; here stopped by {layer}")),
        // What this kernel does not have, it does not have in a cell either.
        (_, Err(why)) if seen.answer.as_ref().is_some_and(|a| attack.outside.excuse.contains(&a.errno)) => {
            Verdict::Skip(format!("not shown outside; {why}"))
        }
        (_, Err(why)) => Verdict::Fail(why),
    }
}

/// Works by design; then it must work, or the reason given is stale.
fn opened(why: &str, seen: &Seen) -> Verdict {
    match &seen.answer {
        _ if !seen.leftovers.is_empty() => Verdict::Fail(format!("processes {:?} were left", seen.leftovers)),
        Some(a) if a.outcome == "succeeded" => Verdict::Skip(format!("open by design: {why}")),
        _ => Verdict::Fail(format!("said to be open by design, and it is not: {}", tell(seen))),
    }
}

/// Attacks whose success only the host can see, and those that say so themselves.
fn escaped(attack: &Attack, seen: &Seen) -> Option<String> {
    let success = seen.answer.as_ref().filter(|a| a.outcome == "succeeded").map(|a| a.detail.clone());
    match attack.name.as_str() {
        // The sender cannot know; the leftovers and the victim were looked at above.
        n if n.starts_with("proc-outlive") || n == "proc-sigio-host" => None,
        "limit-output" => {
            let arrived = seen.output.stdout.len() + seen.output.stderr.len();
            (arrived > (1 << 20) + 65536).then(|| format!("{arrived} bytes arrived"))
        }
        "terminal-escapes" => {
            let raw = |bytes: &[u8]| {
                bytes.iter().any(|b| *b < 0x20 && !b"\n\r\t".contains(b))
                    || bytes.windows(2).any(|w| w == b"\xc2\x9b")
                    || std::str::from_utf8(bytes).is_err()
            };
            (raw(&seen.output.stdout) || raw(&seen.output.stderr)).then(|| "control characters arrived".to_owned())
        }
        "frame-forged-log" => seen
            .journal
            .iter()
            .any(|r| r["status"] == "forged-by-escape" || (r["type"] == "result" && r["id"] == 99))
            .then(|| "the journal has a forged record".to_owned()),
        "net-listen" if seen.reached => Some("the host reached the attacker's service".to_owned()),
        _ => success.map(|s| format!("it succeeded: {s}")),
    }
}

fn stopped_by(kind: Kind, attack: &Attack, expected: &[String], seen: &Seen) -> Result<String, String> {
    let wants = |layer: &str| expected.iter().any(|e| e == layer);
    let accept = |layer: &str, shown: String| {
        if wants(layer) {
            Ok(shown)
        } else {
            Err(format!("stopped by {shown}, not by any of {expected:?}: {}", tell(seen)))
        }
    };
    let Some(answer) = &seen.answer else { return without_answer(expected, seen) };
    if answer.outcome == "unsupported" {
        return Err(format!("it was not tried: {}", answer.detail));
    }
    if let Some(call) = answer.syscall.as_ref().filter(|_| answer.errno != 0)
        && let Some(shown) = by_filter(kind, call, answer, seen)?
    {
        return accept("seccomp", shown);
    }
    // What leaves no trace but its absence, and an errno that fits.
    let fits = |layer: &str| answer.outcome == "succeeded" || plausible(layer, answer.errno);
    let failed = answer.outcome != "succeeded" || silent(attack);
    if let Some(layer) = expected.iter().find(|l| failed && *l != "seccomp" && fits(l)) {
        return Ok(layer.clone());
    }
    Err(format!("stopped, but not as any of {expected:?} would: {}", tell(seen)))
}

/// The sender believes that it worked.
fn silent(attack: &Attack) -> bool {
    ["proc-outlive-", "proc-sigio", "frame-forged", "limit-output", "terminal-escapes"]
        .iter()
        .any(|p| attack.name.starts_with(p))
}

/// Asks the filter's own bytes about the decisive call.
fn by_filter(kind: Kind, call: &Syscall, answer: &Answer, seen: &Seen) -> Result<Option<String>, String> {
    let mut args = [0u64; 6];
    for (slot, text) in args.iter_mut().zip(&call.args) {
        *slot = u64::from_str_radix(text.trim_start_matches("0x"), 16).map_err(|e| e.to_string())?;
    }
    let names: &[&str] = if kind == Kind::Native { &["cell-native"] } else { &["cell-wasm", "cell-wasm-sealed"] };
    let decide = |name: &&str| seccomp::profile(name).unwrap().decide(call.nr, args).map_err(|e| e.to_string());
    let actions = names.iter().map(decide).collect::<Result<Vec<Action>, String>>()?;
    match actions.into_iter().min() {
        Some(Action::Errno(errno)) if i32::from(errno) == answer.errno => Ok(Some("seccomp".to_owned())),
        Some(Action::Notify) => {
            let recorded =
                seen.journal.iter().any(|r| r["type"] == "syscall" && r["nr"] == call.nr && r["verdict"] == "deny");
            if recorded {
                Ok(Some("seccomp, journaled".to_owned()))
            } else {
                Err(format!("syscall {} went to the shim and is not in the journal", call.nr))
            }
        }
        Some(action @ (Action::KillProcess | Action::KillThread | Action::Errno(_))) => Err(format!(
            "the filter says {action:?} for syscall {}, but the attack saw errno {}",
            call.nr, answer.errno
        )),
        _ => Ok(None),
    }
}

/// The attack did not live to tell.
fn without_answer(expected: &[String], seen: &Seen) -> Result<String, String> {
    let code = seen.output.status.code().unwrap_or(-1);
    let by_sigsys = seen.journal.iter().any(|r| r["type"] == "lifecycle" && tells_sigsys(r));
    let layer = match code {
        22 if by_sigsys => "seccomp",
        30 => "wall-limit",
        31 => "cgroup-memory",
        33 => "cgroup-pids",
        // The shim ended the conversation and said so.
        _ if expected.iter().any(|l| l == "shim") && condemned(seen) => "shim",
        0 | 20 if expected.iter().any(|l| l == "output-limit") => "output-limit",
        _ => return Err(format!("no answer: {}", tell(seen))),
    };
    if expected.iter().any(|l| l == layer) {
        Ok(if layer == "seccomp" { "seccomp, killed".to_owned() } else { layer.to_owned() })
    } else {
        Err(format!("ended by {layer}, not by any of {expected:?}"))
    }
}

fn condemned(seen: &Seen) -> bool {
    seen.journal.iter().any(|r| r["type"] == "lifecycle" && r["event"] == "killed")
}

fn tells_sigsys(record: &Value) -> bool {
    let signal = libc::SIGSYS;
    let text = record.to_string();
    text.contains(&format!("\"signal\":{signal}")) || text.contains("seccomp")
}

/// Errnos with which a layer says no; 0 where it shows by an effect that does not happen.
fn plausible(layer: &str, errno: i32) -> bool {
    use libc::*;
    let errnos: &[i32] = match layer {
        "mount-ns" => &[ENOENT, ENOTDIR, ENODEV, 0],
        "masked-proc" => &[ENOENT, EACCES, EPERM, ENOTDIR, 0],
        "landlock" => &[EACCES, EPERM, EXDEV],
        "capabilities" => &[EPERM, EACCES],
        "user-ns" => &[EPERM, EACCES, EINVAL, EOVERFLOW, 0],
        "pid-ns" => &[ESRCH, ENOENT, 0],
        "net-ns" => &[ENETUNREACH, ECONNREFUSED, EADDRNOTAVAIL, EHOSTUNREACH, ENOENT, 0],
        "ipc-ns" => &[ENOENT, EINVAL, 0],
        "read-only-root" => &[EROFS],
        "rlimit" => &[EMFILE, EFBIG, ENOMEM, EAGAIN, EPERM, EACCES, ENOSPC],
        "cgroup-pids" => &[EAGAIN],
        "cgroup-memory" => &[ENOMEM],
        "tmpfs-size" => &[ENOSPC],
        "no-new-privs" => &[0],
        "seal" => &[EPERM, EACCES],
        "session" => &[ENXIO, ENOTTY, EIO],
        "one-listener" => &[EBUSY, EPERM],
        "keyring" => &[ENOKEY, EACCES],
        "closed-fds" => &[EBADF, ENOENT, ENOTDIR, 0],
        "uts-ns" | "time-ns" | "cgroup-ns" | "environment" | "dropped-groups" | "reclaim" | "sanitised"
        | "output-limit" | "cgroup-cpu" | "shim" => &[0],
        _ => &[],
    };
    errnos.contains(&errno)
}

/// One line on what was seen.
fn tell(seen: &Seen) -> String {
    let clip = |bytes: &[u8]| String::from_utf8_lossy(bytes).chars().take(400).collect::<String>();
    match &seen.answer {
        Some(a) => format!("{} errno {} ({}) at {:?}", a.outcome, a.errno, a.detail, a.syscall),
        None => format!(
            "{}, stdout {:?}, stderr {:?}",
            seen.output.status,
            clip(&seen.output.stdout),
            clip(&seen.output.stderr)
        ),
    }
}
