//! The order in which a wasm cell may speak. Anything else is a breach and ends the run.

use std::fmt;

use stockade_wire::frame::{FrameError, FromCell};

/// Where the conversation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The component is being loaded; `Ready` is owed.
    Loading,
    /// Loaded; the cell waits for `Start`.
    Ready,
    /// Agent code runs.
    Running,
    /// `Exit` was said; nothing may follow.
    Ended,
}

/// The cell's side of the conversation, checked frame by frame.
#[derive(Debug)]
pub struct Protocol {
    phase: Phase,
    last_call: Option<u64>,
    in_flight: Option<u64>,
}

/// What a cell did against the rules.
#[derive(Debug)]
pub enum Breach {
    /// Bytes that are no frame.
    Frame(FrameError),
    /// A frame out of its place.
    Order {
        /// The frame's name.
        frame: &'static str,
        /// Why it has no place here.
        because: &'static str,
    },
    /// A call id that does not increase.
    CallId {
        /// The last one.
        last: u64,
        /// The offending one.
        got: u64,
    },
    /// A payload that must be JSON of a certain shape and is not.
    Body {
        /// The frame's name.
        frame: &'static str,
        /// What is wrong.
        problem: String,
    },
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(e) => write!(f, "{e}"),
            Self::Order { frame, because } => write!(f, "cell channel: {frame} frame {because}"),
            Self::CallId { last, got } => write!(f, "cell channel: call id {got} after {last}; ids must increase"),
            Self::Body { frame, problem } => write!(f, "cell channel: {frame} frame: {problem}"),
        }
    }
}

impl std::error::Error for Breach {}

impl From<FrameError> for Breach {
    fn from(e: FrameError) -> Self {
        Self::Frame(e)
    }
}

impl Default for Protocol {
    fn default() -> Self {
        Self { phase: Phase::Loading, last_call: None, in_flight: None }
    }
}

impl Protocol {
    /// Admits a frame or names the rule that it breaks.
    ///
    /// # Errors
    /// [`Breach::Order`] and [`Breach::CallId`].
    pub fn admit(&mut self, frame: &FromCell) -> Result<(), Breach> {
        let name = name(frame);
        let wrong = |because| Err(Breach::Order { frame: name, because });
        match (self.phase, frame) {
            (Phase::Ended, _) => wrong("after exit"),
            (Phase::Loading, FromCell::Ready { .. }) => {
                self.phase = Phase::Ready;
                Ok(())
            }
            (_, FromCell::Ready { .. }) => wrong("said twice"),
            // A component that cannot be loaded ends before it is ready.
            (_, FromCell::Exit { .. }) => {
                self.phase = Phase::Ended;
                Ok(())
            }
            (Phase::Loading | Phase::Ready, _) => wrong("before start"),
            (Phase::Running, FromCell::Log { .. }) => Ok(()),
            (Phase::Running, FromCell::Call { id, .. }) => {
                if self.in_flight.is_some() {
                    return wrong("while another call is in flight");
                }
                if let Some(last) = self.last_call.filter(|last| id <= last) {
                    return Err(Breach::CallId { last, got: *id });
                }
                self.last_call = Some(*id);
                self.in_flight = Some(*id);
                Ok(())
            }
        }
    }

    /// `Start` has been said.
    pub fn started(&mut self) {
        if self.phase == Phase::Ready {
            self.phase = Phase::Running;
        }
    }

    /// The call in flight has been answered.
    pub fn answered(&mut self) {
        self.in_flight = None;
    }

    /// The call in flight.
    #[must_use]
    pub fn in_flight(&self) -> Option<u64> {
        self.in_flight
    }

    /// The cell is loaded and waits for `Start`.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// The cell has said `Exit`.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.phase == Phase::Ended
    }
}

fn name(frame: &FromCell) -> &'static str {
    match frame {
        FromCell::Call { .. } => "call",
        FromCell::Log { .. } => "log",
        FromCell::Ready { .. } => "ready",
        FromCell::Exit { .. } => "exit",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use stockade_wire::frame::Level;

    fn call(id: u64) -> FromCell {
        FromCell::Call { id, fuel: 0, tool: "clock".into(), args: b"{}".to_vec() }
    }
    fn ready() -> FromCell {
        FromCell::Ready { report: b"{}".to_vec() }
    }
    fn log() -> FromCell {
        FromCell::Log { level: Level::Info, message: String::new() }
    }
    fn exit() -> FromCell {
        FromCell::Exit { outcome: b"{}".to_vec() }
    }
    fn running() -> Protocol {
        let mut p = Protocol::default();
        p.admit(&ready()).unwrap();
        p.started();
        p
    }

    #[test]
    fn the_plain_order_is_admitted() {
        let mut p = running();
        for id in [1, 2, 9] {
            p.admit(&call(id)).unwrap();
            p.admit(&log()).unwrap();
            assert_eq!(p.in_flight(), Some(id));
            p.answered();
        }
        p.admit(&exit()).unwrap();
        assert!(p.has_ended());
    }

    #[test]
    fn nothing_is_served_before_start() {
        for frame in [call(1), log()] {
            let mut p = Protocol::default();
            assert!(matches!(p.admit(&frame), Err(Breach::Order { because: "before start", .. })));
            p.admit(&ready()).unwrap();
            assert!(matches!(p.admit(&frame), Err(Breach::Order { because: "before start", .. })));
        }
        let mut p = Protocol::default();
        p.started();
        assert!(p.admit(&call(1)).is_err(), "start before ready must not open the door");
    }

    #[test]
    fn every_other_order_is_a_breach() {
        let mut p = running();
        assert!(matches!(p.admit(&ready()), Err(Breach::Order { .. })));
        p.admit(&call(5)).unwrap();
        assert!(matches!(p.admit(&call(6)), Err(Breach::Order { .. })));
        p.answered();
        assert!(matches!(p.admit(&call(5)), Err(Breach::CallId { last: 5, got: 5 })));
        assert!(matches!(p.admit(&call(4)), Err(Breach::CallId { last: 5, got: 4 })));
        p.admit(&exit()).unwrap();
        for frame in [call(9), log(), ready(), exit()] {
            assert!(matches!(p.admit(&frame), Err(Breach::Order { because: "after exit", .. })));
        }
    }
}
