//! The one line of JSON that says how an attempt ended.

use crate::attack::{Attempt, Stop};
use crate::sys;
use serde_json::{Value, json};

/// Exit code of an attack that succeeded.
pub const SUCCEEDED: i32 = 0;
/// Exit code of an attack that was stopped.
pub const BLOCKED: i32 = 10;
/// Exit code of an attack that cannot be tried here.
pub const UNSUPPORTED: i32 = 11;

/// The line for one attempt, and the exit code that goes with it.
pub fn line(name: &str, attempt: &Attempt) -> (String, i32) {
    let (outcome, errno, detail, code) = match attempt {
        Ok(evidence) => ("succeeded", 0, evidence.as_str(), SUCCEEDED),
        Err(Stop::Blocked { errno, detail }) => ("blocked", *errno, detail.as_str(), BLOCKED),
        Err(Stop::Unsupported(why)) => ("unsupported", 0, why.as_str(), UNSUPPORTED),
    };
    let syscall = sys::last().map(|(nr, args)| json!({ "nr": nr, "args": args.map(|a| format!("{a:#x}")) }));
    let value = json!({ "name": name, "outcome": outcome, "errno": errno, "detail": detail, "syscall": syscall });
    (value.to_string(), code)
}

/// An attempt as bytes, to cross from a forked child.
pub fn encode(attempt: &Attempt) -> Vec<u8> {
    line("child", attempt).0.into_bytes()
}

/// Back from [`encode`]; the child's failed syscall becomes ours.
pub fn decode(bytes: &[u8]) -> Option<Attempt> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    let detail = value.get("detail")?.as_str()?.to_owned();
    if let Some(nr) = value.pointer("/syscall/nr").and_then(Value::as_i64) {
        let args: Vec<usize> = value
            .pointer("/syscall/args")?
            .as_array()?
            .iter()
            .filter_map(|a| usize::from_str_radix(a.as_str()?.trim_start_matches("0x"), 16).ok())
            .collect();
        sys::remember(nr, &args);
    }
    Some(match value.get("outcome")?.as_str()? {
        "succeeded" => Ok(detail),
        "blocked" => Err(Stop::Blocked { errno: i32::try_from(value.get("errno")?.as_i64()?).unwrap_or(0), detail }),
        _ => Err(Stop::Unsupported(detail)),
    })
}
