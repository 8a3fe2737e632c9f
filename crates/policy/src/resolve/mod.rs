//! Several files become one policy: numbers of later files replace earlier ones, lists add up, deny wins,
//! and the host's ceiling has the last word.

mod ceiling;
mod named;
mod paths;
mod settings;

use crate::diagnostic::{Diagnostic, Place};
use crate::extends::Layer;
use crate::language::Kind;
use crate::model::{
    EgressRule, ExecRule, Limits, McpRule, ModelRule, Narrowed, Origin, RateRule, Require, SecretRule, Setting,
    SyscallRule, ToolLimit, Unreachable,
};
use crate::path::PathRule;
use crate::text::Located;
use crate::text::file::{CeilingFile, LimitsText};
use std::collections::BTreeMap;

pub(crate) use ceiling::show as show_limit;
pub(crate) use settings::settings;

/// Time a call waits for an approval if nobody says otherwise, in milliseconds.
const EXPIRES_MS: u64 = 600_000;

/// An entry of a list, with the id it has in records.
#[derive(Debug, Clone)]
pub(crate) struct Entry<T> {
    /// `fs.read[0]`, `preset:base@1/tools.allow[2]`, `ceiling.tools.deny[0]`.
    pub(crate) id: String,
    pub(crate) value: T,
    pub(crate) place: Place,
}

/// Everything but the Cedar rules.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) id: String,
    pub(crate) require: Require,
    pub(crate) limits: Limits,
    /// Where each limit comes from.
    pub(crate) limit_places: BTreeMap<&'static str, Place>,
    pub(crate) rates: Vec<Entry<RateRule>>,
    pub(crate) concurrent: Vec<Entry<ToolLimit>>,
    pub(crate) tool_walls: Vec<Entry<ToolLimit>>,
    pub(crate) read: Vec<Entry<PathRule>>,
    pub(crate) write: Vec<Entry<PathRule>>,
    pub(crate) execute: Vec<Entry<PathRule>>,
    pub(crate) deny: Vec<Entry<PathRule>>,
    pub(crate) env: BTreeMap<String, (String, Place)>,
    pub(crate) env_pass: Vec<Entry<String>>,
    pub(crate) allow: Vec<Entry<String>>,
    pub(crate) forbid: Vec<Entry<String>>,
    /// Allowed, if a person approves.
    pub(crate) ask: Vec<Entry<String>>,
    /// Need an approval, whatever allows them: the ceiling's.
    pub(crate) ask_always: Vec<Entry<String>>,
    pub(crate) exec: Vec<(ExecRule, Option<String>)>,
    pub(crate) egress: Vec<EgressRule>,
    pub(crate) unix: Vec<Entry<String>>,
    pub(crate) mcp: Vec<McpRule>,
    pub(crate) models: Vec<ModelRule>,
    pub(crate) secrets: Vec<SecretRule>,
    pub(crate) expires: (u64, Option<Place>),
    /// Tools whose values are recorded as private.
    pub(crate) private: Vec<Entry<String>>,
    /// When records go, after the end of a run, in milliseconds.
    pub(crate) compact: Option<Located<u64>>,
    pub(crate) keep: Option<Located<u64>>,
    pub(crate) syscalls: Vec<SyscallRule>,
    pub(crate) cedar: Vec<Located<String>>,
    /// Tools the ceiling lets policies allow, if it says.
    pub(crate) ceiling_tools: Option<(Vec<String>, Origin)>,
    /// Places the ceiling lets policies reach, if it says.
    pub(crate) ceiling_egress: Option<Vec<crate::model::CeilingEgress>>,
    /// Where workspaces may lie, if the ceiling says.
    pub(crate) workspaces: Option<(Vec<String>, Origin)>,
    pub(crate) narrowed: Vec<Narrowed>,
    pub(crate) unreachable: Vec<Unreachable>,
}

/// Merges the layers. `file` is the policy's own name, for what is missing everywhere.
pub(crate) fn resolve(
    layers: &[Layer],
    file: &str,
    ceiling: Option<&CeilingFile>,
    servers: Vec<McpRule>,
) -> Result<Resolved, Vec<Diagnostic>> {
    let mut errors = Vec::new();
    let numbers = last_of_each(layers);
    let limits = limits(&numbers, file, &mut errors);
    let exec = named::exec(layers, &mut errors);
    let paths = paths::resolve(layers, &mut errors);
    let secrets = named::secrets(layers, &mut errors);
    let egress = named::egress(layers, &secrets, &mut errors);
    let models = named::models(layers, &secrets, &mut errors);
    let syscalls = named::syscalls(layers, &mut errors);
    let cedar = cedar_files(layers, &mut errors);
    let mut env = BTreeMap::new();
    for (key, value) in layers.iter().flat_map(|l| &l.file.env) {
        env.insert(key.value.clone(), (value.clone(), key.place.clone()));
    }
    let mut degrade_ok: Vec<String> = layers.iter().flat_map(|l| &l.file.degrade_ok).map(|d| d.value.clone()).collect();
    degrade_ok.sort();
    degrade_ok.dedup();
    let expires = layers.iter().rev().find_map(|l| l.file.expires.as_ref());
    let compact = layers.iter().rev().find_map(|l| l.file.compact.clone());
    let keep = layers.iter().rev().find_map(|l| l.file.keep.clone());
    if let (Some(compact), Some(keep)) = (&compact, &keep)
        && compact.value >= keep.value
    {
        let message = "`journal.compact` is not before `journal.keep`, which takes everything";
        errors.push(Diagnostic::at(&compact.place, message).help("make it shorter, or leave it out"));
    }
    let Some(id) = layers.last().and_then(|l| l.file.id.as_ref()).map(|id| id.value.clone()) else {
        return Err(vec![Diagnostic::of(file, "the policy has no `id`")]);
    };
    let (Some(limits), true) = (limits, errors.is_empty()) else { return Err(errors) };
    let mut resolved = Resolved {
        id,
        require: Require { degrade_ok },
        limits,
        limit_places: numbers.iter().map(|(key, number)| (*key, number.place.clone())).collect(),
        rates: named::rates(layers),
        concurrent: named::by_tool(layers, "concurrent", |file| &file.concurrent),
        tool_walls: named::by_tool(layers, "tool_wall", |file| &file.tool_walls),
        read: paths.read,
        write: paths.write,
        execute: paths.execute,
        deny: paths.deny,
        env,
        env_pass: entries(layers, "env.pass", |l| &l.file.env_pass),
        allow: entries(layers, "tools.allow", |l| &l.file.tools_allow),
        forbid: entries(layers, "tools.deny", |l| &l.file.tools_deny),
        ask: entries(layers, "tools.ask", |l| &l.file.tools_ask),
        ask_always: Vec::new(),
        exec,
        egress,
        unix: entries(layers, "sockets.unix", |l| &l.file.unix),
        mcp: servers,
        models,
        secrets,
        expires: expires.map_or((EXPIRES_MS, None), |e| (e.value, Some(e.place.clone()))),
        private: entries(layers, "journal.private", |l| &l.file.private),
        compact,
        keep,
        syscalls,
        cedar,
        ceiling_tools: None,
        ceiling_egress: None,
        workspaces: None,
        narrowed: Vec::new(),
        unreachable: paths.unreachable,
    };
    named::known_tools(&resolved, &mut errors);
    if let Some(ceiling) = ceiling {
        ceiling::narrow(&mut resolved, ceiling, layers, &mut errors);
    }
    if errors.is_empty() { Ok(resolved) } else { Err(errors) }
}

/// A list of every layer, numbered within its own.
fn entries<T: Clone>(layers: &[Layer], list: &str, of: impl Fn(&Layer) -> &Vec<Located<T>>) -> Vec<Entry<T>> {
    let one = |layer| {
        let Layer { prefix, .. }: &Layer = layer;
        let number = |(at, l): (usize, &Located<T>)| Entry {
            id: format!("{prefix}{list}[{at}]"),
            value: l.value.clone(),
            place: l.place.clone(),
        };
        of(layer).iter().enumerate().map(number).collect::<Vec<_>>()
    };
    layers.iter().flat_map(one).collect()
}

/// Numbers of later files replace earlier ones.
fn last_of_each(layers: &[Layer]) -> LimitsText {
    let all = layers.iter().flat_map(|layer| &layer.file.limits);
    all.map(|(key, number)| (*key, number.clone())).collect()
}

fn limits(numbers: &LimitsText, file: &str, errors: &mut Vec<Diagnostic>) -> Option<Limits> {
    let value = |key: &str| numbers.get(key).map(|number| number.value);
    let section = crate::language::POLICY.all().into_iter().find(|section| section.name == "limits")?;
    for key in section.keys {
        let optional = key.default.starts_with("optional") || matches!(key.kind, Kind::Counts(..) | Kind::Times(..));
        if !optional && value(key.name).is_none() {
            let message = format!("no `limits.{}` is set, and absent does not mean unlimited", key.name);
            let help = format!("add extends = [\"preset:base@1\"], or {} = {} to [limits]", key.name, key.example);
            errors.push(Diagnostic::of(file, message).help(help));
        }
    }
    // The ranges were checked when they were read; what does not fit would be a limit of zero.
    let small = |key| value(key).and_then(|n| u32::try_from(n).ok());
    Some(Limits {
        memory: value("memory")?,
        cpu_millis: small("cpu")?,
        pids: small("pids")?,
        wall_ms: value("wall")?,
        fuel: value("fuel")?,
        table_elements: value("tables")?,
        output: value("output")?,
        files: small("files")?,
        file_size: value("file_size")?,
        calls: value("calls")?,
        journal: value("journal")?,
        io_read: value("io_read"),
        io_write: value("io_write"),
    })
}

fn cedar_files(layers: &[Layer], errors: &mut Vec<Diagnostic>) -> Vec<Located<String>> {
    let mut files: Vec<Located<String>> = Vec::new();
    for file in layers.iter().flat_map(|l| &l.file.cedar) {
        if files.iter().any(|f| f.value == file.value) {
            errors.push(
                Diagnostic::at(&file.place, format!("\"{}\" is named twice", file.value.escape_debug()))
                    .help("remove one"),
            );
        } else {
            files.push(file.clone());
        }
    }
    files
}

/// What `settings` and `show` print of a rule's place.
fn setting(key: impl Into<String>, value: impl Into<String>, place: &Place) -> Setting {
    Setting { key: key.into(), value: value.into(), origin: place.origin() }
}
