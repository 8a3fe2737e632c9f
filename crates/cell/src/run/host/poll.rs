//! `wasi:io/poll`: what is ready depends on recorded readings of the clock and on nothing else.
//!
//! Streams are always ready. A sleep is ready from the first reading on that is not before its moment: to look at one
//! is a `clock` call. Between two readings time really passes, unless the reading was that of a run before; the agent
//! can't tell. A sleep ends at the wall-clock limit at the latest.

use std::collections::HashMap;
use std::time::Duration;

use wasmtime::component::Resource;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::bindings::io::poll;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use super::Host;
use crate::run::end::Stop;

/// The moments of sleeps, in nanoseconds of the monotonic clock, by the pollable's number in the table. It has as many
/// as the table, which is bounded.
#[derive(Debug, Default)]
pub(super) struct Sleeps(HashMap<u32, u64>);

/// Stands for a sleep in the table. Nothing but [`Host`] looks whether it is over.
struct Sleep;

#[async_trait]
impl Pollable for Sleep {
    async fn ready(&mut self) {
        std::future::pending().await
    }
}

impl Host {
    /// A pollable that is ready from a moment of the monotonic clock on.
    pub(super) fn sleep_until(&mut self, moment: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let sleep = self.table.push(Sleep)?;
        let pollable = subscribe(&mut self.table, sleep)?;
        self.sleeps.0.insert(pollable.rep(), moment);
        Ok(pollable)
    }

    /// The moment of a sleep; `None` for what is always ready.
    fn moment(&self, pollable: &Resource<DynPollable>) -> wasmtime::Result<Option<u64>> {
        self.table.get(pollable)?;
        Ok(self.sleeps.0.get(&pollable.rep()).copied())
    }

    /// How much time has to pass until a moment, `now` being the last reading.
    fn rest(&self, now: u64, until: u64) -> Duration {
        let nanos = if self.channel.recorded() { 0 } else { until.saturating_sub(now) };
        Duration::from_nanos(nanos)
    }

    fn is_over(&mut self, moment: Option<u64>) -> Result<bool, Stop> {
        match moment {
            Some(moment) => Ok(moment <= self.read_monotonic()?),
            None => Ok(true),
        }
    }
}

impl poll::Host for Host {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        if pollables.is_empty() {
            return Err(wasmtime::Error::msg("empty poll list"));
        }
        let moments = pollables.iter().map(|one| self.moment(one)).collect::<wasmtime::Result<Vec<_>>>()?;
        let mut now = 0;
        loop {
            let nearest = moments.iter().flatten().min().copied();
            if nearest.is_some() {
                now = self.read_monotonic()?;
            }
            let ready = moments.iter().zip(0..).filter(|(moment, _)| moment.is_none_or(|at| at <= now));
            let ready: Vec<u32> = ready.map(|(_, index)| index).collect();
            match nearest {
                Some(nearest) if ready.is_empty() => {
                    let rest = self.rest(now, nearest);
                    tokio::time::sleep(rest).await;
                }
                _ => return Ok(ready),
            }
        }
    }
}

impl poll::HostPollable for Host {
    async fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        let moment = self.moment(&pollable)?;
        Ok(self.is_over(moment)?)
    }

    async fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        let Some(moment) = self.moment(&pollable)? else { return Ok(()) };
        loop {
            let now = self.read_monotonic()?;
            if moment <= now {
                return Ok(());
            }
            let rest = self.rest(now, moment);
            tokio::time::sleep(rest).await;
        }
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.sleeps.0.remove(&pollable.rep());
        poll::HostPollable::drop(&mut self.table, pollable)
    }
}
