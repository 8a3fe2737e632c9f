//! `exec`: commands, each in a tool cell that the supervisor launches.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::read;
use serde_json::json;
use stockade_wire::control::ExitStatus;
use stockade_wire::frame::Status;

use crate::answer::Answer;

/// Most bytes kept of one stream. Twice this, every byte escaped as JSON does control characters,
/// still fits a frame.
pub const MAX_STREAM: u64 = 256 * 1024;

/// Longest JSON text of an argument vector, so that the request fits a datagram.
pub const MAX_ARGV_JSON: usize = 128 * 1024;

/// Time the supervisor has for a launch, and for an end. Beyond it the shim gives the run up.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Most commands at one time.
pub const MAX_TOOLS: usize = 8;

/// Bytes taken from a stream before other descriptors get their turn.
const BATCH: usize = 256 * 1024;

/// One stream of a tool: its beginning is kept, the rest counted.
#[derive(Debug)]
pub struct Stream {
    pipe: Option<OwnedFd>,
    kept: Vec<u8>,
    room: usize,
    dropped: u64,
}

impl Stream {
    fn new(limit: u64) -> Self {
        let room = usize::try_from(limit.min(MAX_STREAM)).unwrap_or(0);
        Self { pipe: None, kept: Vec::new(), room, dropped: 0 }
    }

    /// A stream that is open already, of which `limit` bytes are kept.
    pub(crate) fn open(pipe: OwnedFd, limit: u64) -> Self {
        Self { pipe: Some(pipe), ..Self::new(limit) }
    }

    /// What is kept, and how much is not, for a record; what is in the pipe is taken first.
    pub(crate) fn told(&mut self) -> serde_json::Value {
        self.drain(usize::try_from(MAX_STREAM).unwrap_or(usize::MAX));
        json!({ "text": String::from_utf8_lossy(&self.kept), "dropped": self.dropped })
    }

    /// For poll(2); `None` before the launch and after the end of the stream.
    #[must_use]
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Takes what has arrived, up to `most` bytes, without blocking.
    pub fn drain(&mut self, most: usize) {
        let mut chunk = [0u8; 16 * 1024];
        let mut taken = 0;
        while taken < most && self.pipe.as_ref().is_some_and(readable) {
            let Some(pipe) = &self.pipe else { return };
            match read(pipe, &mut chunk) {
                Ok(n) if n > 0 => {
                    taken += n;
                    self.take(chunk.get(..n).unwrap_or_default());
                }
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                // The end, or a pipe that can't be read: no more will come.
                Ok(_) | Err(_) => self.pipe = None,
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        let (keep, drop) = bytes.split_at(bytes.len().min(self.room - self.kept.len()));
        self.kept.extend_from_slice(keep);
        self.dropped += drop.len() as u64;
    }
}

fn readable(pipe: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|n| n > 0)
}

/// Where a tool stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The supervisor was asked.
    Launching,
    /// It runs.
    Running,
    /// It was killed for its time limit.
    OverTime,
    /// It was killed because the launch took too long.
    LaunchTimedOut,
    /// It was killed because the operator froze its tool.
    CutShort,
}

/// What to do when a tool's time has come.
#[derive(Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing yet.
    Nothing,
    /// Ask the supervisor to kill it.
    Kill,
    /// It should be gone and is not.
    Hopeless,
}

/// One `exec` call in flight.
#[derive(Debug)]
pub struct ToolRun {
    /// The call it belongs to.
    pub call: u64,
    /// Its standard output.
    pub stdout: Stream,
    /// Its standard error.
    pub stderr: Stream,
    stage: Stage,
    deadline: Instant,
    wall: Duration,
}

impl ToolRun {
    /// A tool that the supervisor has been asked for; `output` bounds each of its streams, in bytes.
    #[must_use]
    pub fn new(call: u64, wall: Duration, output: u64, now: Instant) -> Self {
        Self {
            call,
            stdout: Stream::new(output),
            stderr: Stream::new(output),
            stage: Stage::Launching,
            deadline: now + PATIENCE,
            wall,
        }
    }

    /// It runs; its time counts from now.
    pub fn started(&mut self, stdout: OwnedFd, stderr: OwnedFd, now: Instant) {
        self.stdout.pipe = Some(stdout);
        self.stderr.pipe = Some(stderr);
        if self.stage == Stage::Launching {
            self.stage = Stage::Running;
            // A time limit that no clock can hold is none; the run's own limit stands.
            self.deadline = now.checked_add(self.wall).unwrap_or(now + Duration::from_secs(86_400));
        }
    }

    /// Where it stands.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// When [`Self::tick`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Looks at the clock.
    pub fn tick(&mut self, now: Instant) -> Due {
        if now < self.deadline {
            return Due::Nothing;
        }
        self.deadline = now + PATIENCE;
        match self.stage {
            Stage::Launching => self.stage = Stage::LaunchTimedOut,
            Stage::Running => self.stage = Stage::OverTime,
            Stage::OverTime | Stage::LaunchTimedOut | Stage::CutShort => return Due::Hopeless,
        }
        Due::Kill
    }

    /// It is being killed on an operator's order.
    pub fn cut_short(&mut self, now: Instant) {
        self.stage = Stage::CutShort;
        self.deadline = now + PATIENCE;
    }

    /// Takes what has arrived on both streams.
    pub fn drain(&mut self) {
        self.stdout.drain(BATCH);
        self.stderr.drain(BATCH);
    }

    /// What the call is answered once the tool is gone.
    #[must_use]
    pub fn answer(mut self, status: ExitStatus) -> Answer {
        // All writers are gone: what the pipes hold is all there is, and pipes are small.
        self.stdout.drain(usize::MAX);
        self.stderr.drain(usize::MAX);
        let text = |stream: &Stream| String::from_utf8_lossy(&stream.kept).into_owned();
        let mut body = json!({
            "status": status,
            "stdout": text(&self.stdout),
            "stderr": text(&self.stderr),
            "stdout_dropped": self.stdout.dropped,
            "stderr_dropped": self.stderr.dropped,
        });
        let mut ended = Status::Ok;
        if let (Stage::OverTime, Some(fields)) = (self.stage, body.as_object_mut()) {
            ended = Status::Limit;
            let ms = u64::try_from(self.wall.as_millis()).unwrap_or(u64::MAX);
            let message = format!("killed after its time limit of {ms} ms");
            fields.insert("error".to_owned(), json!("wall"));
            fields.insert("message".to_owned(), json!(message));
        }
        if self.stage == Stage::CutShort {
            return Answer::error(Status::Failed, "frozen", "the operator froze this tool while the command ran");
        }
        if self.stage == Stage::LaunchTimedOut {
            return Answer::error(Status::Failed, "launch", "the command could not be started in time");
        }
        Answer { status: ended, body }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use std::io::Write;

    fn started(output: u64, wall: Duration) -> (ToolRun, std::io::PipeWriter, std::io::PipeWriter) {
        let (out, out_w) = std::io::pipe().unwrap();
        let (err, err_w) = std::io::pipe().unwrap();
        let now = Instant::now();
        let mut tool = ToolRun::new(1, wall, output, now);
        tool.started(out.into(), err.into(), now);
        (tool, out_w, err_w)
    }

    #[test]
    fn output_over_the_bound_is_counted() {
        let (mut tool, mut out, mut err) = started(5, Duration::from_secs(1));
        out.write_all(b"hello, world").unwrap();
        err.write_all(b"\xff!").unwrap();
        tool.drain();
        out.write_all(b" more").unwrap();
        let answer = tool.answer(ExitStatus::Code(3));
        assert_eq!(answer.status, Status::Ok);
        assert_eq!(
            answer.body,
            json!({ "status": { "code": 3 }, "stdout": "hello", "stderr": "\u{fffd}!", "stdout_dropped": 12, "stderr_dropped": 0 })
        );
    }

    #[test]
    fn the_longest_answer_fits_a_frame() {
        let (mut tool, ..) = started(u64::MAX, Duration::from_secs(1));
        for stream in [&mut tool.stdout, &mut tool.stderr] {
            stream.take(&vec![1; 1 << 20]);
        }
        let answer = tool.answer(ExitStatus::Signal(9));
        assert_eq!(answer.body["stdout_dropped"], (1 << 20) - MAX_STREAM);
        assert!(serde_json::to_vec(&answer.body).unwrap().len() < stockade_wire::frame::MAX_FRAME - 64);
    }

    #[test]
    fn time_runs_out_in_stages() {
        let (mut tool, ..) = started(10, Duration::from_millis(5));
        let now = Instant::now();
        assert_eq!(tool.tick(now - Duration::from_millis(5)), Due::Nothing);
        assert_eq!(tool.tick(now + Duration::from_millis(5)), Due::Kill);
        assert_eq!(tool.stage(), Stage::OverTime);
        assert_eq!(tool.tick(now + Duration::from_millis(6)), Due::Nothing);
        assert_eq!(tool.tick(now + 2 * PATIENCE), Due::Hopeless);
        assert_eq!(tool.answer(ExitStatus::Signal(9)).status, Status::Limit);
    }
}
