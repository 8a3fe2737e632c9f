//! A session with an agent, which asks which tools there are and calls them.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Map, Value, json};

use super::wire::{self, Fault, Id, Lines, Message, code};
use super::{HANDSHAKES, STATELESS, implementation, meta};
use crate::json::parse;

/// Requests of one session that wait for their answers.
pub const MAX_IN_FLIGHT: usize = 64;
/// Bytes of answers that may wait for the agent; above it nothing more is read.
const MAX_UNSENT: usize = 4 * 1024 * 1024;
/// Tools in one answer to `tools/list`.
const PAGE: usize = 64;

/// What an agent wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The tools, from the place in the list.
    List {
        /// For the answer.
        request: u64,
    },
    /// A call of a tool.
    Call {
        /// For the answer.
        request: u64,
        /// Its name.
        tool: String,
        /// JSON text, not looked at.
        args: String,
    },
    /// No answer is waited for any more.
    Cancelled {
        /// What was asked.
        request: u64,
    },
}

/// A request that waits.
#[derive(Debug)]
struct Waiting {
    id: Id,
    /// Of a list: where the page begins.
    page: Option<usize>,
    /// It named its version, so its result must say that it is complete.
    stateless: bool,
}

/// The session.
#[derive(Debug, Default)]
pub struct ServerSession {
    lines: Lines,
    /// The handshake is done.
    initialized: bool,
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
    events: VecDeque<Event>,
    output: Vec<u8>,
}

impl ServerSession {
    /// Takes bytes of the agent.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.lines.push(bytes);
    }

    /// What the agent wants next.
    ///
    /// # Errors
    /// [`Fault::TooLong`]: nothing more can be read, and the session is to be closed.
    pub fn next_event(&mut self) -> Result<Option<Event>, Fault> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            if self.congested() {
                return Ok(None);
            }
            let Some(line) = self.lines.next_line()? else { return Ok(None) };
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            match Message::read(&line) {
                Ok(Message::Request { id, method, params }) => self.request(id, &method, params.as_deref()),
                Ok(Message::Notification { method, params }) => self.notification(&method, params.as_deref()),
                // Nothing is asked of agents.
                Ok(Message::Response { .. }) => {}
                Err(fault) => self.output.extend(wire::error(None, fault.code(), &fault.to_string(), None)),
            }
        }
    }

    /// The agent does not take its answers: nothing more is read until it does.
    #[must_use]
    pub fn congested(&self) -> bool {
        self.output.len() > MAX_UNSENT
    }

    /// Whether there is something to tell the agent.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Whether a request that waits is for the list of tools.
    #[must_use]
    pub fn is_list(&self, request: u64) -> bool {
        self.waiting.get(&request).is_some_and(|waiting| waiting.page.is_some())
    }

    /// Bytes for the agent; what was sent is to be removed.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Requests that wait for an answer.
    pub fn waiting(&self) -> impl Iterator<Item = u64> {
        self.waiting.keys().copied()
    }

    /// Answers a list with the page that was asked for of all tools.
    pub fn answer_list(&mut self, request: u64, tools: &[Value]) {
        let Some(Waiting { id, page, stateless }) = self.waiting.remove(&request) else { return };
        let from = page.unwrap_or(0);
        let Some(rest) = tools.get(from..) else {
            let message = "the cursor is past the end; ask again from the beginning";
            return self.output.extend(wire::error(Some(&id), code::INVALID_PARAMS, message, None));
        };
        let mut result = Map::new();
        if rest.len() > PAGE {
            result.insert("nextCursor".to_owned(), (from + PAGE).to_string().into());
        }
        result.insert("tools".to_owned(), rest.iter().take(PAGE).cloned().collect());
        if stateless {
            complete(&mut result);
            cached_nowhere(&mut result);
        }
        self.output.extend(wire::result(&id, &Value::Object(result).to_string()));
    }

    /// Answers a call with text for a model.
    pub fn answer_text(&mut self, request: u64, text: &str, is_error: bool) {
        let Some(Waiting { id, stateless, .. }) = self.waiting.remove(&request) else { return };
        let mut result = Map::new();
        result.insert("content".to_owned(), json!([{ "type": "text", "text": text }]));
        result.insert("isError".to_owned(), is_error.into());
        if stateless {
            complete(&mut result);
        }
        self.output.extend(wire::result(&id, &Value::Object(result).to_string()));
    }

    /// Answers a call with the result of a server, byte for byte.
    pub fn answer_raw(&mut self, request: u64, result: &str) {
        if let Some(Waiting { id, .. }) = self.waiting.remove(&request) {
            self.output.extend(wire::result(&id, result));
        }
    }

    /// Answers a request with an error.
    pub fn answer_error(&mut self, request: u64, message: &str) {
        if let Some(Waiting { id, .. }) = self.waiting.remove(&request) {
            self.output.extend(wire::error(Some(&id), code::INVALID_PARAMS, message, None));
        }
    }

    fn request(&mut self, id: Id, method: &str, params: Option<&str>) {
        if let Err((code, message, data)) = self.dispatch(&id, method, params) {
            self.output.extend(wire::error(Some(&id), code, &message, data.as_ref()));
        }
    }

    fn dispatch(&mut self, id: &Id, method: &str, params: Option<&str>) -> Result<(), Refusal> {
        if self.waiting.values().any(|waiting| waiting.id == *id) {
            return Err(invalid_request("a request of this id waits for its answer"));
        }
        // Arguments keep their bytes: what is decided on is parsed once, by who decides.
        let params = match params {
            None => Vec::new(),
            Some(text) => wire::members(text).map_err(|fault| invalid_params(&format!("params: {fault}")))?,
        };
        let of = |key: &str| params.iter().find(|(known, _)| known == key).map(|(_, raw)| *raw);
        match method {
            "initialize" => return self.initialize(id, of("protocolVersion")),
            "ping" => {
                self.output.extend(wire::result(id, "{}"));
                return Ok(());
            }
            _ => {}
        }
        let stateless = stateless(of("_meta"))?;
        if !stateless && !self.initialized {
            let message = format!("no session yet: send initialize, or name {} in _meta", meta::VERSION);
            return Err(invalid_request(&message));
        }
        match method {
            "server/discover" => {
                self.discover(id);
                Ok(())
            }
            "tools/list" => {
                let from = cursor(of("cursor"))?;
                let request = self.wait(id, Some(from), stateless)?;
                self.events.push_back(Event::List { request });
                Ok(())
            }
            "tools/call" => {
                let tool: Option<String> = of("name").and_then(|raw| serde_json::from_str(raw).ok());
                let tool = tool.ok_or_else(|| invalid_params("/name: must be a string"))?;
                if tool.len() > stockade_wire::frame::MAX_TOOL {
                    return Err(invalid_params("/name: over 128 bytes"));
                }
                let args = of("arguments").unwrap_or("{}").to_owned();
                let request = self.wait(id, None, stateless)?;
                self.events.push_back(Event::Call { request, tool, args });
                Ok(())
            }
            _ => Err((code::METHOD_NOT_FOUND, "there is no such method here; there are tools only".to_owned(), None)),
        }
    }

    fn wait(&mut self, id: &Id, page: Option<usize>, stateless: bool) -> Result<u64, Refusal> {
        if self.waiting.len() >= MAX_IN_FLIGHT {
            return Err((code::LIMIT, format!("{MAX_IN_FLIGHT} requests wait already"), None));
        }
        self.next += 1;
        self.waiting.insert(self.next, Waiting { id: id.clone(), page, stateless });
        Ok(self.next)
    }

    fn initialize(&mut self, id: &Id, version: Option<&str>) -> Result<(), Refusal> {
        if self.initialized {
            return Err(invalid_request("the session is initialized already"));
        }
        let asked: Option<String> = version.and_then(|raw| serde_json::from_str(raw).ok());
        let asked = asked.ok_or_else(|| invalid_params("/protocolVersion: must be a string"))?;
        // One that is not known is answered with the newest that is (MCP 2025-11-25, Lifecycle).
        let [newest, ..] = HANDSHAKES;
        let version = HANDSHAKES.into_iter().find(|known| *known == asked).unwrap_or(newest);
        self.initialized = true;
        let result = json!({
            "protocolVersion": version,
            "capabilities": { "tools": {} },
            "serverInfo": implementation(),
        });
        self.output.extend(wire::result(id, &result.to_string()));
        Ok(())
    }

    fn discover(&mut self, id: &Id) {
        let mut result = Map::new();
        let versions: Vec<&str> = [STATELESS].into_iter().chain(HANDSHAKES).collect();
        result.insert("supportedVersions".to_owned(), json!(versions));
        result.insert("capabilities".to_owned(), json!({ "tools": {} }));
        result.insert("_meta".to_owned(), json!({ meta::SERVER: implementation() }));
        complete(&mut result);
        cached_nowhere(&mut result);
        self.output.extend(wire::result(id, &Value::Object(result).to_string()));
    }

    fn notification(&mut self, method: &str, params: Option<&str>) {
        if method != "notifications/cancelled" {
            return;
        }
        let Some(id) = params.and_then(|text| wire::members(text).ok()).and_then(|members| {
            members.into_iter().find(|(key, _)| key == "requestId").and_then(|(_, raw)| Id::read(raw))
        }) else {
            return;
        };
        let found = self.waiting.iter().find(|(_, waiting)| waiting.id == id).map(|(request, _)| *request);
        if let Some(request) = found {
            // It gets no answer (MCP 2025-11-25, Cancellation).
            self.waiting.remove(&request);
            self.events.push_back(Event::Cancelled { request });
        }
    }
}

/// Code, message and data of a refused request.
type Refusal = (i64, String, Option<Value>);

fn invalid_request(message: &str) -> Refusal {
    (code::INVALID_REQUEST, message.to_owned(), None)
}

fn invalid_params(message: &str) -> Refusal {
    (code::INVALID_PARAMS, message.to_owned(), None)
}

/// Whether a request names the revision without a handshake, and all that it must name then.
fn stateless(meta: Option<&str>) -> Result<bool, Refusal> {
    let Some(text) = meta else { return Ok(false) };
    let value = parse(text.as_bytes()).map_err(|error| invalid_params(&format!("/_meta: {error}")))?;
    match value.get(meta::VERSION) {
        None => Ok(false),
        Some(version) if version == STATELESS => {
            if value.get(meta::CAPABILITIES).is_some_and(Value::is_object) {
                Ok(true)
            } else {
                Err(invalid_params(&format!("/_meta: {} must be an object", meta::CAPABILITIES)))
            }
        }
        Some(version) => {
            let data = json!({ "requested": version, "supported": [STATELESS] });
            Err((code::UNSUPPORTED_VERSION, "Unsupported protocol version".to_owned(), Some(data)))
        }
    }
}

fn cursor(raw: Option<&str>) -> Result<usize, Refusal> {
    match raw {
        None | Some("null") => Ok(0),
        Some(raw) => {
            let text: Option<String> = serde_json::from_str(raw).ok();
            let place = text.and_then(|text| text.parse().ok()).filter(|place: &usize| place.is_multiple_of(PAGE));
            place.ok_or_else(|| invalid_params("/cursor: not one that was given; ask again from the beginning"))
        }
    }
}

fn complete(result: &mut Map<String, Value>) {
    result.insert("resultType".to_owned(), "complete".into());
}

/// What is allowed now may not be in a moment.
fn cached_nowhere(result: &mut Map<String, Value>) {
    result.insert("ttlMs".to_owned(), 0.into());
    result.insert("cacheScope".to_owned(), "private".into());
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn feed(session: &mut ServerSession, lines: &[Value]) -> Vec<Event> {
        for line in lines {
            session.receive(format!("{line}\n").as_bytes());
        }
        let mut events = Vec::new();
        while let Some(event) = session.next_event().unwrap() {
            events.push(event);
        }
        events
    }

    fn said(session: &mut ServerSession) -> Vec<Value> {
        let text = String::from_utf8(std::mem::take(session.output())).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn request(id: u64, method: &str, params: Value) -> Value {
        json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
    }

    fn initialized() -> ServerSession {
        let mut session = ServerSession::default();
        let params = json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } });
        assert!(feed(&mut session, &[request(0, "initialize", params)]).is_empty());
        assert_eq!(said(&mut session)[0]["result"]["protocolVersion"], "2025-06-18");
        session
    }

    #[test]
    fn versions_are_negotiated() {
        for (asked, answered) in [
            ("2025-11-25", "2025-11-25"),
            ("2024-11-05", "2024-11-05"),
            ("1999-01-01", "2025-11-25"),
            ("2026-07-28", "2025-11-25"),
        ] {
            let mut session = ServerSession::default();
            feed(&mut session, &[request(1, "initialize", json!({ "protocolVersion": asked }))]);
            assert_eq!(said(&mut session)[0]["result"]["protocolVersion"], answered);
        }
        let mut session = initialized();
        feed(&mut session, &[request(1, "initialize", json!({ "protocolVersion": "2025-11-25" }))]);
        assert_eq!(said(&mut session)[0]["error"]["code"], code::INVALID_REQUEST);
    }

    #[test]
    fn nothing_is_served_before_a_session() {
        let mut session = ServerSession::default();
        let events = feed(
            &mut session,
            &[
                request(1, "ping", json!({})),
                request(2, "tools/list", json!({})),
                request(3, "tools/call", json!({ "name": "clock" })),
            ],
        );
        assert!(events.is_empty());
        let said = said(&mut session);
        assert_eq!(said[0]["result"], json!({}));
        assert_eq!((&said[1]["error"]["code"], &said[2]["error"]["code"]), (&json!(-32600), &json!(-32600)));
    }

    #[test]
    fn a_stateless_request_needs_no_session() {
        let meta =
            json!({ meta::VERSION: STATELESS, meta::CAPABILITIES: {}, meta::CLIENT: { "name": "t", "version": "1" } });
        let mut session = ServerSession::default();
        let events = feed(
            &mut session,
            &[
                request(1, "server/discover", json!({ "_meta": meta })),
                request(2, "tools/list", json!({ "_meta": meta })),
            ],
        );
        let [Event::List { request: listed }] = events[..] else { panic!("{events:?}") };
        session.answer_list(listed, &[json!({ "name": "clock" })]);
        let said = said(&mut session);
        assert_eq!(said[0]["result"]["supportedVersions"][0], STATELESS);
        assert_eq!((&said[1]["result"]["resultType"], &said[1]["result"]["ttlMs"]), (&json!("complete"), &json!(0)));
        let unknown = json!({ "_meta": { meta::VERSION: "2030-01-01", meta::CAPABILITIES: {} } });
        let lacking = json!({ "_meta": { meta::VERSION: STATELESS } });
        feed(&mut session, &[request(3, "tools/list", unknown), request(4, "tools/list", lacking)]);
        let said = self::said(&mut session);
        assert_eq!((&said[0]["error"]["code"], &said[1]["error"]["code"]), (&json!(-32022), &json!(-32602)));
    }

    #[test]
    fn lists_come_in_pages() {
        let mut session = initialized();
        let tools: Vec<Value> = (0..150).map(|n| json!({ "name": n })).collect();
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let params = cursor.as_ref().map_or(json!({}), |cursor: &Value| json!({ "cursor": cursor }));
            let events = feed(&mut session, &[request(7, "tools/list", params)]);
            let [Event::List { request: listed }] = events[..] else { panic!("{events:?}") };
            session.answer_list(listed, &tools);
            let mut said = said(&mut session);
            seen.extend(said[0]["result"]["tools"].as_array().unwrap().clone());
            cursor = said[0]["result"].get_mut("nextCursor").map(Value::take);
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, tools);
        for cursor in [json!("65"), json!("-1"), json!(64), json!("x")] {
            assert!(feed(&mut session, &[request(8, "tools/list", json!({ "cursor": cursor }))]).is_empty());
            assert_eq!(said(&mut session)[0]["error"]["code"], code::INVALID_PARAMS);
        }
    }

    #[test]
    fn calls_are_answered_in_any_order_and_once() {
        let mut session = initialized();
        let args = "{\"b\":1.0,  \"a\":2}";
        session.receive(format!("{{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"tools/call\",\"params\":{{\"name\":\"a\",\"arguments\":{args}}}}}\n").as_bytes());
        let first = session.next_event().unwrap();
        assert_eq!(
            first,
            Some(Event::Call { request: 1, tool: "a".to_owned(), args: args.to_owned() }),
            "its own bytes"
        );
        let events = feed(
            &mut session,
            &[request(9, "tools/call", json!({ "name": "b" })), request(9, "tools/call", json!({ "name": "c" }))],
        );
        assert_eq!(events, [Event::Call { request: 2, tool: "b".to_owned(), args: "{}".to_owned() }]);
        assert_eq!(said(&mut session)[0]["error"]["code"], code::INVALID_REQUEST, "an id in use");
        session.answer_raw(2, "{ \"content\":[],\"x\":1.50 }");
        session.answer_raw(2, "{}");
        session.answer_text(1, "no", true);
        let text = String::from_utf8(std::mem::take(session.output())).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "{\"jsonrpc\":\"2.0\",\"id\":9,\"result\":{ \"content\":[],\"x\":1.50 }}");
        assert!(lines[1].contains("\"id\":\"x\"") && lines[1].contains("\"isError\":true"));
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn a_cancelled_request_gets_no_answer() {
        let mut session = initialized();
        let cancel =
            |id: u64| json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": id } });
        let events =
            feed(&mut session, &[request(1, "tools/call", json!({ "name": "a" })), cancel(1), cancel(1), cancel(7)]);
        assert_eq!(events.last(), Some(&Event::Cancelled { request: 1 }));
        assert_eq!(events.len(), 2);
        session.answer_text(1, "late", false);
        assert!(session.output().is_empty());
    }

    #[test]
    fn too_much_is_refused() {
        let mut session = initialized();
        let calls: Vec<Value> = (1..=70).map(|id| request(id, "tools/call", json!({ "name": "a" }))).collect();
        assert_eq!(feed(&mut session, &calls).len(), MAX_IN_FLIGHT);
        assert_eq!(said(&mut session).len(), 70 - MAX_IN_FLIGHT);
        session.answer_raw(1, &format!("\"{}\"", "x".repeat(MAX_UNSENT)));
        assert!(session.congested());
        assert!(feed(&mut session, &[request(99, "ping", json!({}))]).is_empty());
        session.output().clear();
        assert!(feed(&mut session, &[]).is_empty());
        assert_eq!(said(&mut session)[0]["id"], 99, "it waited");
    }

    #[test]
    fn rubbish_is_answered_and_survived() {
        let mut session = initialized();
        session.receive(b"rubbish\n[1,2]\n{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":{}}\n\xff\xfe\n");
        assert_eq!(session.next_event().unwrap(), None);
        let codes: Vec<Value> = said(&mut session).into_iter().map(|mut line| line["error"]["code"].take()).collect();
        assert_eq!(codes, [json!(-32700), json!(-32600), json!(-32700)]);
        let odd = [json!({ "name": 7 }), json!([]), json!("x"), json!({}), json!({ "name": "x".repeat(300) })];
        let lines: Vec<Value> =
            odd.into_iter().zip(10..).map(|(params, id)| request(id, "tools/call", params)).collect();
        assert!(feed(&mut session, &lines).is_empty());
        assert!(said(&mut session).iter().all(|line| line["error"]["code"] == code::INVALID_PARAMS));
        feed(&mut session, &[request(50, "resources/list", json!({}))]);
        assert_eq!(said(&mut session)[0]["error"]["code"], code::METHOD_NOT_FOUND);
    }
}
