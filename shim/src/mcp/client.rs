//! A session with an MCP server: handshake, tools, calls. The server is not trusted: it is asked for nothing but tools,
//! gets nothing it asks for, and what breaks the protocol ends the session.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use serde_json::{Value, json};
use stockade_policy::mcp::{MAX_TOOLS, McpTool, ReadError, read_tools};

use super::wire::{self, Fault, Id, Lines, Message, PeerError, code, words};
use super::{HANDSHAKES, STATELESS, implementation, meta};

/// Pages of one list.
const MAX_PAGES: usize = 64;
/// Lists in one session: a server that goes on changing its tools is no server.
const MAX_LISTS: usize = 64;
/// Calls that were given up and may still be answered.
const MAX_GIVEN_UP: usize = 256;
/// Bytes that may wait for a server which does not read.
const MAX_UNSENT: usize = 8 * 1024 * 1024;

/// What came of the server.
#[derive(Debug)]
pub enum Event {
    /// Its whole list, again whenever it says that the list has changed.
    Tools(Vec<McpTool>),
    /// A call is answered.
    Answer {
        /// The call.
        call: u64,
        /// The result in the server's own bytes, or its error.
        outcome: Result<String, PeerError>,
    },
}

/// Why a session is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// It said what is no message.
    Fault(Fault),
    /// It answered what nobody asked, or asked no more.
    Unasked(String),
    /// It refuses the handshake.
    Refused(PeerError),
    /// It speaks a revision that we do not.
    Version(String),
    /// Its handshake or list has not the shape that the protocol gives it.
    Shape(&'static str),
    /// Its list of tools is refused.
    List(ReadError),
    /// It lists over and over, or without an end.
    Endless,
    /// It does not read what it is asked.
    Deaf,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => write!(f, "it wrote to its standard output {fault}"),
            Self::Unasked(id) => write!(f, "it answered a request {id} that nobody waits for"),
            Self::Refused(PeerError { code, message }) => write!(f, "it refused to begin: {message} ({code})"),
            Self::Version(version) => write!(f, "it speaks revision {version}, which is not known here"),
            Self::Shape(what) => write!(f, "its answer to {what} is none"),
            Self::List(error) => write!(f, "its list of tools: {error}"),
            Self::Endless => write!(f, "its list of tools has no end, or changes over and over"),
            Self::Deaf => write!(f, "it does not read what it is asked"),
        }
    }
}

impl std::error::Error for Broken {}

impl From<Fault> for Broken {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// What a request of ours is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Initialize,
    Discover,
    List,
    Call(u64),
}

/// The session.
#[derive(Debug)]
pub struct ClientSession {
    lines: Lines,
    output: Vec<u8>,
    next: u64,
    asked: BTreeMap<u64, Asked>,
    given_up: BTreeSet<u64>,
    /// `_meta` of each request, once the server is known to want it.
    stateless: bool,
    /// What the server says it is, and the revision that is spoken: for the record.
    peer: Option<Value>,
    /// The list that is being read, page by page, and how many lists there were.
    pages: Vec<McpTool>,
    read: usize,
    lists: usize,
    /// The list changed while it was read.
    stale: bool,
    events: VecDeque<Event>,
}

impl ClientSession {
    /// A session that begins with a handshake.
    #[must_use]
    pub fn begin() -> Self {
        let mut session = Self {
            lines: Lines::default(),
            output: Vec::new(),
            next: 0,
            asked: BTreeMap::new(),
            given_up: BTreeSet::new(),
            stateless: false,
            peer: None,
            pages: Vec::new(),
            read: 0,
            lists: 0,
            stale: false,
            events: VecDeque::new(),
        };
        let [newest, ..] = HANDSHAKES;
        let params = json!({ "protocolVersion": newest, "capabilities": {}, "clientInfo": implementation() });
        session.ask(Asked::Initialize, "initialize", &params.to_string());
        session
    }

    /// What the server says it is, and the revision that is spoken.
    #[must_use]
    pub fn peer(&self) -> Option<&Value> {
        self.peer.as_ref()
    }

    /// Whether there is something to tell the server.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Bytes for the server; what was sent is to be removed.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Calls a tool. `args` is a JSON object without an end of a line.
    ///
    /// # Errors
    /// [`Broken::Deaf`]
    pub fn call(&mut self, call: u64, tool: &str, args: &str) -> Result<(), Broken> {
        let name = Value::from(tool);
        let meta = if self.stateless { format!(",\"_meta\":{}", own_meta()) } else { String::new() };
        self.ask(Asked::Call(call), "tools/call", &format!("{{\"name\":{name},\"arguments\":{args}{meta}}}"));
        if self.output.len() > MAX_UNSENT { Err(Broken::Deaf) } else { Ok(()) }
    }

    /// Gives a call up: the server is told, and its answer is not waited for.
    pub fn give_up(&mut self, call: u64, reason: &str) {
        let Some(id) = self.asked.iter().find(|(_, asked)| **asked == Asked::Call(call)).map(|(id, _)| *id) else {
            return;
        };
        self.asked.remove(&id);
        self.given_up.insert(id);
        if self.given_up.len() > MAX_GIVEN_UP {
            self.given_up.pop_first();
        }
        let params = json!({ "requestId": id, "reason": reason });
        self.output.extend(wire::notification("notifications/cancelled", &params));
    }

    /// Takes bytes of the server.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.lines.push(bytes);
    }

    /// What came of the server next.
    ///
    /// # Errors
    /// [`Broken`]: the session is over.
    pub fn next_event(&mut self) -> Result<Option<Event>, Broken> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            let Some(line) = self.lines.next_line()? else { return Ok(None) };
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            match Message::read(&line)? {
                Message::Response { id, outcome } => self.response(&id, outcome)?,
                Message::Request { id, method, .. } => self.request(&id, &method)?,
                Message::Notification { method, .. } if method == "notifications/tools/list_changed" => {
                    self.changed()?
                }
                // Progress, log lines and other things that change nothing here.
                Message::Notification { .. } => {}
            }
        }
    }

    fn ask(&mut self, what: Asked, method: &str, params: &str) {
        self.next += 1;
        self.asked.insert(self.next, what);
        self.output.extend(wire::request(self.next, method, params));
    }

    /// Servers ask for models, for people and for folders: they get none.
    fn request(&mut self, id: &Id, method: &str) -> Result<(), Broken> {
        if method == "ping" {
            self.output.extend(wire::result(id, "{}"));
        } else {
            let message = "this client offers servers nothing";
            self.output.extend(wire::error(Some(id), code::METHOD_NOT_FOUND, message, None));
        }
        if self.output.len() > MAX_UNSENT { Err(Broken::Deaf) } else { Ok(()) }
    }

    fn response(&mut self, id: &Id, outcome: Result<String, PeerError>) -> Result<(), Broken> {
        let number = id.as_number();
        let Some(asked) = number.and_then(|number| self.asked.remove(&number)) else {
            // The answer and the giving up may have passed each other.
            return match number.is_some_and(|number| self.given_up.remove(&number)) {
                true => Ok(()),
                false => Err(Broken::Unasked(id.as_json().to_owned())),
            };
        };
        match asked {
            Asked::Call(call) => {
                let outcome = outcome.and_then(|result| self.complete(result));
                self.events.push_back(Event::Answer { call, outcome });
                Ok(())
            }
            Asked::Initialize => match outcome {
                Ok(result) => self.initialized(&result),
                // A server of the stateless revision alone has no handshake.
                Err(error) if matches!(error.code, code::METHOD_NOT_FOUND | code::UNSUPPORTED_VERSION) => {
                    self.stateless = true;
                    let params = format!("{{\"_meta\":{}}}", own_meta());
                    self.ask(Asked::Discover, "server/discover", &params);
                    Ok(())
                }
                Err(error) => Err(Broken::Refused(error)),
            },
            Asked::Discover => self.discovered(&outcome.map_err(Broken::Refused)?),
            Asked::List => self.page(&outcome.map_err(Broken::Refused)?),
        }
    }

    /// A result that wants something first is none.
    fn complete(&self, result: String) -> Result<String, PeerError> {
        let kind = wire::members(&result).ok().and_then(|members| {
            members.into_iter().find(|(key, _)| key == "resultType").map(|(_, raw)| raw == "\"complete\"")
        });
        match kind {
            Some(false) => {
                let message = "the server asks for input first, which nobody gives".to_owned();
                Err(PeerError { code: code::INVALID_REQUEST, message })
            }
            _ => Ok(result),
        }
    }

    fn initialized(&mut self, result: &str) -> Result<(), Broken> {
        let result = small(result).ok_or(Broken::Shape("initialize"))?;
        let version = result.get("protocolVersion").and_then(Value::as_str).ok_or(Broken::Shape("initialize"))?;
        if !HANDSHAKES.contains(&version) {
            return Err(Broken::Version(words(version)));
        }
        self.peer = Some(peer(version, result.get("serverInfo")));
        self.output.extend(wire::notification("notifications/initialized", &json!({})));
        self.list(None)
    }

    fn discovered(&mut self, result: &str) -> Result<(), Broken> {
        let result = small(result).ok_or(Broken::Shape("server/discover"))?;
        let versions = result.get("supportedVersions").and_then(Value::as_array);
        let versions = versions.ok_or(Broken::Shape("server/discover"))?;
        if !versions.iter().any(|version| version == STATELESS) {
            return Err(Broken::Version(words(&json!(versions).to_string())));
        }
        self.peer = Some(peer(STATELESS, result.get("_meta").and_then(|meta| meta.get(meta::SERVER))));
        self.list(None)
    }

    fn list(&mut self, cursor: Option<&str>) -> Result<(), Broken> {
        if cursor.is_none() {
            (self.read, self.stale) = (0, false);
            self.pages.clear();
            self.lists += 1;
        }
        self.read += 1;
        if self.lists > MAX_LISTS || self.read > MAX_PAGES {
            return Err(Broken::Endless);
        }
        let mut params = serde_json::Map::new();
        params.extend(cursor.map(|cursor| ("cursor".to_owned(), cursor.into())));
        if self.stateless {
            params.insert("_meta".to_owned(), own_meta());
        }
        self.ask(Asked::List, "tools/list", &Value::Object(params).to_string());
        Ok(())
    }

    fn page(&mut self, result: &str) -> Result<(), Broken> {
        let page = read_tools(result.as_bytes()).map_err(Broken::List)?;
        self.pages.extend(page.tools);
        if self.pages.len() > MAX_TOOLS {
            return Err(Broken::Endless);
        }
        match page.next_cursor {
            Some(cursor) => self.list(Some(&cursor)),
            None if self.stale => self.list(None),
            None => {
                self.events.push_back(Event::Tools(std::mem::take(&mut self.pages)));
                Ok(())
            }
        }
    }

    fn changed(&mut self) -> Result<(), Broken> {
        if self.peer.is_none() || self.asked.values().any(|asked| *asked == Asked::List) {
            self.stale = true;
            return Ok(());
        }
        self.list(None)
    }
}

/// Longest answer to a handshake in bytes.
const MAX_HANDSHAKE: usize = 64 * 1024;

fn small(text: &str) -> Option<Value> {
    (text.len() <= MAX_HANDSHAKE).then(|| crate::json::parse(text.as_bytes()).ok()).flatten()
}

fn own_meta() -> Value {
    json!({ meta::VERSION: STATELESS, meta::CAPABILITIES: {}, meta::CLIENT: implementation() })
}

fn peer(revision: &str, info: Option<&Value>) -> Value {
    let of = |key: &str| info.and_then(|info| info.get(key)).and_then(Value::as_str).map(words);
    json!({ "revision": revision, "name": of("name"), "version": of("version") })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn said(session: &mut ClientSession) -> Vec<Value> {
        let text = String::from_utf8(std::mem::take(session.output())).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn tell(session: &mut ClientSession, message: &Value) -> Result<Option<Event>, Broken> {
        session.receive(format!("{message}\n").as_bytes());
        session.next_event()
    }

    fn answer(id: &Value, result: Value) -> Value {
        json!({ "jsonrpc": "2.0", "id": id, "result": result })
    }

    fn tool(name: &str) -> Value {
        json!({ "name": name, "inputSchema": { "type": "object" } })
    }

    fn ready() -> ClientSession {
        let mut session = ClientSession::begin();
        let hello = said(&mut session);
        assert_eq!(
            (&hello[0]["method"], &hello[0]["params"]["protocolVersion"]),
            (&json!("initialize"), &json!("2025-11-25"))
        );
        let result = json!({ "protocolVersion": "2025-11-25", "capabilities": { "tools": {} }, "serverInfo": { "name": "s", "version": "1" } });
        assert!(tell(&mut session, &answer(&hello[0]["id"], result)).unwrap().is_none());
        let asked = said(&mut session);
        assert_eq!(
            (&asked[0]["method"], &asked[1]["method"]),
            (&json!("notifications/initialized"), &json!("tools/list"))
        );
        let page = json!({ "tools": [tool("a")], "nextCursor": "2" });
        assert!(tell(&mut session, &answer(&asked[1]["id"], page)).unwrap().is_none());
        let asked = said(&mut session);
        assert_eq!(asked[0]["params"]["cursor"], "2");
        let Some(Event::Tools(tools)) =
            tell(&mut session, &answer(&asked[0]["id"], json!({ "tools": [tool("b")] }))).unwrap()
        else {
            panic!("no list")
        };
        assert_eq!(tools.iter().map(McpTool::name).collect::<Vec<_>>(), ["a", "b"]);
        session
    }

    #[test]
    fn calls_go_out_and_their_results_come_back_as_they_are() {
        let mut session = ready();
        session.call(7, "a", "{\"x\": 1.0}").unwrap();
        let text = String::from_utf8(session.output().clone()).unwrap();
        assert!(text.contains("\"params\":{\"name\":\"a\",\"arguments\":{\"x\": 1.0}}"), "{text}");
        let id = said(&mut session)[0]["id"].clone();
        session.receive(
            format!("{{\"jsonrpc\":\"2.0\",\"result\":{{ \"content\": [ ], \"n\":1.50}},\"id\":{id}}}\n").as_bytes(),
        );
        let Some(Event::Answer { call: 7, outcome: Ok(result) }) = session.next_event().unwrap() else { panic!() };
        assert_eq!(result, "{ \"content\": [ ], \"n\":1.50}");
        session.call(8, "a", "{}").unwrap();
        let id = said(&mut session)[0]["id"].clone();
        let error = json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -1, "message": "no\n" } });
        let Some(Event::Answer { call: 8, outcome: Err(error) }) = tell(&mut session, &error).unwrap() else {
            panic!()
        };
        assert_eq!((error.code, error.message.as_str()), (-1, "no\\n"));
    }

    #[test]
    fn a_call_that_was_given_up_may_be_answered_once() {
        let mut session = ready();
        session.call(1, "a", "{}").unwrap();
        let id = said(&mut session)[0]["id"].clone();
        session.give_up(1, "over its time");
        session.give_up(1, "over its time");
        let told = said(&mut session);
        assert_eq!((told.len(), &told[0]["params"]["requestId"]), (1, &id));
        assert!(tell(&mut session, &answer(&id, json!({}))).unwrap().is_none());
        assert_eq!(tell(&mut session, &answer(&id, json!({}))).unwrap_err(), Broken::Unasked(id.to_string()));
    }

    #[test]
    fn a_server_gets_nothing_it_asks_for() {
        let mut session = ready();
        for method in ["ping", "sampling/createMessage", "elicitation/create", "roots/list"] {
            assert!(
                tell(&mut session, &json!({ "jsonrpc": "2.0", "id": "s", "method": method, "params": {} }))
                    .unwrap()
                    .is_none()
            );
            let said = said(&mut session);
            assert_eq!(said[0].get("error").is_some(), method != "ping", "{said:?}");
        }
        assert!(
            tell(&mut session, &json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": {} }))
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn a_list_that_changes_is_read_again() {
        let mut session = ready();
        let changed = json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" });
        assert!(tell(&mut session, &changed).unwrap().is_none());
        let first = said(&mut session);
        assert_eq!(first[0]["method"], "tools/list");
        // Once more while it is read: what comes now is not the last word.
        assert!(tell(&mut session, &changed).unwrap().is_none());
        assert!(tell(&mut session, &answer(&first[0]["id"], json!({ "tools": [tool("old")] }))).unwrap().is_none());
        let second = said(&mut session);
        let Some(Event::Tools(tools)) =
            tell(&mut session, &answer(&second[0]["id"], json!({ "tools": [tool("new")] }))).unwrap()
        else {
            panic!("no list")
        };
        assert_eq!(tools[0].name(), "new");
        let broken = (0..100).find_map(|_| {
            tell(&mut session, &changed).err().or_else(|| {
                let id = said(&mut session).first()?["id"].clone();
                tell(&mut session, &answer(&id, json!({ "tools": [] }))).err()
            })
        });
        assert_eq!(broken, Some(Broken::Endless));
    }

    #[test]
    fn a_server_of_the_stateless_revision_is_asked_in_its_way() {
        let mut session = ClientSession::begin();
        let id = said(&mut session)[0]["id"].clone();
        let refusal = json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32601, "message": "Method not found" } });
        assert!(tell(&mut session, &refusal).unwrap().is_none());
        let asked = said(&mut session);
        assert_eq!(
            (&asked[0]["method"], &asked[0]["params"]["_meta"][meta::VERSION]),
            (&json!("server/discover"), &json!(STATELESS))
        );
        let result = json!({ "resultType": "complete", "supportedVersions": [STATELESS], "capabilities": {}, "ttlMs": 0, "cacheScope": "private" });
        assert!(tell(&mut session, &answer(&asked[0]["id"], result)).unwrap().is_none());
        let asked = said(&mut session);
        assert_eq!(asked[0]["method"], "tools/list");
        let tools = json!({ "resultType": "complete", "tools": [tool("a")], "ttlMs": 0, "cacheScope": "private" });
        assert!(matches!(tell(&mut session, &answer(&asked[0]["id"], tools)), Ok(Some(Event::Tools(_)))));
        session.call(1, "a", "{}").unwrap();
        let asked = said(&mut session);
        assert_eq!(asked[0]["params"]["_meta"][meta::VERSION], STATELESS);
        let wants = answer(&asked[0]["id"], json!({ "resultType": "input_required", "inputRequests": {} }));
        assert!(matches!(tell(&mut session, &wants), Ok(Some(Event::Answer { outcome: Err(_), .. }))));
    }

    #[test]
    fn what_breaks_the_protocol_ends_the_session() {
        let hello = |result: Value| {
            let mut session = ClientSession::begin();
            let id = said(&mut session)[0]["id"].clone();
            tell(&mut session, &answer(&id, result)).err()
        };
        assert_eq!(hello(json!({ "protocolVersion": "1999-01-01" })), Some(Broken::Version("1999-01-01".to_owned())));
        assert_eq!(hello(json!({})), Some(Broken::Shape("initialize")));
        assert_eq!(hello(json!([[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]])), Some(Broken::Shape("initialize")));
        assert_eq!(hello(json!({ "protocolVersion": "2025-06-18" })), None);
        for line in [
            "Server listening on stdio",
            "[]",
            "{\"jsonrpc\":\"2.0\",\"id\":99,\"result\":{}}",
            "{\"jsonrpc\":\"2.0\",\"id\":\"2\",\"result\":{}}",
            "\u{fffd}",
        ] {
            let mut session = ready();
            session.receive(format!("{line}\n").as_bytes());
            assert!(session.next_event().is_err(), "{line}");
        }
        let mut session = ready();
        session.receive(&vec![b'x'; wire::MAX_LINE + 1]);
        assert_eq!(session.next_event().unwrap_err(), Broken::Fault(Fault::TooLong));
        let mut session = ready();
        let endless = (0..10_000).find_map(|id| {
            let asks = json!({ "jsonrpc": "2.0", "id": id, "method": "x".repeat(100) });
            session.receive(format!("{asks}\n").repeat(100).as_bytes());
            session.next_event().err()
        });
        assert_eq!(endless, Some(Broken::Deaf));
    }

    #[test]
    fn a_list_without_an_end_ends_the_session() {
        let mut session = ready();
        let changed = json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" });
        tell(&mut session, &changed).unwrap();
        let broken = (0..1000).find_map(|_| {
            let id = said(&mut session)[0]["id"].clone();
            tell(&mut session, &answer(&id, json!({ "tools": [], "nextCursor": "x" }))).err()
        });
        assert_eq!(broken, Some(Broken::Endless));
    }
}
