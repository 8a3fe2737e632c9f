//! `KEY=VALUE` parameters: the targets that the driver set up outside.

use crate::attack::{Stop, failed};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;

/// Targets of one attempt.
#[derive(Default)]
pub struct Params {
    values: BTreeMap<String, String>,
    /// The channel to the shim, in a wasm cell.
    pub channel: Option<RefCell<UnixStream>>,
}

impl Params {
    /// From arguments; what is not `KEY=VALUE` is ignored.
    pub fn parse<I: IntoIterator<Item = String>>(args: I) -> Self {
        let values =
            args.into_iter().filter_map(|a| a.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()))).collect();
        Self { values, channel: None }
    }

    /// A parameter that must be there.
    pub fn get(&self, key: &str) -> Result<&str, Stop> {
        self.values.get(key).map(String::as_str).ok_or_else(|| Stop::Unsupported(format!("needs {key}=")))
    }

    /// A parameter with a default.
    pub fn or<'a>(&'a self, key: &str, default: &'a str) -> &'a str {
        self.values.get(key).map_or(default, String::as_str)
    }

    /// A number that must be there.
    pub fn number(&self, key: &str) -> Result<i64, Stop> {
        let text = self.get(key)?;
        text.parse().map_err(|_| Stop::Unsupported(format!("{key}={text} is not a number")))
    }

    /// A number with a default.
    pub fn number_or(&self, key: &str, default: i64) -> i64 {
        self.number(key).unwrap_or(default)
    }

    /// Processes worth attacking: `TARGET` (the victim outside, PID 1 in a cell) and `HOST_PID`.
    pub fn pids(&self) -> Result<Vec<i64>, Stop> {
        let mut pids: Vec<i64> = ["TARGET", "HOST_PID"].iter().filter_map(|k| self.number(k).ok()).collect();
        pids.dedup();
        if pids.is_empty() { Err(Stop::Unsupported("needs TARGET= or HOST_PID=".into())) } else { Ok(pids) }
    }
}

/// Tries each target until one succeeds; else the last refusal.
pub fn any<T: Copy>(targets: &[T], mut attempt: impl FnMut(T) -> Result<String, Stop>) -> Result<String, Stop> {
    let mut last = failed(0, "nothing to try");
    for target in targets {
        match attempt(*target) {
            Ok(evidence) => return Ok(evidence),
            Err(stop) => last = stop,
        }
    }
    Err(last)
}
