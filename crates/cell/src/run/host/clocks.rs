//! Clocks by the recorded path: every reading is a `clock` call, so that a run can be repeated.
//!
//! A sleep is a moment of this clock; [`super::poll`] waits for it.

use serde::Deserialize;
use stockade_wire::frame::Status;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};

use super::Host;
use crate::run::end::Stop;

/// The tool's name.
const CLOCK: &str = "clock";
const NANOS: u64 = 1_000_000_000;

/// The monotonic clock is the wall clock that never goes back.
#[derive(Debug, Default)]
pub(super) struct Clock {
    latest: u64,
}

/// The result of the `clock` tool.
#[derive(Deserialize)]
struct Reading {
    /// Nanoseconds since 1970, in decimal: JSON numbers lose such digits in some readers.
    unix_ns: String,
}

impl Host {
    fn read_clock(&mut self) -> Result<u64, Stop> {
        let (status, body) = self.ask(CLOCK, "{}".to_owned())?;
        match status {
            Status::Ok => serde_json::from_str::<Reading>(&body)
                .ok()
                .and_then(|reading| reading.unix_ns.parse().ok())
                .ok_or(Stop::Tool { tool: CLOCK, answer: body }),
            Status::Denied => Err(Stop::Denied { tool: CLOCK, answer: body }),
            Status::Invalid | Status::Failed | Status::Limit => Err(Stop::Tool { tool: CLOCK, answer: body }),
        }
    }

    pub(super) fn read_monotonic(&mut self) -> Result<u64, Stop> {
        let now = self.read_clock()?;
        self.clock.latest = self.clock.latest.max(now);
        Ok(self.clock.latest)
    }
}

impl wall_clock::Host for Host {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        let now = self.read_clock()?;
        Ok(wall_clock::Datetime { seconds: now / NANOS, nanoseconds: u32::try_from(now % NANOS).unwrap_or(0) })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: 1 })
    }
}

impl monotonic_clock::Host for Host {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.read_monotonic()?)
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.sleep_until(when)
    }

    fn subscribe_duration(&mut self, nanos: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let now = self.read_monotonic()?;
        self.sleep_until(now.saturating_add(nanos))
    }
}
