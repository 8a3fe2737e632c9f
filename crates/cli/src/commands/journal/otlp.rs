//! `stockade journal otlp`: decisions, posted to a collector.

mod post;

use std::ops::ControlFlow;

use stockade_journal::hex;

use crate::args::journal::Otlp;
use crate::failure::Failure;
use crate::runs::{is_older, journal, select, told_broken};
use crate::screen::plain;
use crate::trail::{Filter, host, otlp, scan};
use post::Collector;

/// What is sent without `--all`.
const DECISIONS: [&str; 3] = ["call", "result", "syscall"];

/// Records of one request.
const BATCH: usize = 512;

/// Bytes of records after which a request is sent, if it has not as many.
const BATCH_BYTES: usize = 1024 * 1024;

/// Sends the records that are asked for, in order. What the collector does not take ends it, and is told.
pub(super) fn send(args: &Otlp) -> Result<u8, Failure> {
    let kinds = if args.all { Vec::new() } else { DECISIONS.map(str::to_owned).to_vec() };
    let filter = Filter { since: args.since, until: args.until, kinds, ..Filter::default() };
    let mut batch = Batch::new(Collector::new(&args.endpoint, &args.headers)?);
    let mut code = 0;
    for run in select(&args.state.state, &args.runs)? {
        let dir = journal(&args.state.state, &run);
        if is_older(&dir, filter.since) {
            continue;
        }
        let read = scan(&dir, &run, &filter, |scene, line, under| {
            let record = otlp::record(scene, &line.entry, &hex(&line.hash), under);
            batch.add(record, line.bytes.len(), &run, line.entry.seq).map(ControlFlow::Continue)
        })?;
        if let Err(error) = read {
            code = told_broken(&run, &error);
        }
    }
    batch.send()?;
    crate::output::text(&format!("{} records in {} requests\n", batch.sent, batch.requests))?;
    if batch.rejected > 0 {
        let message = format!("the collector took {} records and rejected {}", batch.sent, batch.rejected);
        return Err(Failure { code: 1, message });
    }
    Ok(code)
}

/// Records on their way.
struct Batch {
    collector: Collector,
    host: String,
    records: Vec<serde_json::Value>,
    bytes: usize,
    /// Run and number of the first one, and of the last.
    span: Option<((String, u64), (String, u64))>,
    sent: u64,
    rejected: u64,
    requests: u64,
}

impl Batch {
    fn new(collector: Collector) -> Self {
        Self { collector, host: host(), records: Vec::new(), bytes: 0, span: None, sent: 0, rejected: 0, requests: 0 }
    }

    fn add(&mut self, record: serde_json::Value, bytes: usize, run: &str, seq: u64) -> Result<(), Failure> {
        let last = (run.to_owned(), seq);
        let first = self.span.take().map_or_else(|| last.clone(), |(first, _)| first);
        self.span = Some((first, last));
        self.records.push(record);
        self.bytes += bytes;
        if self.records.len() >= BATCH || self.bytes >= BATCH_BYTES { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<(), Failure> {
        let Some((first, last)) = self.span.take() else { return Ok(()) };
        let count = self.records.len() as u64;
        let request = otlp::request(std::mem::take(&mut self.records), &self.host).to_string();
        self.bytes = 0;
        match self.collector.post(&request) {
            Ok(rejected) => {
                let rejected = rejected.min(count);
                self.rejected += rejected;
                self.sent += count - rejected;
                self.requests += 1;
                Ok(())
            }
            Err(why) => {
                let (from, to) = (format!("{} seq {}", first.0, first.1), format!("{} seq {}", last.0, last.1));
                let message =
                    format!("{why}; sent were {} records, not those from {from} to {to} nor later", self.sent);
                Err(Failure { code: 1, message: plain(&message) })
            }
        }
    }
}
