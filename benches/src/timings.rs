//! Where the time goes: `stockade run --timings` prints a JSON line for each step on stderr,
//! `{"step": NAME, "us": N}`. Run apart from the measured turns.

use crate::contender::Contender;
use crate::options::Options;
use crate::stats::median;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::error::Error;

const RUNS: usize = 20;

/// One step's median in microseconds, in the order in which the steps were printed.
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
        for (name, micros) in String::from_utf8_lossy(&out.stderr).lines().filter_map(parse) {
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

fn parse(line: &str) -> Option<(String, f64)> {
    let value: Value = serde_json::from_str(line.trim()).ok()?;
    Some((value.get("step")?.as_str()?.to_owned(), value.get("us")?.as_f64()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_timing_lines_count() {
        assert_eq!(parse(r#"{"step":"mounts","us":450}"#), Some(("mounts".into(), 450.0)));
        assert_eq!(parse(r#"{"step":"mounts"}"#), None);
        assert_eq!(parse("run r-1 finished"), None);
    }
}
