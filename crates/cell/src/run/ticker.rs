//! The thread that interrupts agent code which makes no calls.
//!
//! It is born before the last layer closes, and the layer covers it too. It wakes once, at the
//! wall-clock limit; the epoch is not a metronome here.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::Builder;
use std::time::Instant;

use wasmtime::Engine;

/// Held by the run; dropped, it lets the thread end.
pub(super) struct Ticker {
    deadline: SyncSender<Instant>,
}

impl Ticker {
    /// Starts the thread and waits until it makes no more system calls of its birth.
    pub(super) fn spawn(engine: Engine) -> std::io::Result<Self> {
        let (deadline, orders) = sync_channel(1);
        let (born, birth) = sync_channel(1);
        Builder::new().name("ticker".into()).stack_size(64 << 10).spawn(move || {
            let _ = born.send(());
            tick(&engine, &orders);
        })?;
        birth.recv().map_err(std::io::Error::other)?;
        Ok(Self { deadline })
    }

    /// From now on, agent code is interrupted at `at`.
    pub(super) fn arm(&self, at: Instant) {
        // The thread ends only with `self`, and the buffer has room for the one order.
        let _ = self.deadline.try_send(at);
    }
}

fn tick(engine: &Engine, orders: &Receiver<Instant>) {
    let Ok(at) = orders.recv() else { return };
    loop {
        let left = at.saturating_duration_since(Instant::now());
        match orders.recv_timeout(left) {
            Err(RecvTimeoutError::Timeout) if at <= Instant::now() => break,
            Err(RecvTimeoutError::Disconnected) => return,
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
        }
    }
    engine.increment_epoch();
}
