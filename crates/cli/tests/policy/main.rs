//! `stockade policy …` as it is built, on files of a folder of its own. Pages are compared with those kept in
//! `tests/golden`; `UPDATE_GOLDEN=1` writes them anew: read the difference before committing it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod ceiling;
mod check;
mod diff;
mod explain;
mod files;
mod generated;
mod run;
mod schema;
mod screen;
mod show;
mod tested;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// Limits of a policy that stands on no preset, so that no preset's change shows in a page.
pub const LIMITS: &str = "\
version = 1
id      = \"agent\"

[limits]
memory    = \"256MiB\"
cpu       = \"50%\"
pids      = 32
wall      = \"10m\"
fuel      = 1_000_000
tables    = 1000
output    = \"1MiB\"
files     = 64
file_size = \"4MiB\"
calls     = 100
journal   = \"64MiB\"
";

/// A small policy with a bit of everything that can be asked.
pub fn policy() -> String {
    format!(
        "{LIMITS}
[fs]
read  = [\"@workspace\", \"/usr\"]
write = [\"@workspace/out\"]
deny  = [\"@workspace/.git\"]

[tools]
allow = [\"workspace.read\", \"workspace.write\"]
ask   = [\"workspace.stat\"]
deny  = [\"random\"]

[[test]]
call   = \"workspace.read\"
args   = {{ path = \"a.txt\" }}
expect = \"allow\"

[[test]]
call   = \"workspace.write\"
args   = {{ path = \"a.txt\", content = \"\" }}
expect = \"deny\"
reason = \"only out/ is the agent's to write\"
"
    )
}

/// A folder with files, gone at the end.
pub struct Place(tempfile::TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn with(files: &[(&str, &str)]) -> Self {
        let place = Self::new();
        files.iter().for_each(|(name, text)| place.put(name, text));
        place
    }

    pub fn put(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stockade"));
        command.args(args).current_dir(self.0.path());
        for name in ["COLUMNS", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
            command.env_remove(name);
        }
        command
    }

    /// `stockade policy` with arguments, beneath no ceiling of the host that the tests run on.
    pub fn policy(&self, args: &[&str]) -> Done {
        let mut all = vec!["policy"];
        all.extend(args);
        let takes = ["check", "show", "diff", "test", "explain"];
        if takes.contains(&args[0]) && !args.contains(&"--ceiling") {
            all.insert(2, "--no-ceiling");
        }
        Done::of(self.command(&all).output().unwrap())
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Done {
    pub fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().expect("an exit code"), out: text(output.stdout), err: text(output.stderr) }
    }

    #[track_caller]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}", self.out))
    }

    #[track_caller]
    pub fn says(self, part: &str) -> Self {
        assert!(self.out.contains(part) || self.err.contains(part), "no {part:?} in:\n{}\n{}", self.out, self.err);
        self
    }
}

/// Compares a page, digests aside, with the one that is kept.
#[track_caller]
pub fn golden(name: &str, page: &str) {
    let page = without_digests(page);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == page, "{name} differs; the page is now:\n{page}");
}

fn without_digests(page: &str) -> String {
    let mut out = String::new();
    let mut rest = page;
    while let Some(at) = rest.find(|c: char| c.is_ascii_hexdigit()) {
        let (before, from) = rest.split_at(at);
        let end = from.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(from.len());
        let (run, after) = from.split_at(end);
        out.push_str(before);
        out.push_str(if run.len() == 64 { "DIGEST" } else { run });
        rest = after;
    }
    out + rest
}
