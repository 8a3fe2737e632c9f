//! Frames between a cell and its shim: `length: u32 LE | kind: u8 | payload`.
//!
//! `length` counts kind and payload. Strings are `u16 LE length | UTF-8`. The format has no
//! optional parts: bytes left over are an error, as are unknown kinds.

use std::io::{self, Read, Write};

/// Longest frame in bytes, kind included. A longer length field ends the conversation.
pub const MAX_FRAME: usize = 4 * 1024 * 1024;
/// Longest tool name in bytes.
pub const MAX_TOOL: usize = 128;

/// How a tool call ended. The numbers are on the wire and stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// The body is the tool's result, JSON.
    Ok = 0,
    /// Policy said no; the body is the agent's form of the denial, JSON.
    Denied = 1,
    /// The arguments do not fit the tool; the body says where.
    Invalid = 2,
    /// The tool tried and failed (no such file, a full disk).
    Failed = 3,
    /// A limit of the policy was hit (calls, bytes).
    Limit = 4,
}

impl Status {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Ok,
            1 => Self::Denied,
            2 => Self::Invalid,
            3 => Self::Failed,
            4 => Self::Limit,
            _ => return None,
        })
    }
}

/// Severity of a log line from the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Level {
    /// Detail for the agent's author.
    Debug = 0,
    /// Progress.
    Info = 1,
    /// Something the operator should know.
    Warn = 2,
    /// The agent could not do what it was asked.
    Error = 3,
}

impl Level {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Debug,
            1 => Self::Info,
            2 => Self::Warn,
            3 => Self::Error,
            _ => return None,
        })
    }
}

/// What a cell says to its shim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromCell {
    /// Ask for a tool. `args` is JSON text; the shim parses it, the cell is not believed.
    Call {
        /// Chosen by the cell, echoed in the reply; strictly increasing within a run.
        id: u64,
        /// Fuel that the agent had used when it asked, in wasmtime's units.
        fuel: u64,
        /// Name of the tool, at most [`MAX_TOOL`] bytes.
        tool: String,
        /// JSON text.
        args: Vec<u8>,
    },
    /// A line for the trajectory.
    Log {
        /// Severity.
        level: Level,
        /// UTF-8 text, not sanitised.
        message: String,
    },
    /// The component is loaded and the last layer is closed; the body is a JSON report
    /// (engine version and settings, canaries). No agent code has run.
    Ready {
        /// JSON text.
        report: Vec<u8>,
    },
    /// Agent code has ended; the body is JSON (see [`crate::control::AgentExit`]).
    Exit {
        /// JSON text.
        outcome: Vec<u8>,
    },
}

/// What a shim says to its cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToCell {
    /// Agent code may run.
    Start,
    /// The answer to one call.
    Reply {
        /// The call's id.
        id: u64,
        /// How it ended.
        status: Status,
        /// The answer is that of a run before: time that passed in it need not pass again. The agent is not told.
        recorded: bool,
        /// JSON text.
        body: Vec<u8>,
    },
}

/// Why a conversation cannot go on. None of these is recoverable.
#[derive(Debug)]
pub enum FrameError {
    /// The socket failed.
    Io(io::Error),
    /// The peer closed between frames.
    Closed,
    /// The length field is zero or above [`MAX_FRAME`].
    Length(u32),
    /// The kind byte is unknown.
    Kind(u8),
    /// The payload does not fit its kind.
    Payload(&'static str),
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(e) => write!(f, "cell channel: {e}"),
            Self::Closed => write!(f, "cell channel: closed by the peer"),
            Self::Length(n) => write!(f, "cell channel: frame of {n} bytes; allowed are 1 to {MAX_FRAME}"),
            Self::Kind(k) => write!(f, "cell channel: unknown frame kind {k:#04x}"),
            Self::Payload(what) => write!(f, "cell channel: bad payload: {what}"),
        }
    }
}

impl std::error::Error for FrameError {}

impl From<io::Error> for FrameError {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

const CALL: u8 = 0x01;
const LOG: u8 = 0x02;
const READY: u8 = 0x03;
const EXIT: u8 = 0x04;
const START: u8 = 0x81;
const REPLY: u8 = 0x82;

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], FrameError> {
        let (head, tail) = self.0.split_at_checked(n).ok_or(FrameError::Payload("cut short"))?;
        self.0 = tail;
        Ok(head)
    }
    fn byte(&mut self) -> Result<u8, FrameError> {
        self.take(1)?.first().copied().ok_or(FrameError::Payload("cut short"))
    }
    fn u64(&mut self) -> Result<u64, FrameError> {
        let bytes = self.take(8)?.try_into().map_err(|_| FrameError::Payload("cut short"))?;
        Ok(u64::from_le_bytes(bytes))
    }
    fn name(&mut self) -> Result<String, FrameError> {
        let bytes = self.take(2)?.try_into().map_err(|_| FrameError::Payload("cut short"))?;
        let len = usize::from(u16::from_le_bytes(bytes));
        if len > MAX_TOOL {
            return Err(FrameError::Payload("tool name too long"));
        }
        utf8(self.take(len)?)
    }
    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
    fn end<T>(&self, value: T) -> Result<T, FrameError> {
        if self.0.is_empty() { Ok(value) } else { Err(FrameError::Payload("bytes left over")) }
    }
}

fn utf8(bytes: &[u8]) -> Result<String, FrameError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| FrameError::Payload("not UTF-8"))
}

impl FromCell {
    /// Decodes kind and payload (the bytes after the length field).
    ///
    /// # Errors
    /// [`FrameError::Kind`] and [`FrameError::Payload`].
    pub fn decode(body: &[u8]) -> Result<Self, FrameError> {
        let mut c = Cursor(body);
        let frame = match c.byte()? {
            CALL => Self::Call { id: c.u64()?, fuel: c.u64()?, tool: c.name()?, args: c.rest().to_vec() },
            LOG => {
                let level = Level::from_byte(c.byte()?).ok_or(FrameError::Payload("unknown log level"))?;
                Self::Log { level, message: utf8(c.rest())? }
            }
            READY => Self::Ready { report: c.rest().to_vec() },
            EXIT => Self::Exit { outcome: c.rest().to_vec() },
            kind => return Err(FrameError::Kind(kind)),
        };
        c.end(frame)
    }

    /// The whole frame, length field included.
    ///
    /// # Errors
    /// [`FrameError::Length`] if it would be over [`MAX_FRAME`], [`FrameError::Payload`] for a
    /// tool name over [`MAX_TOOL`].
    pub fn encode(&self) -> Result<Vec<u8>, FrameError> {
        match self {
            Self::Call { id, fuel, tool, args } => {
                if tool.len() > MAX_TOOL {
                    return Err(FrameError::Payload("tool name too long"));
                }
                let len = u16::try_from(tool.len()).map_err(|_| FrameError::Payload("tool name too long"))?;
                seal(CALL, &[&id.to_le_bytes(), &fuel.to_le_bytes(), &len.to_le_bytes(), tool.as_bytes(), args])
            }
            Self::Log { level, message } => seal(LOG, &[&[*level as u8], message.as_bytes()]),
            Self::Ready { report } => seal(READY, &[report]),
            Self::Exit { outcome } => seal(EXIT, &[outcome]),
        }
    }
}

impl ToCell {
    /// Decodes kind and payload (the bytes after the length field).
    ///
    /// # Errors
    /// [`FrameError::Kind`] and [`FrameError::Payload`].
    pub fn decode(body: &[u8]) -> Result<Self, FrameError> {
        let mut c = Cursor(body);
        let frame = match c.byte()? {
            START => Self::Start,
            REPLY => {
                let id = c.u64()?;
                let status = Status::from_byte(c.byte()?).ok_or(FrameError::Payload("unknown status"))?;
                let recorded = match c.byte()? {
                    0 => false,
                    1 => true,
                    _ => return Err(FrameError::Payload("neither recorded nor new")),
                };
                Self::Reply { id, status, recorded, body: c.rest().to_vec() }
            }
            kind => return Err(FrameError::Kind(kind)),
        };
        c.end(frame)
    }

    /// The whole frame, length field included.
    ///
    /// # Errors
    /// [`FrameError::Length`] if it would be over [`MAX_FRAME`].
    pub fn encode(&self) -> Result<Vec<u8>, FrameError> {
        match self {
            Self::Start => seal(START, &[]),
            Self::Reply { id, status, recorded, body } => {
                seal(REPLY, &[&id.to_le_bytes(), &[*status as u8, u8::from(*recorded)], body])
            }
        }
    }
}

fn seal(kind: u8, parts: &[&[u8]]) -> Result<Vec<u8>, FrameError> {
    let len = 1 + parts.iter().map(|p| p.len()).sum::<usize>();
    let field = u32::try_from(len).unwrap_or(u32::MAX);
    if len > MAX_FRAME {
        return Err(FrameError::Length(field));
    }
    let mut out = Vec::with_capacity(4 + len);
    out.extend_from_slice(&field.to_le_bytes());
    out.push(kind);
    parts.iter().for_each(|p| out.extend_from_slice(p));
    Ok(out)
}

/// Reads one frame's kind and payload, blocking. The buffer grows as bytes arrive, so that a
/// length field alone costs the reader nothing.
///
/// # Errors
/// [`FrameError::Closed`] at a clean end; anything else ends the conversation.
pub fn read(mut from: impl Read) -> Result<Vec<u8>, FrameError> {
    let mut head = [0u8; 4];
    let mut have = 0;
    while have < head.len() {
        match from.read(head.get_mut(have..).unwrap_or_default()) {
            Ok(0) if have == 0 => return Err(FrameError::Closed),
            Ok(0) => return Err(FrameError::Payload("cut short")),
            Ok(n) => have += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e.into()),
        }
    }
    let len = length(head)?;
    let mut body = Vec::new();
    from.by_ref().take(len as u64).read_to_end(&mut body)?;
    if body.len() < len { Err(FrameError::Payload("cut short")) } else { Ok(body) }
}

/// Writes one encoded frame.
///
/// # Errors
/// What the socket says.
pub fn write(mut to: impl Write, encoded: &[u8]) -> Result<(), FrameError> {
    to.write_all(encoded).map_err(FrameError::Io)
}

fn length(head: [u8; 4]) -> Result<usize, FrameError> {
    let field = u32::from_le_bytes(head);
    match usize::try_from(field) {
        Ok(len) if (1..=MAX_FRAME).contains(&len) => Ok(len),
        _ => Err(FrameError::Length(field)),
    }
}

/// Splits complete frames off a byte stream that arrives in pieces (for a poll loop).
#[derive(Debug, Default)]
pub struct Splitter {
    buffer: Vec<u8>,
}

impl Splitter {
    /// Adds bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame's kind and payload, if one has arrived.
    ///
    /// # Errors
    /// [`FrameError::Length`] as soon as the length field is there.
    pub fn next_frame(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        let Some(head) = self.buffer.first_chunk::<4>() else { return Ok(None) };
        let len = length(*head)?;
        let Some(body) = self.buffer.get(4..4 + len) else { return Ok(None) };
        let body = body.to_vec();
        self.buffer.drain(..4 + len);
        Ok(Some(body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_a_round_trip() {
        let call = FromCell::Call { id: 7, fuel: 1 << 40, tool: "workspace.read".into(), args: b"{}".to_vec() };
        let bytes = call.encode().unwrap();
        assert_eq!(FromCell::decode(&read(&bytes[..]).unwrap()).unwrap(), call);
        let reply = ToCell::Reply { id: 7, status: Status::Denied, recorded: true, body: b"{}".to_vec() };
        let mut splitter = Splitter::default();
        for byte in reply.encode().unwrap() {
            assert!(splitter.next_frame().unwrap().is_none());
            splitter.push(&[byte]);
        }
        assert_eq!(ToCell::decode(&splitter.next_frame().unwrap().unwrap()).unwrap(), reply);
    }

    #[test]
    fn bad_frames_are_errors() {
        assert!(matches!(read(&[0, 0, 0, 0][..]), Err(FrameError::Length(0))));
        assert!(matches!(read(&[255, 255, 255, 255, 1][..]), Err(FrameError::Length(u32::MAX))));
        assert!(matches!(read(&[9, 0, 0, 0, 1][..]), Err(FrameError::Payload(_))));
        assert!(matches!(read(&[][..]), Err(FrameError::Closed)));
        assert!(matches!(FromCell::decode(&[0x77]), Err(FrameError::Kind(0x77))));
        assert!(matches!(FromCell::decode(&[CALL, 1]), Err(FrameError::Payload(_))));
        assert!(matches!(FromCell::decode(&[LOG, 9]), Err(FrameError::Payload(_))));
        assert!(matches!(ToCell::decode(&[START, 0]), Err(FrameError::Payload(_))));
    }
}
