//! One policy file: its sections and keys, each value with its place. Nothing is resolved here.

use super::reader::{Keys, Located, Reader, Section, suggestion};
use super::{units, values};
use crate::diagnostic::{Diagnostic, Place, SourceText};
use crate::model::LAYERS;
use crate::path::PathRule;
use crate::tool::Tool;
use std::sync::Arc;
use toml::de::DeTable;

/// Syntax errors reported for one file.
const MAX_SYNTAX: usize = 10;

/// What one file says.
#[derive(Debug, Default)]
pub(crate) struct PolicyFile {
    pub(crate) id: Option<Located<String>>,
    pub(crate) extends: Vec<Located<String>>,
    pub(crate) degrade_ok: Vec<Located<String>>,
    pub(crate) limits: LimitsText,
    pub(crate) read: Vec<Located<PathRule>>,
    pub(crate) write: Vec<Located<PathRule>>,
    pub(crate) deny: Vec<Located<PathRule>>,
    pub(crate) env: Vec<(Located<String>, String)>,
    pub(crate) tools_allow: Vec<Located<String>>,
    pub(crate) tools_deny: Vec<Located<String>>,
    pub(crate) cedar: Vec<Located<String>>,
    pub(crate) exec: Vec<ExecText>,
    pub(crate) tests: Vec<TestText>,
}

/// `[limits]` as far as it is written.
#[derive(Debug, Default, Clone)]
pub(crate) struct LimitsText {
    pub(crate) memory: Option<Located<u64>>,
    pub(crate) cpu: Option<Located<u64>>,
    pub(crate) pids: Option<Located<u64>>,
    pub(crate) wall: Option<Located<u64>>,
    pub(crate) fuel: Option<Located<u64>>,
    pub(crate) tables: Option<Located<u64>>,
    pub(crate) output: Option<Located<u64>>,
    pub(crate) files: Option<Located<u64>>,
    pub(crate) file_size: Option<Located<u64>>,
    pub(crate) calls: Option<Located<u64>>,
}

/// One `[[exec]]`.
#[derive(Debug, Clone)]
pub(crate) struct ExecText {
    pub(crate) id: Located<String>,
    pub(crate) command: Vec<String>,
    pub(crate) wall_ms: u64,
    pub(crate) reason: Option<String>,
    pub(crate) place: Place,
}

/// One `[[test]]`.
#[derive(Debug, Clone)]
pub(crate) struct TestText {
    pub(crate) call: Located<String>,
    pub(crate) args: serde_json::Value,
    pub(crate) allow: bool,
    pub(crate) reason: Option<String>,
}

const TOP: Keys = Keys {
    known: &["version", "id", "extends", "require", "limits", "fs", "env", "tools", "exec", "test"],
    later: &["egress", "mcp", "secrets", "approvals", "model", "models", "sockets", "syscalls"],
};
const REQUIRE: Keys = Keys { known: &["degrade_ok"], later: &[] };
const LIMITS: Keys = Keys {
    known: &["memory", "cpu", "pids", "wall", "fuel", "tables", "output", "files", "file_size", "calls"],
    later: &["io", "journal", "calls_per_minute"],
};
const FS: Keys = Keys { known: &["read", "write", "deny"], later: &["execute", "workspace"] };
const ENV: Keys = Keys { known: &["set"], later: &["pass"] };
const TOOLS: Keys = Keys { known: &["allow", "deny", "cedar"], later: &["ask"] };
const EXEC: Keys = Keys { known: &["id", "command", "wall", "reason"], later: &[] };
const TEST: Keys = Keys { known: &["call", "args", "expect", "reason"], later: &["path", "host", "syscall"] };

/// The section a key belongs in, for someone who wrote it elsewhere.
pub(super) fn home_of(key: &str) -> Option<&'static str> {
    let homes = [("require", &REQUIRE), ("limits", &LIMITS), ("fs", &FS), ("tools", &TOOLS)];
    homes.into_iter().find(|(_, keys)| keys.known.contains(&key)).map(|(name, _)| name)
}

/// Reads a whole file and reports everything that is wrong with it.
pub(crate) fn parse(source: &Arc<SourceText>) -> Result<PolicyFile, Vec<Diagnostic>> {
    let reader = Reader::new(Arc::clone(source));
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    if !errors.is_empty() {
        return Err(errors.iter().take(MAX_SYNTAX).fold(Vec::new(), |mut found, error| {
            let next = syntax(&reader.place(error.span().unwrap_or(0..0)), error.message());
            if found.last() != Some(&next) {
                found.push(next);
            }
            found
        }));
    }
    let start = 0..source.text.find('\n').unwrap_or(source.text.len());
    let top = Section::new(&reader, "", &table, &TOP);
    let top = top.placed(reader.place(start));
    let file = whole(&top);
    let errors = reader.finish();
    if errors.is_empty() { Ok(file) } else { Err(errors) }
}

fn syntax(place: &Place, message: &str) -> Diagnostic {
    match (message, place.text()) {
        ("duplicate key", Some(key)) => {
            let key: String = key.escape_debug().take(64).collect();
            Diagnostic::at(place, format!("`{key}` is here for the second time")).help("keep one of them")
        }
        _ => Diagnostic::at(place, format!("not TOML: {message}"))
            .help("correct the syntax here; https://toml.io has the rules"),
    }
}

fn whole(top: &Section<'_>) -> PolicyFile {
    match top.integer("version") {
        Some(version) if version.value == 1 => {}
        Some(version) => {
            let message = format!("policy version {} is not known", version.value);
            top.reader.report(Diagnostic::at(&version.place, message).help("this program reads version = 1"));
        }
        None if top.value("version").is_none() => top.missing("version", "begin with: version = 1"),
        None => {}
    }
    let id = top.string("id");
    if id.is_none() && top.value("id").is_none() {
        top.missing("id", "give it a name, as in: id = \"ci-agent\"");
    }
    let mut file = PolicyFile { extends: top.strings("extends"), ..PolicyFile::default() };
    file.id = id.and_then(|id| name(top, "id", id));
    if let Some(require) = top.section("require", &REQUIRE) {
        file.degrade_ok = require.strings("degrade_ok").into_iter().filter_map(|l| layer(&require, l)).collect();
    }
    if let Some(limits) = top.section("limits", &LIMITS) {
        file.limits = read_limits(&limits);
    }
    if let Some(fs) = top.section("fs", &FS) {
        file.read = paths(&fs, "read");
        file.write = paths(&fs, "write");
        file.deny = paths(&fs, "deny");
    }
    if let Some(env) = top.section("env", &ENV) {
        file.env = env.pairs("set").into_iter().filter_map(|(k, v)| variable(&env, k, v)).collect();
    }
    if let Some(tools) = top.section("tools", &TOOLS) {
        file.tools_allow = tool_names(&tools, "allow");
        file.tools_deny = tool_names(&tools, "deny");
        file.cedar = tools.strings("cedar");
    }
    file.exec = top.sections("exec", &EXEC).iter().filter_map(exec).collect();
    file.tests = top.sections("test", &TEST).iter().filter_map(test).collect();
    file
}

fn report(section: &Section<'_>, place: &Place, message: String, help: impl Into<String>) {
    section.reader.report(Diagnostic::at(place, message).help(help));
}

/// Names of policies and of exec entries: they go into records, file names and Cedar ids.
fn name(section: &Section<'_>, key: &str, text: Located<String>) -> Option<Located<String>> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let good = (1..=64).contains(&text.value.len())
        && text.value.chars().all(plain)
        && text.value.starts_with(|c: char| c.is_ascii_alphanumeric());
    if good {
        return Some(text);
    }
    let message = format!("`{}` is not a name", section.full(key));
    report(section, &text.place, message, "use 1 to 64 of a-z A-Z 0-9 - _ . and begin with a letter or digit");
    None
}

fn layer(section: &Section<'_>, text: Located<String>) -> Option<Located<String>> {
    if LAYERS.iter().any(|(name, _)| *name == text.value) {
        return Some(text);
    }
    let message = format!("there is no layer \"{}\" that may be missing", text.value.escape_debug());
    let names: Vec<&str> = LAYERS.iter().map(|(name, _)| *name).collect();
    let help = match suggestion(&text.value, names.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("known: {}", names.join(", ")),
    };
    report(section, &text.place, message, help);
    None
}

fn read_limits(s: &Section<'_>) -> LimitsText {
    const MIB: u64 = 1 << 20;
    const TIB: u64 = 1 << 40;
    const DAY: u64 = 86_400_000;
    let size = |key, least, most, words: &str| {
        let size = s.parsed(key, "a size", units::size)?;
        within(s, key, size, least, most, words)
    };
    let count = |key, least, most| within(s, key, s.integer(key)?, least, most, &format!("{least} to {most}"));
    let share =
        || within(s, "cpu", s.parsed("cpu", "a share of CPU", units::cpu_millis)?, 10, 10_240_000, "1% to 1024000%");
    let wall = || within(s, "wall", s.parsed("wall", "a time", units::duration_ms)?, 1, 30 * DAY, "1ms to 30d");
    LimitsText {
        memory: size("memory", MIB, 64 * TIB, "1MiB to 64TiB"),
        cpu: share(),
        pids: count("pids", 1, 4_194_304),
        wall: wall(),
        fuel: count("fuel", 1, i64::MAX as u64),
        tables: count("tables", 0, 100_000_000),
        output: size("output", 0, TIB, "0B to 1TiB"),
        files: count("files", 16, 1_048_576),
        file_size: size("file_size", 0, 64 * TIB, "0B to 64TiB"),
        calls: count("calls", 0, i64::MAX as u64),
    }
}

fn within(s: &Section<'_>, key: &str, got: Located<u64>, least: u64, most: u64, words: &str) -> Option<Located<u64>> {
    if (least..=most).contains(&got.value) {
        return Some(got);
    }
    report(s, &got.place, format!("`{}` is out of range", s.full(key)), format!("allowed: {words}"));
    None
}

/// Host trees that hold the machine itself. A cell gets its own `/proc`, `/dev` and nothing of the others.
const NEVER: [&str; 7] = ["/", "/proc", "/sys", "/dev", "/run", "/var/run", "/var/lib/stockade"];

fn paths(section: &Section<'_>, key: &str) -> Vec<Located<PathRule>> {
    let one = |text: Located<String>| {
        let message = format!("`{}` is not a path for a rule", section.full(key));
        match text.value.parse::<PathRule>() {
            Err(e) => {
                let help = match e {
                    crate::path::PathError::NotCanonical(want) => format!("write \"{want}\""),
                    e => format!("{e}; write \"/usr/share\" or \"@workspace/docs\""),
                };
                report(section, &text.place, message, help);
                None
            }
            Ok(rule) => allowed_path(section, key, Located { value: rule, place: text.place }),
        }
    };
    section.strings(key).into_iter().filter_map(one).collect()
}

fn allowed_path(section: &Section<'_>, key: &str, rule: Located<PathRule>) -> Option<Located<PathRule>> {
    let PathRule::Host(host) = &rule.value else { return Some(rule) };
    let never = NEVER
        .into_iter()
        .find(|tree| if *tree == "/" { host == "/" } else { PathRule::Host((*tree).into()).covers(&rule.value) });
    let (message, help) = match (key, never) {
        ("write", _) => (
            format!("`fs.write` of a host path ({host}) is not enforced by this version"),
            "only the workspace can be written: write = [\"@workspace\"]".to_owned(),
        ),
        ("read", Some(tree)) => (
            format!("`fs.read` of {host} would open the machine to the agent"),
            match tree {
                "/" => "name the trees the agent needs, as in \"/usr\"".to_owned(),
                _ => {
                    format!("nothing at or beneath {tree} may be shown; name the trees the agent needs, as in \"/usr\"")
                }
            },
        ),
        _ => return Some(rule),
    };
    report(section, &rule.place, message, help);
    None
}

/// Variables that change what a program loads before it runs, or that are Stockade's own.
fn surprising(name: &str) -> bool {
    const NAMES: [&str; 4] = ["GLIBC_TUNABLES", "GCONV_PATH", "BASH_ENV", "ENV"];
    name.starts_with("LD_") || name.starts_with("STOCKADE_") || NAMES.contains(&name)
}

fn variable(section: &Section<'_>, key: Located<String>, value: Located<String>) -> Option<(Located<String>, String)> {
    let name = key.value.escape_debug().to_string();
    let plain = key.value.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && key.value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.value.len() <= 128;
    let (place, message, help) = if !plain {
        (&key.place, format!("\"{name}\" is not a name of a variable"), "use letters, digits and _, and no = sign")
    } else if surprising(&key.value) {
        (
            &key.place,
            format!("`env.set.{name}` changes what a program loads before it runs"),
            "remove it; pass what the agent needs by other names",
        )
    } else if value.value.chars().any(char::is_control) {
        (&value.place, format!("`env.set.{name}` has a control character"), "remove it")
    } else {
        return Some((key, value.value));
    };
    report(section, place, message, help);
    None
}

fn tool_names(section: &Section<'_>, key: &str) -> Vec<Located<String>> {
    let known = |text: &Located<String>| {
        if text.value == "*" || Tool::from_name(&text.value).is_some() {
            return true;
        }
        let names = Tool::ALL.map(Tool::name);
        let help = match suggestion(&text.value, names.into_iter()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("known: {}; \"*\" means all of them", names.join(", ")),
        };
        report(section, &text.place, format!("there is no tool \"{}\"", text.value.escape_debug()), help);
        false
    };
    section.strings(key).into_iter().filter(known).collect()
}

fn exec(section: &Section<'_>) -> Option<ExecText> {
    let id = section.string("id");
    if id.is_none() && section.value("id").is_none() {
        section.missing("id", "give it a name, as in: id = \"git-log\"");
    }
    let id = id.and_then(|id| name(section, "id", id));
    let wall = section.parsed("wall", "a time", units::duration_ms);
    let wall = wall.and_then(|w| within(section, "wall", w, 1, crate::tool::MAX_TIMEOUT_MS, "1ms to 24h"));
    if section.value("wall").is_none() {
        section.missing("wall", "say how long one run may take, as in: wall = \"30s\"");
    }
    let command = command(section);
    let reason = section.string("reason").map(|r| r.value);
    Some(ExecText { id: id?, command: command?, wall_ms: wall?.value, reason, place: section.place.clone() })
}

fn command(section: &Section<'_>) -> Option<Vec<String>> {
    if section.value("command").is_none() {
        section.missing("command", "name the program, as in: command = [\"/usr/bin/git\", \"log\"]");
        return None;
    }
    let words = section.strings("command");
    let Some(program) = words.first() else {
        let place = section.value("command").map_or_else(|| section.place.clone(), |v| v.place);
        report(
            section,
            &place,
            "`exec.command` names no program".to_owned(),
            "write command = [\"/usr/bin/git\", \"log\"]",
        );
        return None;
    };
    match program.value.parse::<PathRule>() {
        Ok(PathRule::Host(path)) if path != "/" => {}
        _ => {
            let message = format!(
                "`exec.command` must begin with an absolute, canonical path, not \"{}\"",
                program.value.escape_debug()
            );
            report(section, &program.place, message, "no shell and no PATH is consulted: write \"/usr/bin/git\"");
            return None;
        }
    }
    if let Some(word) = words.iter().find(|w| w.value.contains('\0')) {
        report(section, &word.place, "an argument with NUL".to_owned(), "no program can be given one");
        return None;
    }
    Some(words.into_iter().map(|w| w.value).collect())
}

fn test(section: &Section<'_>) -> Option<TestText> {
    let call = section.string("call");
    if section.value("call").is_none() {
        section.missing("call", "name a tool, as in: call = \"workspace.read\"");
    }
    let args = match section.value("args").map(|v| (values::to_json(v.value), v.place)) {
        None => Some(serde_json::Value::Object(serde_json::Map::new())),
        Some((Ok(value), _)) => Some(value),
        Some((Err(why), place)) => {
            report(section, &place, format!("`test.args` has {why}"), "arguments are what a JSON object can hold");
            None
        }
    };
    let expect = section.string("expect");
    if section.value("expect").is_none() {
        section.missing("expect", "write expect = \"allow\" or expect = \"deny\"");
    }
    let allow = expect.and_then(|e| match e.value.as_str() {
        "allow" => Some(true),
        "deny" => Some(false),
        other => {
            let message = format!("`test.expect` is \"{}\"", other.escape_debug());
            report(section, &e.place, message, "write \"allow\" or \"deny\"");
            None
        }
    });
    let reason = section.string("reason").map(|r| r.value);
    Some(TestText { call: call?, args: args?, allow: allow?, reason })
}
