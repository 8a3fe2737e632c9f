//! The policies that are decided with.

use std::error::Error;
use std::fmt::Write as _;
use stockade_policy::{Bundle, load};
use tempfile::TempDir;

const FILE: &str = "bench.toml";

/// A policy as an author keeps it.
pub struct Written(TempDir);

impl Written {
    /// Reads, validates and compiles it.
    pub fn compile(&self) -> Result<Bundle, Box<dyn Error>> {
        Ok(load(&self.0.path().join(FILE)).map_err(|e| e.to_string())?.bundle())
    }
}

/// A policy whose rules are of every kind, `rules` of them: see [`MIXED`].
pub fn mixed(rules: usize) -> Result<Written, Box<dyn Error>> {
    // Ten rules are there always: one for each tool, and three gates.
    let per_hundred = |share: usize| rules * share / 100;
    let (denied, commands) = (per_hundred(20), per_hundred(25));
    let author = rules.saturating_sub(9 + denied + commands);
    let mut cedar = String::new();
    for n in 0..author {
        cedar.push_str(&author_rule(n));
    }
    written(denied, commands, &cedar)
}

/// What [`mixed`] is made of, in words.
pub const MIXED: &str = "20% fs.deny trees, 25% [[exec]] entries, tools.allow, gates over 40 fs.write trees, and the \
    author's Cedar: by tree and size, by name (like), by program and argument, by command and count, by rate and hour";

/// `rules` of the author's on one action, none of which can be left out: every condition begins with `like`.
pub fn hostile(rules: usize) -> Result<Written, Box<dyn Error>> {
    let mut cedar = String::new();
    for n in 0..rules {
        writeln!(
            cedar,
            "forbid (principal, action == Action::\"workspace.write\", resource) \
             when {{ context.args.path like \"*.secret{n}\" && context.args.size > {n} }};"
        )?;
    }
    written(0, 0, &cedar)
}

/// Nothing but what is there always.
pub fn empty() -> Result<Written, Box<dyn Error>> {
    written(0, 0, "")
}

fn author_rule(n: usize) -> String {
    match n % 5 {
        0 => format!(
            "forbid (principal, action == Action::\"workspace.write\", resource in Path::\"@workspace/src/m{n}\") \
             when {{ context.args.size > {} }};\n",
            n * 100
        ),
        1 => {
            let tool = ["read", "write", "list"].get(n / 5 % 3).unwrap_or(&"read");
            format!(
                "forbid (principal, action == Action::\"workspace.{tool}\", resource) \
                 when {{ context.args.path like \"*.key{n}\" }};\n"
            )
        }
        2 => format!(
            "forbid (principal, action == Action::\"exec\", resource == Program::\"/usr/bin/tool{n}\") \
             when {{ context.args.argv.contains(\"--force{n}\") }};\n"
        ),
        3 => format!(
            "forbid (principal, action == Action::\"exec\", resource) \
             when {{ context has rule && context.rule == \"command{n}\" && context.args.argc > {} }};\n",
            200 + n
        ),
        _ => {
            let tool = ["random", "workspace.stat", "workspace.write", "exec"].get(n / 5 % 4).unwrap_or(&"random");
            format!(
                "forbid (principal, action == Action::\"{tool}\", resource) \
                 when {{ context.calls.minute > {} || context.now.hour > 23 }};\n",
                1000 + n
            )
        }
    }
}

fn written(denied: usize, commands: usize, cedar: &str) -> Result<Written, Box<dyn Error>> {
    let list = |count: usize, one: &dyn Fn(usize) -> String| {
        (0..count).map(|n| format!("{:?}", one(n))).collect::<Vec<_>>().join(", ")
    };
    let mut text = format!(
        "version = 1\nid = \"bench\"\nextends = [\"preset:base\"]\n\
         [tools]\nallow = [\"workspace.read\", \"workspace.write\", \"workspace.list\", \"workspace.stat\", \
         \"clock\", \"random\", \"exec\"]\ncedar = [\"tools.cedar\"]\n[fs]\nwrite = [{}]\ndeny = [{}]\n",
        list(40, &|n| if n == 39 { "@workspace/src".to_owned() } else { format!("@workspace/tree{n}") }),
        list(denied, &|n| format!("@workspace/src/deny{n}")),
    );
    for n in 0..commands {
        write!(text, "[[exec]]\nid = \"command{n}\"\ncommand = [\"/usr/bin/tool{n}\", \"run\"]\nwall = \"1s\"\n")?;
    }
    let folder = tempfile::Builder::new().prefix("stockade-bench-").tempdir()?;
    std::fs::write(folder.path().join(FILE), text)?;
    std::fs::write(folder.path().join("tools.cedar"), cedar)?;
    Ok(Written(folder))
}
