//! From a file's name to a [`Policy`]: open, parse, resolve, narrow, compile, and run its own tests.

use crate::beside::{Beside, Served};
use crate::bundle::{Bundle, Rule, RuleKind, VERSION};
use crate::cedar;
use crate::cedar_file;
use crate::diagnostic::{Diagnostic, Diagnostics, Place, SourceText};
use crate::diff::{Change, Direction, diff};
use crate::digest::digest;
use crate::extends::{Layer, layers};
use crate::mcp::McpServer;
use crate::model::{Fs, FsRule, Policy, SocketRule};
use crate::path::PathRule;
use crate::presets::shipped;
use crate::resolve::{Entry, Resolved, resolve, settings};
use crate::rules::{generate, listed};
use crate::seal;
use crate::source::{self, Folder, Trust};
use crate::testing;
use crate::text::file::{CeilingFile, TestText, parse, parse_ceiling};
use crate::written;
use cedar_policy::Schema;
use std::path::Path;
use std::sync::Arc;

/// Where a host's ceiling lies.
pub const CEILING: &str = "/etc/stockade/ceiling.toml";

/// A host's ceiling, read and valid.
#[derive(Debug, Clone)]
pub struct Ceiling(pub(crate) Arc<CeilingFile>);

impl Ceiling {
    /// Reads a ceiling.
    ///
    /// # Errors
    /// Everything wrong with it.
    pub fn load(path: &Path, trust: Trust) -> Result<Self, Diagnostics> {
        let opened = source::read(path, trust)?;
        Self::parse(&opened.source.name, &opened.source.text)
    }

    /// Reads a ceiling from its text.
    ///
    /// # Errors
    /// Everything wrong with it.
    pub fn parse(name: &str, text: &str) -> Result<Self, Diagnostics> {
        let source = Arc::new(SourceText { name: name.to_owned(), text: text.to_owned() });
        parse_ceiling(&source).map(|file| Self(Arc::new(file))).map_err(Diagnostics)
    }

    /// The same, but for what a policy file must bring.
    fn undemanding(&self) -> Self {
        Self(Arc::new(CeilingFile { seal: false, tests: false, ..CeilingFile::clone(&self.0) }))
    }

    /// The host's own, if it has one.
    ///
    /// # Errors
    /// Everything wrong with it; a ceiling that can't be read is not the same as none.
    pub fn of_host() -> Result<Option<Self>, Diagnostics> {
        let path = Path::new(CEILING);
        match path.symlink_metadata() {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            _ => Self::load(path, Trust::Enforce).map(Some),
        }
    }
}

/// How a policy is loaded.
#[derive(Debug, Clone)]
pub struct Options {
    /// What the host lets through.
    pub ceiling: Option<Ceiling>,
    /// Who may have written the files.
    pub trust: Trust,
    /// Whether its own tests must pass.
    pub tests: bool,
    /// Whether its seal must hold, if it has one.
    pub seal: bool,
    /// The name it has in messages and in the origins of its rules; its path, if there is none. A run that goes on has to
    /// get the bundle that it had, in whatever folder the operator is now.
    pub name: Option<String>,
    /// Whether MCP servers have no approved lists yet, and so no tools.
    pub unlisted: bool,
}

impl Default for Options {
    /// As a run loads it, but for the ceiling.
    fn default() -> Self {
        Self { ceiling: None, trust: Trust::Enforce, tests: true, seal: true, name: None, unlisted: false }
    }
}

/// Reads the policy at `path` and what it names, validates it, and runs its tests. No ceiling is over it.
///
/// # Errors
/// Everything wrong with it, as far as one stage can tell: opening, parsing, resolving, Cedar, tests.
pub fn load(path: &Path) -> Result<Policy, Diagnostics> {
    load_with(path, &Options::default())
}

/// As [`load`], in another manner.
///
/// # Errors
/// As [`load`].
pub fn load_with(path: &Path, options: &Options) -> Result<Policy, Diagnostics> {
    let mut opened = source::read(path, options.trust)?;
    if let Some(name) = &options.name {
        opened.source.name.clone_from(name);
    }
    let remarks = opened.remarks;
    let (mut policy, _) = build(opened.source, Some(&opened.folder), options, None)?;
    policy.remarks.extend(remarks);
    Ok(policy)
}

/// As [`load_with`], as if `change`, the text of a policy file, stood in the file too. Its entries add up.
pub(crate) fn load_changed(path: &Path, options: &Options, change: &str) -> Result<Policy, Diagnostics> {
    let opened = source::read(path, options.trust)?;
    build(opened.source, Some(&opened.folder), options, Some(change)).map(|(policy, _)| policy)
}

/// Names and texts of the files that a policy which loads names.
pub(crate) fn beside(path: &Path, options: &Options) -> Result<Vec<(String, String)>, Diagnostics> {
    let opened = source::read(path, options.trust)?;
    build(opened.source, Some(&opened.folder), options, None).map(|(_, beside)| beside)
}

/// As [`load`], for a text without files beside it (`tools.cedar` and `[[mcp]]` must be absent).
///
/// # Errors
/// As [`load`].
pub fn parse_policy(name: &str, text: &str) -> Result<Policy, Diagnostics> {
    let source = SourceText { name: name.to_owned(), text: text.to_owned() };
    build(source, None, &Options::default(), None).map(|(policy, _)| policy)
}

/// As [`parse_policy`], beneath a ceiling.
///
/// # Errors
/// As [`load`].
pub fn parse_policy_beneath(name: &str, text: &str, ceiling: &Ceiling) -> Result<Policy, Diagnostics> {
    let source = SourceText { name: name.to_owned(), text: text.to_owned() };
    let options = Options { ceiling: Some(ceiling.clone()), ..Options::default() };
    build(source, None, &options, None).map(|(policy, _)| policy)
}

/// A server of a policy as it is before anybody has approved its tools.
#[derive(Debug)]
pub struct Unpinned {
    /// A policy that has the server and nothing else, beneath the same ceiling.
    pub policy: Policy,
    /// Name of the file, beside the policy's, that holds the approved list.
    pub list: String,
    /// Its text, if it is there.
    pub approved: Option<String>,
}

/// Reads what a policy file says of one MCP server, whether or not its tools have been approved.
///
/// # Errors
/// Everything wrong with the file as far as it is read for this, and with the policy of the server's cell.
pub fn unpinned(path: &Path, server: &str, options: &Options) -> Result<Unpinned, Diagnostics> {
    let opened = source::read(path, options.trust)?;
    let source = Arc::new(opened.source);
    let file = parse(&source).map_err(Diagnostics)?;
    let Some(entry) = file.mcp.iter().find(|entry| entry.name.value == server) else {
        let shown: String = server.escape_debug().take(64).collect();
        let known: Vec<&str> = file.mcp.iter().map(|entry| entry.name.value.as_str()).collect();
        let help = if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) };
        return Err(Diagnostic::of(&source.name, format!("there is no [[mcp]] \"{shown}\"")).help(help).into());
    };
    let list = entry.tools.value.clone();
    let missing = path.parent().is_some_and(|folder| !folder.join(&list).exists());
    let approved = if missing { None } else { Some(opened.folder.read(&list)?.text) };
    let text = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let command: Vec<String> = entry.command.iter().map(|word| text(word)).collect();
    let alone = format!(
        "version = 1\nid = \"pin\"\nextends = [\"preset:base@1\"]\n[[mcp]]\nname = {}\ncommand = [{}]\npolicy = {}\ntools = {}\n",
        text(server),
        command.join(", "),
        text(&entry.policy.value),
        text(&list)
    );
    let options = Options { unlisted: true, seal: false, tests: false, ..options.clone() };
    let options = Options { ceiling: options.ceiling.as_ref().map(Ceiling::undemanding), ..options };
    let alone = SourceText { name: format!("{} (its [[mcp]] alone)", source.name), text: alone };
    let (policy, _) = build(alone, Some(&opened.folder), &options, None)?;
    Ok(Unpinned { policy, list, approved })
}

type Built = (Policy, Vec<(String, String)>);

/// Before the ids of rules that are only tried.
const TRIED: &str = "with this change/";

fn build(
    source: SourceText,
    folder: Option<&Folder>,
    options: &Options,
    change: Option<&str>,
) -> Result<Built, Diagnostics> {
    let name = source.name.clone();
    let source = Arc::new(source);
    let main = parse(&source).map_err(Diagnostics)?;
    let mut layers = layers(main, &shipped()).map_err(Diagnostics)?;
    if let Some(change) = change {
        let source = Arc::new(SourceText { name: "this change".to_owned(), text: change.to_owned() });
        let file = parse(&source).map_err(Diagnostics)?;
        // The policy's own file stays last: its id and its seal are the policy's.
        layers.insert(layers.len().saturating_sub(1), Layer { prefix: TRIED.to_owned(), file });
    }
    let mut beside = Beside { folder, read: Vec::new(), unlisted: options.unlisted };
    let mut served = beside.servers(&layers).map_err(Diagnostics)?;
    let server_policies = server_policies(&mut served, &mut beside, options)?;
    let exec_policies = exec_policies(&layers, &mut beside, options)?;
    let ceiling = options.ceiling.as_ref().map(|ceiling| ceiling.0.as_ref());
    let resolved =
        resolve(&layers, &name, ceiling, served.iter().map(|one| one.rule.clone()).collect()).map_err(Diagnostics)?;
    let servers: Vec<McpServer> = served.iter().map(|one| one.server.clone()).collect();
    let schema = cedar::schema(&servers).map_err(|e| Diagnostics::from(Diagnostic::of("schema", e.to_string())))?;
    let written = written(&resolved, &mut beside, &schema).map_err(Diagnostics)?;
    let rules =
        cedar::compile(written, &schema).map_err(|e| Diagnostics::from(Diagnostic::of(&name, e.to_string())))?;
    let own = layers.last();
    let sealed = own.and_then(|layer| layer.file.seal.as_ref());
    if let Some(seal) = sealed.filter(|_| options.seal) {
        seal::check(&source, seal, &beside.read)?;
    }
    let mcp = served.into_iter().map(|one| (one.rule.name, one.list)).collect();
    let own_cells: Vec<(String, String)> =
        exec_policies.iter().map(|(id, _, own)| (id.clone(), own.digest.clone())).collect();
    let bundle = bundle(&resolved, rules, mcp, &own_cells, &name);
    let tests = own.map_or(&[][..], |layer: &Layer| &layer.file.tests);
    let mut policy = policy(resolved, bundle, tests.to_vec());
    policy.server_policies = server_policies;
    within_caller(&policy, &exec_policies).map_err(Diagnostics)?;
    policy.exec_policies = exec_policies.into_iter().map(|(id, _, own)| (id, own)).collect();
    policy.sealed = sealed.is_some();
    policy.unpinned = own.map_or_else(Vec::new, |layer| {
        let bare = layer.file.extends.iter().filter(|entry| !entry.value.contains('@'));
        bare.map(|entry| (entry.value.clone(), entry.place.origin())).collect()
    });
    if options.tests {
        let failures = testing::run(&policy, tests)?;
        if !failures.is_empty() {
            return Err(Diagnostics(failures));
        }
    }
    Ok((policy, beside.read))
}

/// The policies of commands' own cells, with where each is named.
fn exec_policies(
    layers: &[Layer],
    beside: &mut Beside<'_>,
    options: &Options,
) -> Result<Vec<(String, Place, Policy)>, Diagnostics> {
    let ceiling = options.ceiling.as_ref().map(Ceiling::undemanding);
    let options = Options { ceiling, seal: false, name: None, ..options.clone() };
    let mut policies = Vec::new();
    for entry in layers.iter().flat_map(|layer| &layer.file.exec) {
        let Some(named) = &entry.policy else { continue };
        let source = beside.policy(named).map_err(|error| Diagnostics(vec![error]))?;
        let (policy, _) = build(source, None, &options, None)?;
        policies.push((entry.id.value.clone(), named.place.clone(), policy));
    }
    Ok(policies)
}

/// Layers of a cell: what they give it, the caller must have.
const CELL: [&str; 6] = ["cgroup", "rlimit", "fs", "landlock", "seccomp", "egress"];

/// Refuses a command's policy that gives its cell what its caller has not.
fn within_caller(policy: &Policy, own: &[(String, Place, Policy)]) -> Result<(), Vec<Diagnostic>> {
    let mut errors = Vec::new();
    for (id, place, own) in own {
        let changes = match diff(policy, own) {
            Ok(changes) => changes,
            Err(error) => return Err(vec![Diagnostic::at(place, error.to_string())]),
        };
        let of_cell = |change: &&Change| CELL.contains(&change.layer) || change.key.starts_with("require.");
        for change in changes.iter().filter(of_cell).filter(|change| change.direction != Direction::Narrowed) {
            let message = format!(
                "the policy of [[exec]] \"{id}\" gives its cell more than this one: {} {}",
                change.key, change.what
            );
            errors.push(
                Diagnostic::at(place, message).help("narrow it, or widen this policy, which is what a person reviews"),
            );
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// The policies of the servers' cells: each is loaded as a policy of its own, beneath the same ceiling.
fn server_policies(
    served: &mut [Served],
    beside: &mut Beside<'_>,
    options: &Options,
) -> Result<Vec<(String, Policy)>, Diagnostics> {
    // A seal and tests are asked of the policy that is run; this one's seal covers the files that it names.
    let ceiling = options.ceiling.as_ref().map(Ceiling::undemanding);
    let options = Options { ceiling, seal: false, name: None, ..options.clone() };
    let mut policies = Vec::new();
    for one in served {
        let source = beside.policy(&one.policy).map_err(|error| Diagnostics(vec![error]))?;
        let (policy, _) = build(source, None, &options, None)?;
        // Without a folder nothing beside it can be read, and so it can have no servers itself.
        one.rule.policy_digest.clone_from(&policy.digest);
        policies.push((one.rule.name.clone(), policy));
    }
    Ok(policies)
}

fn written(
    resolved: &Resolved,
    beside: &mut Beside<'_>,
    schema: &Schema,
) -> Result<Vec<written::Rule>, Vec<Diagnostic>> {
    let mut rules = generate(resolved);
    let models = resolved.models.iter().flat_map(|rule| rule.models.iter().map(String::as_str)).collect();
    let known = cedar_file::Known { agent: &resolved.id, models };
    let (mut errors, mut count) = (Vec::new(), 0usize);
    for file in &resolved.cedar {
        let opened = beside.read(file);
        match opened.map_err(|e| vec![e]).and_then(|source| cedar_file::rules(source, schema, &known)) {
            Err(found) => errors.extend(found),
            Ok(found) => {
                count = count.saturating_add(found.len());
                if count > cedar_file::MAX_POLICIES {
                    let message =
                        format!("more than {} Cedar policies in all files together", cedar_file::MAX_POLICIES);
                    return Err(vec![
                        Diagnostic::at(&file.place, message).help("write fewer; one can name several actions"),
                    ]);
                }
                for rule in found {
                    if let Some(twin) = rules.iter().find(|r| r.id == rule.id) {
                        let place = twin.origin.as_ref().map(|o| format!(" by the rule at {o}")).unwrap_or_default();
                        let message = format!("the id \"{}\" is taken{place}", rule.id);
                        let line = rule.origin.as_ref().map(|o| o.line).unwrap_or_default();
                        let at = rule.origin.as_ref().map_or_else(|| file.value.clone(), |o| o.file.clone());
                        errors.push(Diagnostic::of(format!("{at}:{line}"), message).help("give it another @id"));
                    } else {
                        rules.push(rule);
                    }
                }
            }
        }
    }
    if errors.is_empty() { Ok(rules) } else { Err(errors) }
}

fn bundle(
    resolved: &Resolved,
    rules: Vec<Rule>,
    mcp: Vec<(String, String)>,
    own_cells: &[(String, String)],
    file: &str,
) -> Bundle {
    let denied = |e: &Entry<PathRule>| match &e.value {
        PathRule::Workspace(path) => Some(path.clone()),
        PathRule::Host(_) => None,
    };
    let mut workspace_deny: Vec<String> = resolved.deny.iter().filter_map(denied).collect();
    workspace_deny.sort();
    workspace_deny.dedup();
    Bundle {
        version: VERSION,
        policy: resolved.id.clone(),
        file: file.to_owned(),
        digest: digest(resolved, &rules, own_cells),
        calls: resolved.limits.calls,
        concurrent: resolved.concurrent.iter().map(|limit| limit.value.clone()).collect(),
        tool_walls: resolved.tool_walls.iter().map(|limit| limit.value.clone()).collect(),
        output: resolved.limits.output,
        file_size: resolved.limits.file_size,
        journal: resolved.limits.journal,
        private: resolved.private.iter().map(|entry| entry.value.clone()).collect(),
        compact_ms: resolved.compact.as_ref().map(|time| time.value),
        keep_ms: resolved.keep.as_ref().map(|time| time.value),
        exec: resolved.exec.iter().map(|(rule, _)| rule.clone()).collect(),
        egress: resolved.egress.clone(),
        ceiling_egress: resolved.ceiling_egress.clone(),
        mcp,
        models: resolved.models.iter().map(|model| (model.name.clone(), model.models.clone())).collect(),
        workspace_deny,
        listed: listed(resolved.allow.iter().chain(&resolved.ask)),
        user_permits: rules.iter().any(|rule| rule.kind == RuleKind::Allow && rule.author),
        rules,
    }
}

fn policy(resolved: Resolved, bundle: Bundle, tests: Vec<TestText>) -> Policy {
    let settings = settings(&resolved);
    let denied = listed(resolved.forbid.iter());
    let rules = |list: Vec<Entry<PathRule>>| {
        list.into_iter().map(|e| FsRule { origin: e.place.origin(), id: e.id, path: e.value }).collect()
    };
    Policy {
        id: resolved.id,
        digest: bundle.digest.clone(),
        require: resolved.require,
        limits: resolved.limits,
        concurrent: bundle.concurrent.clone(),
        tool_walls: bundle.tool_walls.clone(),
        rates: resolved.rates.into_iter().map(|rate| rate.value).collect(),
        fs: Fs {
            read: rules(resolved.read),
            write: rules(resolved.write),
            execute: rules(resolved.execute),
            deny: rules(resolved.deny),
        },
        workspaces: resolved.workspaces,
        env: resolved.env.into_iter().map(|(name, (value, _))| (name, value)).collect(),
        env_pass: resolved.env_pass.into_iter().map(|name| name.value).collect(),
        exec: bundle.exec.clone(),
        syscalls: resolved.syscalls,
        egress: resolved.egress,
        sockets: resolved.unix.into_iter().map(|e| SocketRule { origin: e.place.origin(), path: e.value }).collect(),
        mcp: resolved.mcp,
        models: resolved.models,
        server_policies: Vec::new(),
        exec_policies: Vec::new(),
        secrets: resolved.secrets,
        approvals_expire_ms: resolved.expires.0,
        narrowed: resolved.narrowed,
        unreachable: resolved.unreachable,
        settings,
        denied,
        tests,
        sealed: false,
        unpinned: Vec::new(),
        remarks: Vec::new(),
        bundle,
    }
}

impl Ceiling {
    /// The text it was read from.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.source.text
    }
}
