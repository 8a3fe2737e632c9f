//! Medians and other order statistics.

use serde::Serialize;
use std::time::Duration;

/// One contender's times in microseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    pub name: String,
    /// Measured runs.
    pub runs: usize,
    /// Runs that did not end with 0; not among the times.
    pub failures: usize,
    pub min_us: f64,
    pub median_us: f64,
    pub p90_us: f64,
}

pub fn row(name: &str, times: &[Duration], failures: usize) -> Option<Row> {
    let mut micros: Vec<f64> = times.iter().map(|t| t.as_secs_f64() * 1e6).collect();
    micros.sort_by(f64::total_cmp);
    Some(Row {
        name: name.to_owned(),
        runs: times.len(),
        failures,
        min_us: *micros.first()?,
        median_us: median(&mut micros)?,
        p90_us: *micros.get(micros.len() * 9 / 10)?,
    })
}

/// Sorts what it is given.
pub fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    let lower = if values.len().is_multiple_of(2) { *values.get(middle.checked_sub(1)?)? } else { upper };
    Some((lower + upper) / 2.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn order_statistics_of_few_values() {
        assert_eq!(median(&mut []), None);
        assert_eq!(median(&mut [3.0, 1.0]), Some(2.0));
        assert_eq!(median(&mut [9.0, 1.0, 2.0]), Some(2.0));
        let times: Vec<_> = (1..=10).map(Duration::from_micros).collect();
        let row = row("x", &times, 1).unwrap();
        assert!((row.median_us - 5.5).abs() < 1e-6 && (row.p90_us - 10.0).abs() < 1e-6 && row.failures == 1);
    }
}
