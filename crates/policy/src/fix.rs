//! Whether the change that a denial names does allow the attempt: it is tried, in memory, and asked again.

use crate::attempt::{Attempt, Expect};
use crate::denial::{Denial, EGRESS, EXEC, Fix};
use crate::host::{Endpoint, Method, UrlPath};
use crate::load::{Options, load_changed};
use crate::model::{Origin, Scheme};
use crate::native;
use crate::refusal::APPROVE;
use crate::ruling::{Judge, Ruling};
use crate::testing;
use std::path::Path;
use toml::{Table, Value};

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// With the change it is allowed.
    Allowed {
        /// The entries that were added, as TOML; empty if only an approval was.
        added: String,
        /// Whether an approval is a part of the change.
        approved: bool,
        /// Tests of the policy's own that fail with the change, and did not before.
        failing: Vec<Origin>,
    },
    /// With the change it is not allowed yet.
    Refused {
        /// The entries that were added, as TOML.
        added: String,
        /// Why not.
        reason: String,
    },
    /// The change was not tried.
    NotChecked(String),
}

/// Ids of entries that need one.
const ID: &str = "with-this-change";

/// Tries what the ruling says would allow the attempt. `path` and `options` are those that the policy was loaded
/// with. None if there is nothing to change, or no policy could allow it.
#[must_use]
pub fn check_fix(path: &Path, options: &Options, attempt: &Attempt, ruling: &Ruling) -> Option<Checked> {
    let denial = ruling.denial.as_ref().filter(|denial| denial.fixable)?;
    let mut change = Change { attempt: attempt.clone(), added: Table::new(), approved: false };
    if ruling.verdict == Expect::Ask {
        change.approve();
    } else if denial.fixes.is_empty() {
        return None;
    }
    for fix in &denial.fixes {
        if ruling.verdict == Expect::Ask && fix.change == APPROVE {
            continue;
        }
        if let Err(why) = change.apply(fix, denial) {
            return Some(Checked::NotChecked(why));
        }
    }
    Some(change.put(path, options))
}

struct Change {
    attempt: Attempt,
    added: Table,
    approved: bool,
}

impl Change {
    fn approve(&mut self) {
        if let Attempt::Call { approved, .. } = &mut self.attempt {
            *approved = true;
            self.approved = true;
        }
    }

    fn apply(&mut self, fix: &Fix, denial: &Denial) -> Result<(), String> {
        if fix.change == APPROVE {
            self.approve();
            return Ok(());
        }
        if fix.line.is_some() {
            let place =
                format!("{}:{}", fix.file.as_deref().unwrap_or_default().escape_debug(), fix.line.unwrap_or_default());
            return Err(format!("it takes a change of what stands at {place}, which adding cannot try"));
        }
        let added = match (fix.key.as_str(), &self.attempt) {
            ("tools.allow", Attempt::Call { tool, .. }) => Some(("tools", "allow", tool.clone())),
            ("fs.read", _) => object(&self.attempt, denial).map(|path| ("fs", "read", path)),
            ("fs.write", _) => object(&self.attempt, denial).map(|path| ("fs", "write", path)),
            ("fs.execute", _) => object(&self.attempt, denial).map(|path| ("fs", "execute", path)),
            _ => None,
        };
        if let Some((table, list, value)) = added {
            self.list(table, list, value);
            return Ok(());
        }
        if let ("[[syscalls.add]]", Attempt::Syscall { name, .. }) = (fix.key.as_str(), &self.attempt) {
            self.added.insert("syscalls".to_owned(), syscall(name));
            return Ok(());
        }
        let entry = match (fix.key.as_str(), &self.attempt) {
            (EXEC, Attempt::Call { args, .. }) => command(args).map(|entry| ("exec", entry)),
            (EGRESS, Attempt::Host { endpoint, http }) => place(endpoint, http.as_ref()).map(|entry| ("egress", entry)),
            _ => None,
        };
        let Some((key, entry)) = entry else {
            return Err(format!("what to add to {} is more than the attempt tells", fix.key));
        };
        self.entry(key, entry);
        Ok(())
    }

    fn list(&mut self, table: &str, list: &str, value: String) {
        let Value::Table(table) = self.added.entry(table).or_insert_with(|| Value::Table(Table::new())) else { return };
        let Value::Array(list) = table.entry(list).or_insert_with(|| Value::Array(Vec::new())) else { return };
        let value = Value::String(value);
        if !list.contains(&value) {
            list.push(value);
        }
    }

    fn entry(&mut self, key: &str, entry: Table) {
        let Value::Array(list) = self.added.entry(key).or_insert_with(|| Value::Array(Vec::new())) else { return };
        // One attempt has one command and one place.
        if list.is_empty() {
            list.push(Value::Table(entry));
        }
    }

    /// Loads the policy with the change, and asks it.
    fn put(self, path: &Path, options: &Options) -> Checked {
        let added = self.added.to_string();
        let text = format!("version = 1\nid = \"{ID}\"\n{added}");
        let options = Options { tests: false, ..options.clone() };
        let whole = load_changed(path, &options, &text);
        let policy = match whole {
            Ok(policy) => policy,
            Err(found) => {
                let first = found.iter().next().map(|one| one.message.clone()).unwrap_or_default();
                return Checked::Refused { added, reason: format!("a policy with it does not load: {first}") };
            }
        };
        let judge = match Judge::new(&policy) {
            Ok(judge) => judge,
            Err(error) => return Checked::Refused { added, reason: error.to_string() },
        };
        let ruling = judge.rule(&self.attempt);
        if ruling.verdict != Expect::Allow {
            return Checked::Refused { added, reason: ruling.reason };
        }
        let failed = |policy: &crate::Policy| -> Vec<Origin> {
            let results = testing::run_own(policy).unwrap_or_default();
            results.into_iter().filter(|test| !test.passed).map(|test| test.origin).collect()
        };
        let before = crate::load_with(path, &options).map(|policy| failed(&policy)).unwrap_or_default();
        let failing = failed(&policy).into_iter().filter(|origin| !before.contains(origin)).collect();
        Checked::Allowed { added, approved: self.approved, failing }
    }
}

/// The path as a policy names it.
fn object(attempt: &Attempt, denial: &Denial) -> Option<String> {
    match attempt {
        Attempt::Call { .. } => denial.object.starts_with("@workspace").then(|| denial.object.clone()),
        Attempt::Path { access, .. } => {
            let path = denial.object.strip_prefix(access.name())?.strip_prefix(' ')?;
            let inside = path.strip_prefix(native::WORKSPACE).filter(|rest| rest.is_empty() || rest.starts_with('/'));
            Some(inside.map_or_else(|| path.to_owned(), |rest| format!("@workspace{rest}")))
        }
        Attempt::Host { .. } | Attempt::Syscall { .. } => None,
    }
}

fn syscall(name: &str) -> Value {
    let mut entry = Table::new();
    entry.insert("names".to_owned(), Value::Array(vec![Value::String(name.to_owned())]));
    entry.insert("action".to_owned(), Value::String("allow".to_owned()));
    entry.insert("why".to_owned(), Value::String("say here what needs it".to_owned()));
    let mut syscalls = Table::new();
    syscalls.insert("add".to_owned(), Value::Array(vec![Value::Table(entry)]));
    Value::Table(syscalls)
}

fn command(args: &serde_json::Value) -> Option<Table> {
    let argv = args.get("argv")?.as_array()?;
    let words: Option<Vec<Value>> = argv.iter().map(|word| Some(Value::String(word.as_str()?.to_owned()))).collect();
    let mut entry = Table::new();
    entry.insert("id".to_owned(), Value::String(ID.to_owned()));
    entry.insert("command".to_owned(), Value::Array(words?));
    entry.insert("wall".to_owned(), Value::String("1m".to_owned()));
    Some(entry)
}

fn place(endpoint: &str, http: Option<&crate::attempt::Http>) -> Option<Table> {
    let to: Endpoint = endpoint.parse().ok()?;
    let mut entry = Table::new();
    let mut text = |key: &str, value: String| entry.insert(key.to_owned(), Value::String(value));
    text("id", ID.to_owned());
    text("host", to.host.to_string());
    let scheme = match http {
        None => Scheme::Tcp,
        Some(http) if http.tls => Scheme::Https,
        Some(_) => Scheme::Http,
    };
    text("scheme", scheme.name().to_owned());
    entry.insert("port".to_owned(), Value::Integer(to.port.into()));
    if let Some(http) = http {
        let one = |value: String| Value::Array(vec![Value::String(value)]);
        entry.insert("methods".to_owned(), one(Method::from_call(&http.method).ok()?.to_string()));
        entry.insert("paths".to_owned(), one(UrlPath::from_call(&http.path).ok()?.to_string()));
    }
    Some(entry)
}
