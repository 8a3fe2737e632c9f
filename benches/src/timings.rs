//! Where the time goes: `stockade run --timings` prints one JSON object on stderr, which says for each
//! step how many microseconds after the request it was done. Run apart from the measured turns.

use crate::contender::Contender;
use crate::options::Options;
use crate::stats::median;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::error::Error;

const RUNS: usize = 20;

/// One step's median in microseconds, from the end of the step before it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    pub name: String,
    pub median_us: f64,
}

/// Empty if `stockade` has no `--timings`, or cannot run.
pub fn collect(options: &Options, native: Option<&Contender>) -> Result<Vec<Step>, Box<dyn Error>> {
    let Some(native) = native else { return Ok(Vec::new()) };
    let (mut order, mut seen) = (Vec::new(), BTreeMap::<String, Vec<f64>>::new());
    for _ in 0..RUNS.min(options.rounds) {
        let plain = native.command();
        let mut args = plain.get_args();
        let mut timed = std::process::Command::new(plain.get_program());
        timed.args(args.next()).arg("--timings").args(args).stdin(std::process::Stdio::null());
        let out = timed.output()?;
        if !out.status.success() {
            return Ok(Vec::new());
        }
        let stderr = String::from_utf8_lossy(&out.stderr);
        for (name, micros) in stderr.lines().rev().find_map(parse).unwrap_or_default() {
            let times = seen.entry(name.clone()).or_insert_with(|| {
                order.push(name);
                Vec::new()
            });
            times.push(micros);
        }
    }
    let step = |name: String| {
        let median_us = median(seen.get_mut(&name)?)?;
        Some(Step { name, median_us })
    };
    Ok(order.into_iter().filter_map(step).collect())
}

/// Each step and how long it took, in order.
fn parse(line: &str) -> Option<Vec<(String, f64)>> {
    let Ok(Value::Object(done)) = serde_json::from_str(line.trim()) else { return None };
    let mut done: Vec<_> = done.into_iter().filter_map(|(name, at)| Some((name, at.as_f64()?))).collect();
    done.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut before = 0.0;
    Some(done.into_iter().map(|(name, at)| (name, at - std::mem::replace(&mut before, at))).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn steps_are_told_apart_whatever_their_order() {
        let steps = parse(r#"{"mounted":500,"asked":20,"gone":900}"#).unwrap();
        let expected = [("asked", 20.0), ("mounted", 480.0), ("gone", 400.0)].map(|(n, t)| (n.to_owned(), t));
        assert_eq!(steps, expected);
        assert_eq!(parse("run r-1 finished"), None);
    }
}
