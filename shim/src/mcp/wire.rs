//! JSON-RPC 2.0 as MCP's stdio transport has it: one message a line, UTF-8, no batches.

use std::fmt;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

/// Longest line in bytes, its end not counted.
pub const MAX_LINE: usize = 4 * 1024 * 1024;
/// Longest id in bytes, as JSON.
const MAX_ID: usize = 256;
/// Members of one message.
const MAX_MEMBERS: usize = 16;
/// Longest name of a method in bytes.
const MAX_METHOD: usize = 128;
/// Characters of a peer's own words that are kept.
const MAX_WORDS: usize = 512;

/// Codes of errors (JSON-RPC 2.0, 5.1; MCP 2026-07-28).
pub mod code {
    /// Not JSON.
    pub const PARSE: i64 = -32700;
    /// Not a message, or not now.
    pub const INVALID_REQUEST: i64 = -32600;
    /// A method that is not served.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// Parameters that do not fit.
    pub const INVALID_PARAMS: i64 = -32602;
    /// A limit of this program.
    pub const LIMIT: i64 = -32000;
    /// A revision that is not spoken.
    pub const UNSUPPORTED_VERSION: i64 = -32022;
}

/// Splits lines off a byte stream that arrives in pieces.
#[derive(Debug, Default)]
pub struct Lines {
    buffer: Vec<u8>,
    /// Bytes of the buffer in which there is no end of a line.
    searched: usize,
}

impl Lines {
    /// Adds bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole line, if one has arrived, without its end.
    ///
    /// # Errors
    /// [`Fault::TooLong`], after which nothing more can be read.
    pub fn next_line(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
        let Some(end) = unsearched.iter().position(|byte| *byte == b'\n') else {
            self.searched = self.buffer.len();
            return if self.searched > MAX_LINE { Err(Fault::TooLong) } else { Ok(None) };
        };
        let end = self.searched + end;
        if end > MAX_LINE {
            return Err(Fault::TooLong);
        }
        let mut line: Vec<u8> = self.buffer.drain(..=end).collect();
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        self.searched = 0;
        Ok(Some(line))
    }
}

/// Why a line is no message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Over [`MAX_LINE`].
    TooLong,
    /// Not JSON, with where.
    NotJson(String),
    /// JSON, but no message of JSON-RPC 2.0 as MCP has them.
    NotMessage(&'static str),
}

impl Fault {
    /// The code it is answered with.
    #[must_use]
    pub fn code(&self) -> i64 {
        match self {
            Self::NotJson(_) => code::PARSE,
            Self::TooLong | Self::NotMessage(_) => code::INVALID_REQUEST,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "a line over {MAX_LINE} bytes"),
            Self::NotJson(why) => write!(f, "not JSON: {why}"),
            Self::NotMessage(why) => write!(f, "not a message: {why}"),
        }
    }
}

impl std::error::Error for Fault {}

/// What names a request: a string or a whole number, in one spelling.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id(String);

impl Id {
    pub(crate) fn read(raw: &str) -> Option<Self> {
        if raw.len() > MAX_ID {
            return None;
        }
        match serde_json::from_str(raw).ok()? {
            id @ Value::String(_) => Some(Self(id.to_string())),
            Value::Number(n) if n.is_i64() || n.is_u64() => Some(Self(n.to_string())),
            _ => None,
        }
    }

    /// A number of our own.
    #[must_use]
    pub fn number(number: u64) -> Self {
        Self(number.to_string())
    }

    /// As JSON.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }

    /// The number, if it could be one of our own.
    #[must_use]
    pub fn as_number(&self) -> Option<u64> {
        self.0.parse().ok()
    }
}

/// An error that a peer answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerError {
    /// Its code.
    pub code: i64,
    /// Its words, cut and without controls: text from outside.
    pub message: String,
}

/// One message.
#[derive(Debug)]
pub enum Message {
    /// Something is asked.
    Request {
        /// For the answer.
        id: Id,
        /// What.
        method: String,
        /// Of what.
        params: Option<String>,
    },
    /// Something is told.
    Notification {
        /// What.
        method: String,
        /// Of what.
        params: Option<String>,
    },
    /// Something was answered.
    Response {
        /// To what.
        id: Id,
        /// The result in the peer's own bytes, or its error.
        outcome: Result<String, PeerError>,
    },
}

/// The members of a JSON object, each value in its own bytes. A key that comes twice is an error, so that nobody reads
/// another one than we do. (serde_json's `raw_value` would do it too, but it gives one key of a [`Value`] a meaning of its
/// own, and journals are read as values.)
///
/// # Errors
/// [`Fault`]
pub fn members(text: &str) -> Result<Vec<(String, &str)>, Fault> {
    // From here on it is known to be one JSON value; this does not recurse.
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| Fault::NotJson(words(&error.to_string())))?;
    let inside = text.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let mut rest = inside.ok_or(Fault::NotMessage("it is no object"))?.trim_start();
    let mut members: Vec<(String, &str)> = Vec::new();
    while !rest.is_empty() {
        let (key, after) = value(rest);
        let key: String = serde_json::from_str(key).map_err(|error| Fault::NotJson(words(&error.to_string())))?;
        let (found, after) = value(after.trim_start().trim_start_matches(':').trim_start());
        if members.len() >= MAX_MEMBERS || members.iter().any(|(known, _)| *known == key) {
            return Err(Fault::NotMessage("a key comes twice, or there are too many"));
        }
        members.push((key, found));
        rest = after.trim_start().trim_start_matches(',').trim_start();
    }
    Ok(members)
}

/// Splits the first value off what is known to be JSON.
fn value(text: &str) -> (&str, &str) {
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match (quoted, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (true, b'"') => quoted = false,
            (true, _) => {}
            (false, b'"') => quoted = true,
            (false, b'{' | b'[') => depth += 1,
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            (false, b',' | b':' | b' ' | b'\t' | b'\r' | b'\n') if depth == 0 => return text.split_at(at),
            (false, _) => {}
        }
        let closed = matches!(byte, b'"' | b'}' | b']') && !quoted;
        if closed && depth == 0 {
            return text.split_at(at + 1);
        }
    }
    (text, "")
}

impl Message {
    /// Reads a line.
    ///
    /// # Errors
    /// [`Fault`]
    pub fn read(line: &[u8]) -> Result<Self, Fault> {
        if line.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
            return Err(Fault::NotMessage("batches are not part of this protocol"));
        }
        let text = std::str::from_utf8(line).map_err(|_| Fault::NotJson("not UTF-8".to_owned()))?;
        let members = members(text)?;
        let of = |key: &str| members.iter().find(|(known, _)| known == key).map(|(_, raw)| *raw);
        if of("jsonrpc").map(serde_json::from_str::<Value>).transpose().ok().flatten() != Some(json!("2.0")) {
            return Err(Fault::NotMessage("`jsonrpc` must be \"2.0\""));
        }
        let id = match of("id").map(Id::read) {
            None => None,
            Some(Some(id)) => Some(id),
            Some(None) => return Err(Fault::NotMessage("`id` must be a string or a whole number, at most 256 bytes")),
        };
        let method = match of("method").map(serde_json::from_str::<String>) {
            None => None,
            Some(Ok(method)) if method.len() <= MAX_METHOD => Some(method),
            Some(_) => return Err(Fault::NotMessage("`method` must be a string, at most 128 bytes")),
        };
        let params = of("params").map(str::to_owned);
        let error = match of("error").map(serde_json::from_str::<WrittenError>) {
            None => None,
            Some(Ok(WrittenError { code, message })) => Some(PeerError { code, message: words(&message) }),
            Some(Err(_)) => return Err(Fault::NotMessage("`error` must have a `code` and a `message`")),
        };
        match (method, id, of("result"), error) {
            (Some(method), Some(id), None, None) => Ok(Self::Request { id, method, params }),
            (Some(method), None, None, None) => Ok(Self::Notification { method, params }),
            (None, Some(id), Some(result), None) => Ok(Self::Response { id, outcome: Ok(result.to_owned()) }),
            (None, Some(id), None, Some(error)) => Ok(Self::Response { id, outcome: Err(error) }),
            _ => Err(Fault::NotMessage("it is no request, no notification and no response")),
        }
    }
}

#[derive(Deserialize)]
struct WrittenError {
    code: i64,
    message: String,
}

/// A peer's words, for records and for people.
pub(crate) fn words(text: &str) -> String {
    text.chars().take(MAX_WORDS).flat_map(|c| c.escape_debug()).collect()
}

/// Text of a request.
#[must_use]
pub fn request(id: u64, method: &str, params: &str) -> Vec<u8> {
    let method = Value::from(method);
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":{method},\"params\":{params}}}\n").into_bytes()
}

/// Text of a notification.
#[must_use]
pub fn notification(method: &str, params: &Value) -> Vec<u8> {
    line(&json!({ "jsonrpc": "2.0", "method": method, "params": params }))
}

/// Text of a result, whose bytes are left as they are. They must be one JSON value without an end of a line.
#[must_use]
pub fn result(id: &Id, result: &str) -> Vec<u8> {
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{result}}}\n", id.as_json()).into_bytes()
}

/// Text of an error; without an id where none could be read.
#[must_use]
pub fn error(id: Option<&Id>, code: i64, message: &str, data: Option<&Value>) -> Vec<u8> {
    let id = id.map_or("null", Id::as_json);
    let data = data.map(|data| format!(",\"data\":{data}")).unwrap_or_default();
    let message = Value::from(message);
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":{code},\"message\":{message}{data}}}}}\n")
        .into_bytes()
}

fn line(message: &Value) -> Vec<u8> {
    let mut text = message.to_string().into_bytes();
    text.push(b'\n');
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Message, Fault> {
        Message::read(text.as_bytes())
    }

    #[test]
    fn lines_arrive_in_pieces() {
        let mut lines = Lines::default();
        for byte in b"{}\r\n\n[1]\nrest" {
            lines.push(&[*byte]);
        }
        let mut all = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            all.push(String::from_utf8(line).unwrap());
        }
        assert_eq!(all, ["{}", "", "[1]"]);
        lines.push(&vec![b'x'; MAX_LINE]);
        assert_eq!(lines.next_line(), Err(Fault::TooLong));
    }

    #[test]
    fn a_line_may_be_as_long_as_is_said_and_no_longer() {
        for (length, taken) in [(MAX_LINE, true), (MAX_LINE + 1, false)] {
            let mut lines = Lines::default();
            lines.push(&vec![b'x'; length]);
            lines.push(b"\n");
            assert_eq!(lines.next_line().is_ok(), taken, "{length}");
        }
    }

    #[test]
    fn messages_are_told_apart() {
        assert!(matches!(
            read(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).unwrap(),
            Message::Request { method, params: None, .. } if method == "ping"
        ));
        assert!(matches!(
            read(r#"{"jsonrpc":"2.0","method":"x","params":{}}"#).unwrap(),
            Message::Notification { params: Some(_), .. }
        ));
        let Message::Response { outcome, id } = read(r#"{"jsonrpc":"2.0","id":"a","result": { "b" : 1.0 } }"#).unwrap()
        else {
            panic!("no response")
        };
        assert_eq!((id.as_json(), outcome.unwrap().as_str()), ("\"a\"", r#"{ "b" : 1.0 }"#), "its own bytes");
        assert!(matches!(
            read(r#"{"jsonrpc":"2.0","id":1,"result":null}"#).unwrap(),
            Message::Response { outcome: Ok(_), .. }
        ));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let deep = format!("{{\"jsonrpc\":\"2.0\",\"id\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        for text in [
            "",
            "{",
            "null",
            "[]",
            " [{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}]",
            r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
            r#"{"id":1,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"a","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":"x"}}"#,
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"jsonrpc":"2.0","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":"no"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping"} {}"#,
            &deep,
        ] {
            assert!(read(text).is_err(), "{}", text.get(..60).unwrap_or(text));
        }
        assert!(Message::read(b"{\"jsonrpc\":\"2.0\",\"method\":\"\xff\"}").is_err());
        let long = format!("{{\"jsonrpc\":\"2.0\",\"id\":\"{}\",\"method\":\"ping\"}}", "x".repeat(300));
        assert!(read(&long).is_err());
        // What lies deep in parameters is skipped without recursion, and read by who bounds it.
        let deep = format!(
            "{{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":{}1{}}}",
            "[".repeat(1 << 20),
            "]".repeat(1 << 20)
        );
        assert!(read(&deep).is_ok());
    }

    #[test]
    fn members_keep_their_bytes() {
        let of = |text| members(text).unwrap().into_iter().map(|(key, raw)| format!("{key}={raw}")).collect::<Vec<_>>();
        assert_eq!(of(" {} "), Vec::<String>::new());
        assert_eq!(
            of("{\"a\" : 1e2 ,\"b\":[ {\"}\":\"]\\\"\"} ],\n\"c\\u0064\":\"x\\\\\", \"e\":-0.5}"),
            ["a=1e2", "b=[ {\"}\":\"]\\\"\"} ]", "cd=\"x\\\\\"", "e=-0.5"]
        );
        assert!(members("{\"a\":1,\"\\u0061\":2}").is_err());
    }

    #[test]
    fn one_id_has_one_spelling() {
        let id = |text: &str| match read(&format!("{{\"jsonrpc\":\"2.0\",\"id\":{text},\"method\":\"x\"}}")) {
            Ok(Message::Request { id, .. }) => id,
            other => panic!("{other:?}"),
        };
        assert_eq!(id("\"a\""), id("\"\\u0061\""));
        assert_ne!(id("1"), id("\"1\""));
        assert_eq!(id("18446744073709551615").as_number(), Some(u64::MAX));
        assert_eq!(id("\"1\"").as_number(), None);
    }
}
