//! The built-in tools as agents are told of them: one list in the form of MCP's `tools/list`, which says of each its
//! title, description and the JSON Schema (2020-12) of its arguments. It is read by the code that reads the lists
//! of MCP servers, and arguments are held against it by the code that checks theirs.

use super::{ArgError, Tool, ToolCall};
use crate::mcp::{self, McpTool, read_tools};
use serde_json::Value;
use std::sync::LazyLock;

static TOOLS: LazyLock<Vec<McpTool>> =
    // A list that could not be read would have no tools, and every call be refused; tests read it.
    LazyLock::new(|| read_tools(include_bytes!("tools.json")).map(|page| page.tools).unwrap_or_default());

/// What agents are told of a tool.
#[must_use]
pub fn definition(tool: Tool) -> Option<&'static McpTool> {
    TOOLS.iter().find(|known| known.name() == tool.name())
}

/// A call whose arguments fit the tool's schema and have their types. What the parser says is said, for it knows what an
/// argument means; the schema says where.
///
/// # Errors
/// [`ArgError`] has the JSON pointer and what was expected.
pub(crate) fn checked(tool: Tool, args: &Value) -> Result<ToolCall, ArgError> {
    let fits = match definition(tool) {
        Some(known) => mcp::check_schema(known, args),
        None => Err(mcp::ArgError { at: String::new(), message: "the tool has no schema".to_owned() }),
    };
    match (fits, ToolCall::parse(tool, args)) {
        (Ok(()), parsed) => parsed,
        (Err(misfit), Err(error)) => {
            let within = |at: &String| {
                misfit.at.strip_prefix(at.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            let at = if error.at.as_ref().is_some_and(within) { Some(misfit.at) } else { error.at };
            Err(ArgError { at, ..error })
        }
        (Err(misfit), Ok(_)) => {
            let at = (!misfit.at.is_empty()).then_some(misfit.at);
            Err(ArgError { tool: Some(tool), at, message: misfit.message })
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::tool::{MAX_ARG, MAX_ARGV, MAX_LIST, MAX_RANDOM, MAX_READ, MAX_TIMEOUT_MS};
    use serde_json::json;

    #[test]
    fn every_tool_has_one_whose_every_keyword_is_enforced() {
        let page = read_tools(include_bytes!("tools.json")).unwrap();
        assert_eq!(page.tools.len(), Tool::ALL.len() + 1);
        for tool in Tool::ALL.into_iter().chain([Tool::Tools]) {
            let known = definition(tool).unwrap();
            assert!(known.description().is_some_and(|text| text.ends_with('.')), "{}", tool.name());
            let unchecked: Vec<_> =
                known.unchecked().iter().filter(|remark| !remark.at.ends_with("/contentEncoding")).collect();
            assert!(unchecked.is_empty(), "{unchecked:?}");
        }
    }

    /// A generator of its own (splitmix64), so that a failure can be had again.
    struct Chance(u64);

    impl Chance {
        fn below(&mut self, most: usize) -> usize {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            usize::try_from((z ^ (z >> 31)) % u64::try_from(most).unwrap()).unwrap()
        }

        fn of<T: Clone>(&mut self, list: &[T]) -> T {
            list[self.below(list.len())].clone()
        }

        fn text(&mut self) -> String {
            let parts = [
                "a", "b.c", ".", "..", "...", "/", "//", "..x", ".x", "\0", "\n", "\u{9b}", "é", " ", "-", "~", "~1",
                "",
            ];
            let length = self.below(7);
            (0..length).map(|_| self.of(&parts)).collect()
        }

        fn value(&mut self, depth: usize) -> Value {
            let numbers =
                [0, 1, 4096, 4097, MAX_LIST, MAX_LIST + 1, MAX_READ, MAX_READ + 1, MAX_RANDOM, MAX_TIMEOUT_MS];
            let odd = [json!(-1), json!(1.0), json!(0.5), json!(i64::MAX), json!(u64::MAX), json!(MAX_TIMEOUT_MS + 1)];
            match self.below(if depth > 1 { 8 } else { 12 }) {
                0 => Value::Null,
                1 => json!(self.below(2) == 0),
                2 | 3 => json!(self.of(&numbers)),
                4 => self.of(&odd),
                5 | 6 => json!(self.text()),
                7 => json!(self.of(&["create", "replace", "append", "other", "/usr/bin/git", "notes.txt"])),
                8..=10 => {
                    let length = self.below(4);
                    (0..length).map(|_| self.value(depth + 1)).collect::<Vec<_>>().into()
                }
                _ => json!({ self.text(): self.value(depth + 1) }),
            }
        }

        fn args(&mut self) -> Value {
            let known =
                ["path", "offset", "length", "limit", "mode", "content", "content_base64", "argv", "timeout_ms"];
            let mut map = serde_json::Map::new();
            for _ in 0..self.below(5) {
                let key = if self.below(12) == 0 { self.text() } else { self.of(&known).to_owned() };
                let value = match (key.as_str(), self.below(3)) {
                    ("path" | "content" | "content_base64", 0 | 1) => json!(self.text()),
                    ("argv", 0 | 1) => (0..self.below(4)).map(|_| json!(self.text())).collect(),
                    ("mode", 0 | 1) => json!(self.of(&["create", "replace", "append"])),
                    _ => self.value(0),
                };
                map.insert(key, value);
            }
            if self.below(40) == 0 { self.value(0) } else { map.into() }
        }
    }

    /// Whatever the schema refuses the parser refuses, and the other way round.
    #[test]
    fn schema_and_parser_are_of_one_mind() {
        let mut chance = Chance(5);
        let mut taken = 0;
        for _ in 0..200_000 {
            let tool = chance.of(&[&Tool::ALL[..], &[Tool::Tools]].concat());
            let args = chance.args();
            let (fits, parsed) = (mcp::check_schema(definition(tool).unwrap(), &args), ToolCall::parse(tool, &args));
            assert_eq!(fits.is_ok(), parsed.is_ok(), "{} {args}: {fits:?} {parsed:?}", tool.name());
            taken += usize::from(fits.is_ok());
        }
        assert!(taken > 10_000, "{taken} were taken: the other half of the claim needs more");
    }

    #[test]
    fn bounds_are_the_same_on_both_sides() {
        let one = |tool: Tool, args: Value| {
            let (fits, parsed) = (mcp::check_schema(definition(tool).unwrap(), &args), ToolCall::parse(tool, &args));
            assert_eq!(fits.is_ok(), parsed.is_ok(), "{}: {fits:?} {parsed:?}", tool.name());
            fits.is_ok()
        };
        assert!(one(Tool::Exec, json!({ "argv": ["x".repeat(MAX_ARG)] })));
        assert!(one(Tool::Exec, json!({ "argv": ["\u{1F600}".repeat(MAX_ARG)] })));
        assert!(!one(Tool::Exec, json!({ "argv": ["x".repeat(MAX_ARG + 1)] })));
        assert!(one(Tool::Exec, json!({ "argv": vec!["x"; MAX_ARGV] })));
        assert!(!one(Tool::Exec, json!({ "argv": vec!["x"; MAX_ARGV + 1] })));
        assert!(!one(Tool::Read, json!({ "path": "a/".repeat(2048) })));
        // Bytes JSON Schema cannot count: the parser alone refuses these, and says why.
        for long in ["é".repeat(200), format!("x/{}", "é/".repeat(2000))] {
            let args = json!({ "path": long });
            assert!(mcp::check_schema(definition(Tool::Stat).unwrap(), &args).is_ok());
            assert!(checked(Tool::Stat, &args).unwrap_err().to_string().contains("bytes; a path may have 4095"));
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let said = |tool, args: Value| checked(tool, &args).unwrap_err().to_string();
        assert_eq!(said(Tool::Read, json!({})), "workspace.read: /path: missing");
        assert_eq!(said(Tool::Read, json!({ "path": "../x" })), "workspace.read: /path: it goes up with `..`");
        assert_eq!(said(Tool::Exec, json!({ "argv": ["/x", 1] })), "exec: /argv/1: must be a string");
        assert_eq!(said(Tool::Clock, json!({ "a/b": 1 })), "clock: /a~1b: unknown argument; known: none");
        assert_eq!(said(Tool::Clock, json!([])), "clock: arguments must be a JSON object");
    }
}
