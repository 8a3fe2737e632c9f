//! One policy file: its sections and keys, each value with its place. Nothing is resolved here.

mod names;
mod outside;
mod paths;
mod tests;

use super::reader::{Located, Reader, Section, suggestion};
use super::tree::Table;
use super::{json, toml};
use crate::diagnostic::{Diagnostic, Place, SourceText};
use crate::language::{CEILING, Kind, POLICY, TESTS};
use crate::model::{LAYERS, SyscallAction};
use crate::path::PathRule;
use std::collections::BTreeMap;
use std::sync::Arc;

pub use names::surprising;
pub(crate) use outside::{CeilingEgressText, EgressText, McpText, ModelText, SecretText};
pub(crate) use paths::opens_the_machine;
pub(crate) use tests::TestText;

/// What one policy file says.
#[derive(Debug, Default)]
pub(crate) struct PolicyFile {
    pub(crate) id: Option<Located<String>>,
    pub(crate) seal: Option<Located<String>>,
    pub(crate) extends: Vec<Located<String>>,
    pub(crate) degrade_ok: Vec<Located<String>>,
    pub(crate) limits: LimitsText,
    pub(crate) rates: ByTool,
    pub(crate) concurrent: ByTool,
    pub(crate) tool_walls: ByTool,
    pub(crate) read: Vec<Located<PathRule>>,
    pub(crate) write: Vec<Located<PathRule>>,
    pub(crate) execute: Vec<Located<PathRule>>,
    pub(crate) deny: Vec<Located<PathRule>>,
    pub(crate) workspace: Option<Located<&'static str>>,
    pub(crate) env: Vec<(Located<String>, String)>,
    pub(crate) env_pass: Vec<Located<String>>,
    pub(crate) tools_allow: Vec<Located<String>>,
    pub(crate) tools_deny: Vec<Located<String>>,
    pub(crate) tools_ask: Vec<Located<String>>,
    pub(crate) cedar: Vec<Located<String>>,
    pub(crate) exec: Vec<ExecText>,
    pub(crate) egress: Vec<EgressText>,
    pub(crate) unix: Vec<Located<String>>,
    pub(crate) mcp: Vec<McpText>,
    pub(crate) models: Vec<ModelText>,
    pub(crate) secrets: Vec<SecretText>,
    pub(crate) expires: Option<Located<u64>>,
    pub(crate) private: Vec<Located<String>>,
    pub(crate) compact: Option<Located<u64>>,
    pub(crate) keep: Option<Located<u64>>,
    pub(crate) syscalls: Vec<SyscallText>,
    pub(crate) tests: Vec<TestText>,
}

/// Numbers by tool, or `*`.
pub(crate) type ByTool = Vec<(Located<String>, Located<u64>)>;

/// `[limits]` as far as it is written, by key, in the key's unit.
pub(crate) type LimitsText = BTreeMap<&'static str, Located<u64>>;

/// One `[[exec]]`.
#[derive(Debug, Clone)]
pub(crate) struct ExecText {
    pub(crate) id: Located<String>,
    pub(crate) command: Vec<String>,
    pub(crate) wall_ms: u64,
    pub(crate) policy: Option<Located<String>>,
    pub(crate) reason: Option<String>,
    pub(crate) place: Place,
}

/// One `[[syscalls.add]]`.
#[derive(Debug, Clone)]
pub(crate) struct SyscallText {
    pub(crate) names: Vec<Located<String>>,
    pub(crate) action: SyscallAction,
    pub(crate) why: String,
    pub(crate) place: Place,
}

/// What a host's ceiling says; `None` narrows nothing.
#[derive(Debug, Clone)]
pub(crate) struct CeilingFile {
    pub(crate) source: Arc<SourceText>,
    pub(crate) degrade_ok: Option<Vec<Located<String>>>,
    pub(crate) seal: bool,
    pub(crate) tests: bool,
    pub(crate) limits: LimitsText,
    pub(crate) concurrent: ByTool,
    pub(crate) tool_walls: ByTool,
    pub(crate) read: Option<Vec<Located<PathRule>>>,
    pub(crate) write: Option<Vec<Located<PathRule>>>,
    pub(crate) execute: Option<Vec<Located<PathRule>>>,
    pub(crate) deny: Vec<Located<PathRule>>,
    pub(crate) workspaces: Option<Vec<Located<PathRule>>>,
    pub(crate) env_pass: Option<Vec<Located<String>>>,
    pub(crate) tools_allow: Option<Vec<Located<String>>>,
    pub(crate) tools_deny: Vec<Located<String>>,
    pub(crate) tools_ask: Vec<Located<String>>,
    pub(crate) egress: Option<Vec<CeilingEgressText>>,
    pub(crate) unix: Option<Vec<Located<String>>>,
    pub(crate) secrets: Option<Vec<Located<String>>>,
    pub(crate) syscalls: Option<Vec<Located<String>>>,
    /// Where each key that narrows is written.
    pub(crate) places: BTreeMap<&'static str, Place>,
}

fn tree(source: &Arc<SourceText>) -> Result<Table, Vec<Diagnostic>> {
    if source.name.ends_with(".json") { json::parse(source) } else { toml::parse(source) }
}

fn read<T>(
    source: &Arc<SourceText>,
    language: &'static crate::language::Section,
    what: impl FnOnce(&Section<'_>) -> T,
) -> Result<T, Vec<Diagnostic>> {
    let table = tree(source)?;
    let reader = Reader::new(Arc::clone(source));
    let top = Section::top(&reader, &table, language);
    top.number("version");
    let file = what(&top);
    let errors = reader.finish();
    if errors.is_empty() { Ok(file) } else { Err(errors) }
}

/// Reads a whole policy and reports everything that is wrong with it.
pub(crate) fn parse(source: &Arc<SourceText>) -> Result<PolicyFile, Vec<Diagnostic>> {
    read(source, &POLICY, policy)
}

/// Reads a file of tests.
pub(crate) fn parse_tests(source: &Arc<SourceText>) -> Result<Vec<TestText>, Vec<Diagnostic>> {
    read(source, &TESTS, |top| top.sections("test").iter().filter_map(tests::test).collect())
}

/// Reads a host's ceiling.
pub(crate) fn parse_ceiling(source: &Arc<SourceText>) -> Result<CeilingFile, Vec<Diagnostic>> {
    read(source, &CEILING, |top| ceiling(source, top))
}

fn policy(top: &Section<'_>) -> PolicyFile {
    let mut file = PolicyFile {
        id: names::name(top, "id"),
        seal: top.text("seal"),
        extends: top.strings("extends"),
        ..PolicyFile::default()
    };
    if let Some(require) = top.section("require") {
        file.degrade_ok = degrade_ok(&require);
    }
    if let Some(section) = top.section("limits") {
        file.limits = limits(&section);
        file.rates = by_tool(&section, section.counts("calls_per_minute"));
        file.concurrent = by_tool(&section, section.counts("concurrent"));
        file.tool_walls = by_tool(&section, section.times("tool_wall"));
    }
    if let Some(fs) = top.section("fs") {
        file.read = paths::host_or_workspace(&fs, "read");
        file.write = paths::workspace_only(&fs, "write");
        file.execute = paths::host_or_workspace(&fs, "execute");
        file.deny = paths::any(&fs, "deny");
        file.workspace = fs.choice("workspace");
    }
    if let Some(env) = top.section("env") {
        file.env = env.pairs("set").into_iter().filter_map(|(key, value)| names::variable(&env, key, value)).collect();
        file.env_pass = names::variables(&env, "pass");
    }
    if let Some(tools) = top.section("tools") {
        file.tools_allow = names::tools(&tools, "allow");
        file.tools_deny = names::tools(&tools, "deny");
        file.tools_ask = names::tools(&tools, "ask");
        file.cedar = tools.strings("cedar");
    }
    file.exec = top.sections("exec").iter().filter_map(exec).collect();
    file.egress = top.sections("egress").iter().filter_map(outside::egress).collect();
    if let Some(sockets) = top.section("sockets") {
        file.unix = paths::sockets(&sockets, "unix");
    }
    file.mcp = top.sections("mcp").iter().filter_map(outside::mcp).collect();
    file.models = top.sections("model").iter().filter_map(outside::model).collect();
    file.secrets = top.sections("secret").iter().filter_map(outside::secret).collect();
    if let Some(approvals) = top.section("approvals") {
        file.expires = approvals.number("expires");
    }
    if let Some(journal) = top.section("journal") {
        file.private = names::tools(&journal, "private");
        file.compact = journal.number("compact");
        file.keep = journal.number("keep");
    }
    if let Some(syscalls) = top.section("syscalls") {
        syscalls.choice("profile");
        file.syscalls = syscalls.sections("add").iter().filter_map(syscall).collect();
    }
    file.tests = top.sections("test").iter().filter_map(tests::test).collect();
    file
}

fn ceiling(source: &Arc<SourceText>, top: &Section<'_>) -> CeilingFile {
    let mut file = CeilingFile {
        source: Arc::clone(source),
        degrade_ok: None,
        seal: false,
        tests: false,
        limits: LimitsText::new(),
        concurrent: ByTool::new(),
        tool_walls: ByTool::new(),
        read: None,
        write: None,
        execute: None,
        deny: Vec::new(),
        workspaces: None,
        env_pass: None,
        tools_allow: None,
        tools_deny: Vec::new(),
        tools_ask: Vec::new(),
        egress: top.has("egress").then(|| top.sections("egress").iter().filter_map(outside::ceiling_egress).collect()),
        unix: None,
        secrets: None,
        syscalls: None,
        places: BTreeMap::from([("egress", top.place_of("egress"))]),
    };
    let mut at = |name, section: &Section<'_>, key| file.places.insert(name, section.place_of(key));
    if let Some(s) = top.section("require") {
        at("require.degrade_ok", &s, "degrade_ok");
        at("require.seal", &s, "seal");
        at("require.tests", &s, "tests");
        file.degrade_ok = s.has("degrade_ok").then(|| degrade_ok(&s));
        file.seal = s.truth("seal").is_some_and(|seal| seal.value);
        file.tests = s.truth("tests").is_some_and(|tests| tests.value);
    }
    if let Some(s) = top.section("limits") {
        file.limits = limits(&s);
        file.concurrent = by_tool(&s, s.counts("concurrent"));
        file.tool_walls = by_tool(&s, s.times("tool_wall"));
    }
    if let Some(s) = top.section("fs") {
        at("fs.read", &s, "read");
        at("fs.write", &s, "write");
        at("fs.execute", &s, "execute");
        at("fs.workspaces", &s, "workspaces");
        file.read = s.has("read").then(|| paths::any(&s, "read"));
        file.write = s.has("write").then(|| paths::workspace_only(&s, "write"));
        file.execute = s.has("execute").then(|| paths::any(&s, "execute"));
        file.deny = paths::any(&s, "deny");
        file.workspaces = s.has("workspaces").then(|| paths::any(&s, "workspaces"));
    }
    if let Some(s) = top.section("env") {
        at("env.pass", &s, "pass");
        file.env_pass = s.has("pass").then(|| s.strings("pass"));
    }
    if let Some(s) = top.section("tools") {
        at("tools.allow", &s, "allow");
        file.tools_allow = s.has("allow").then(|| names::tools(&s, "allow"));
        file.tools_deny = names::tools(&s, "deny");
        file.tools_ask = names::tools(&s, "ask");
    }
    if let Some(s) = top.section("sockets") {
        at("sockets.unix", &s, "unix");
        file.unix = s.has("unix").then(|| paths::sockets(&s, "unix"));
    }
    if let Some(s) = top.section("secrets") {
        at("secrets.allow", &s, "allow");
        file.secrets = s.has("allow").then(|| s.strings("allow"));
    }
    if let Some(s) = top.section("syscalls") {
        at("syscalls.allow", &s, "allow");
        file.syscalls = s.has("allow").then(|| names::syscalls(&s, "allow"));
    }
    file
}

fn degrade_ok(section: &Section<'_>) -> Vec<Located<String>> {
    let known = |text: &Located<String>| {
        let names = LAYERS.map(|(name, _)| name);
        let found = names.contains(&text.value.as_str());
        if !found {
            let help = match suggestion(&text.value, names.into_iter()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("known: {}", names.join(", ")),
            };
            let shown: String = text.value.escape_debug().take(64).collect();
            section.report(&text.place, format!("there is no layer \"{shown}\" that may be missing"), help);
        }
        found
    };
    section.strings("degrade_ok").into_iter().filter(known).collect()
}

/// The entries whose tool is one.
fn by_tool(section: &Section<'_>, entries: ByTool) -> ByTool {
    entries.into_iter().filter_map(|(tool, number)| Some((names::tool(section, tool)?, number))).collect()
}

fn limits(section: &Section<'_>) -> LimitsText {
    let numbers = crate::language::POLICY.all().into_iter().filter(|s| s.name == "limits").flat_map(|s| s.keys);
    let numbers = numbers.filter(|key| !matches!(key.kind, Kind::Counts(..) | Kind::Times(..)));
    numbers.filter_map(|key| section.number(key.name).map(|number| (key.name, number))).collect()
}

fn exec(section: &Section<'_>) -> Option<ExecText> {
    let id = names::name(section, "id");
    let wall = section.number("wall");
    let command = names::command(section, "command", "[\"/usr/bin/git\", \"log\"]");
    let reason = section.text("reason").map(|reason| reason.value);
    let policy = section.text("policy");
    Some(ExecText { id: id?, command: command?, wall_ms: wall?.value, policy, reason, place: section.place.clone() })
}

fn syscall(section: &Section<'_>) -> Option<SyscallText> {
    let names = names::syscalls(section, "names");
    let action = section.choice("action").map(|action| match action.value {
        "allow" => SyscallAction::Allow,
        "notify" => SyscallAction::Notify,
        _ => SyscallAction::Deny,
    });
    let why = section.text("why").filter(|why| {
        let long_enough = why.value.trim().chars().count() >= 8;
        if !long_enough {
            section.report(
                &why.place,
                "`syscalls.add.why` gives no reason",
                "say in a few words what needs this, for who reads the policy next",
            );
        }
        long_enough
    });
    Some(SyscallText { names, action: action?, why: why?.value, place: section.place.clone() })
}
