//! What a journal says was done, held against what was done.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

/// A journal, read for what its agent did. Calls that a crash cut off and that were made again are one here.
pub struct Books {
    pub calls: Vec<Call>,
    /// Numbers that the agent logged.
    pub logged: Vec<String>,
    pub resumed: usize,
    /// What the agent said in the end, if it did.
    pub said: Option<String>,
    pub lines: usize,
}

/// One call.
pub struct Call {
    id: u64,
    pub tool: String,
    args: Value,
    /// Status and body.
    outcome: Option<(String, Value)>,
}

impl Call {
    pub fn is_effect(&self) -> bool {
        matches!(self.tool.as_str(), "workspace.write" | "exec")
    }

    pub fn status(&self) -> Option<&str> {
        self.outcome.as_ref().map(|(status, _)| status.as_str())
    }

    /// It is on record as done, and whole: a command whose cell was killed has an end, and none knows how far it came.
    fn is_done(&self) -> bool {
        let code = |body: &Value| body["status"]["code"] == 0;
        self.outcome.as_ref().is_some_and(|(status, body)| status == "ok" && (self.tool != "exec" || code(body)))
    }

    /// It is on record that none knows whether it was done.
    fn may_be_done(&self) -> bool {
        let killed = |body: &Value| body["status"]["signal"] == 9 || body["error"] == "agent_gone";
        self.outcome.as_ref().is_none_or(|(status, body)| status == "unknown" || self.tool == "exec" && killed(body))
    }

    /// It is on record as not done: the launcher of its cell was killed.
    fn is_not_done(&self) -> bool {
        self.outcome.as_ref().is_some_and(|(status, body)| status == "failed" && body["error"] == "launch")
    }

    /// The line it was to leave outside.
    fn line(&self) -> String {
        match self.tool.as_str() {
            "workspace.write" => self.args["content"].as_str().unwrap().trim_end().to_owned(),
            _ => self.args["argv"][2].as_str().unwrap().split(' ').nth(1).unwrap().to_owned(),
        }
    }
}

impl Books {
    /// Reads a run's journal as a crash has left it: a last line without its end is none.
    pub fn read(run: &Path, what: &str) -> Self {
        let text = fs::read_to_string(run.join("journal/00000001.jsonl")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let mut books = Self { calls: Vec::new(), logged: Vec::new(), resumed: 0, said: None, lines: 0 };
        for line in whole.lines() {
            let record: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{what}: {e}: {line}"));
            books.lines += 1;
            books.add(&record, what);
        }
        books
    }

    fn add(&mut self, record: &Value, what: &str) {
        let id = record["id"].as_u64();
        match record["type"].as_str().unwrap() {
            "call" => {
                assert_eq!(record["decision"], "allow", "{what}: {record}");
                let call = Call {
                    id: id.unwrap(),
                    tool: record["tool"].as_str().unwrap().to_owned(),
                    args: record["args"]["inline"].clone(),
                    outcome: None,
                };
                match self.calls.last_mut() {
                    // Announced once more: only what changes nothing, and whose end nobody saw.
                    Some(last) if last.id == call.id => {
                        assert!(!last.is_effect() && last.outcome.is_none(), "{what}: announced twice: {record}");
                        assert_eq!((&last.tool, &last.args), (&call.tool, &call.args), "{what}: {record}");
                    }
                    last => {
                        let next = last.as_ref().map_or(call.id, |last| last.id + 1);
                        assert_eq!(call.id, next, "{what}: out of order: {record}");
                        assert!(last.is_none_or(|last| last.outcome.is_some()), "{what}: no end before {record}");
                        self.calls.push(call);
                    }
                }
            }
            "result" => {
                let last = self.calls.last_mut().unwrap_or_else(|| panic!("{what}: no call of {record}"));
                assert!(last.id == id.unwrap() && last.outcome.is_none(), "{what}: not the call's end: {record}");
                last.outcome = Some((record["status"].as_str().unwrap().to_owned(), record["body"]["inline"].clone()));
            }
            "log" => self.logged.push(record["message"].as_str().unwrap().to_owned()),
            "lifecycle" if record["event"] == "resumed" => self.resumed += 1,
            "lifecycle" if record["event"] == "agent_exit" => {
                assert!(self.said.is_none(), "{what}: two ends: {record}");
                self.said = Some(record["detail"]["detail"].as_str().unwrap_or_default().to_owned());
            }
            _ => {}
        }
    }

    pub fn effects(&self) -> impl Iterator<Item = &Call> {
        self.calls.iter().filter(|call| call.is_effect())
    }

    /// Effects that may have been done or not, for all that is known, and those that are known not to be done.
    pub fn undone(&self) -> [usize; 2] {
        [Call::may_be_done, Call::is_not_done].map(|is| self.effects().filter(|call| is(call)).count())
    }

    /// Effects with this end.
    pub fn ended(&self, status: &str) -> usize {
        self.effects().filter(|call| call.status() == Some(status)).count()
    }

    /// What the agent did, but for what depends on the hour, on chance and on crashes.
    pub fn course(&self) -> Vec<String> {
        let number = |call: &Call| call.line()[..4].to_owned();
        self.calls
            .iter()
            .map(|c| format!("{} {}", c.tool, if c.is_effect() { number(c) } else { String::new() }))
            .collect()
    }

    /// What the agent was told is what is on record: its lines have the answers before them in them.
    pub fn told_as_recorded(&self, what: &str) {
        let (mut clock, mut chance, mut last) = (String::new(), String::new(), "-");
        for call in &self.calls {
            let body =
                |key: &str| call.outcome.as_ref().map(|(_, body)| body[key].as_str().unwrap_or_default().to_owned());
            match call.tool.as_str() {
                "clock" => clock = body("unix_ns").unwrap_or_default(),
                "random" => chance = body("base64").unwrap_or_default(),
                "workspace.write" => {
                    let line = call.line();
                    let told = format!("{} {last} {clock} {chance}", &line[..4]);
                    assert_eq!(
                        line, told,
                        "{what}: call {}: left is what it was told, right what is on record",
                        call.id
                    );
                }
                _ => {}
            }
            if call.is_effect() {
                last = if call.status() == Some("ok") { "o" } else { "x" };
            }
        }
    }

    /// Whatever was done is on record, and was done once; whatever is on record as done was done. `done` has the lines
    /// outside, by tool.
    pub fn agree(&self, done: &BTreeMap<&str, Vec<String>>, what: &str) {
        for (tool, lines) in done {
            let recorded: Vec<_> = self.calls.iter().filter(|call| call.tool == *tool).collect();
            for line in lines {
                assert!(
                    recorded.iter().any(|c| c.line() == *line),
                    "{what}: {tool}: {line:?} was done and is not on record"
                );
            }
            for call in recorded {
                let line = call.line();
                let times = lines.iter().filter(|l| l[..4] == line[..4]).count();
                let outcome = &call.outcome;
                let right = match times {
                    0 => call.is_not_done() || call.may_be_done(),
                    1 => call.is_done() || call.may_be_done(),
                    _ => false,
                };
                assert!(right, "{what}: {tool}: {line:?} was done {times} times, on record is {outcome:?}");
            }
        }
    }
}
