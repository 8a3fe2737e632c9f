//! The result as a table, or as JSON.

use crate::contender::{FLOOR, PEER};
use crate::machine::Facts;
use crate::stats::Row;
use crate::timings::Step;
use serde::Serialize;
use std::fmt;

#[derive(Debug, Serialize)]
pub struct Report {
    machine: Facts,
    rounds: usize,
    results: Vec<Result>,
    /// Contenders that could not run here, and why.
    absent: Vec<Note>,
    /// Contenders that failed in between, and what the last such run said.
    failed: Vec<Note>,
    /// Steps of a native cell's launch.
    steps: Vec<Step>,
}

#[derive(Debug, Serialize)]
struct Result {
    #[serde(flatten)]
    row: Row,
    /// Median over the median of fork+exec.
    to_floor: Option<f64>,
    /// Median over the median of bubblewrap.
    to_bubblewrap: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Note {
    name: &'static str,
    why: String,
}

impl Report {
    pub fn new(
        machine: Facts,
        rounds: usize,
        rows: Vec<Row>,
        absent: Vec<(&'static str, String)>,
        failed: Vec<(&'static str, String)>,
        steps: Vec<Step>,
    ) -> Self {
        let median = |name| rows.iter().find(|r| r.name == name).map(|r| r.median_us);
        let (floor, peer) = (median(FLOOR), median(PEER));
        let results = rows
            .iter()
            .map(|row| Result {
                to_floor: floor.map(|f| row.median_us / f),
                to_bubblewrap: peer.map(|p| row.median_us / p),
                row: row.clone(),
            })
            .collect();
        let notes = |list: Vec<_>| list.into_iter().map(|(name, why)| Note { name, why }).collect();
        Self { machine, rounds, results, absent: notes(absent), failed: notes(failed), steps }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let m = &self.machine;
        writeln!(f, "Linux {} on {} × {}, cgroups {}, load {}", m.kernel, m.cpus, m.cpu, m.cgroups, m.load)?;
        writeln!(f, "{} rounds, interleaved; times from spawn to waited for, in milliseconds\n", self.rounds)?;
        writeln!(
            f,
            "{:34} {:>7} {:>7} {:>7} {:>10} {:>12} {:>5} {:>6}",
            "", "median", "p90", "min", "×fork+exec", "×bubblewrap", "runs", "failed"
        )?;
        let ratio = |r: Option<f64>| r.map_or_else(|| "-".to_owned(), |r| format!("{r:.2}"));
        for Result { row, to_floor, to_bubblewrap } in &self.results {
            let ms = |us: f64| us / 1000.0;
            writeln!(
                f,
                "{:34} {:>7.2} {:>7.2} {:>7.2} {:>10} {:>12} {:>5} {:>6}",
                row.name,
                ms(row.median_us),
                ms(row.p90_us),
                ms(row.min_us),
                ratio(*to_floor),
                ratio(*to_bubblewrap),
                row.runs,
                row.failures
            )?;
        }
        for (heading, notes) in [("not measured", &self.absent), ("failed runs", &self.failed)] {
            if !notes.is_empty() {
                writeln!(f, "\n{heading}:")?;
            }
            for Note { name, why } in notes {
                writeln!(f, "  {name}: {why}")?;
            }
        }
        if !self.steps.is_empty() {
            writeln!(f, "\nwhere a native cell's time goes (medians of separate runs, µs):")?;
        }
        for Step { name, median_us } in &self.steps {
            writeln!(f, "  {name:32} {median_us:>9.0}")?;
        }
        writeln!(
            f,
            "\nbubblewrap unshares and mounts; it sets no cgroup limits, no seccomp filter, no Landlock, keeps no \
             journal.\nA stockade run does all of that, with its mediator, and is attested before the program starts."
        )
    }
}
