//! Who links whom: `cargo tree -e normal` against tests/edges/allowed.txt, and edges that no
//! update of that file may bring in.

use crate::sources::root;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Name of the section, package, features.
const PROGRAMS: [(&str, &str, &str); 12] = [
    ("stockade-plan", "stockade-plan", ""),
    ("stockade-wire", "stockade-wire", ""),
    ("stockade-journal", "stockade-journal", ""),
    ("stockade-policy", "stockade-policy", ""),
    ("stockade-launcher", "stockade-launcher", ""),
    ("stockade-notary", "stockade-notary", ""),
    ("stockade-egress", "stockade-egress", ""),
    ("stockade-shim", "stockade-shim", ""),
    ("stockade-supervisor", "stockade-supervisor", ""),
    ("stockade-cli", "stockade-cli", ""),
    ("stockade-cell (run)", "stockade-cell", "run"),
    ("stockade-cell (compile)", "stockade-cell", "compile"),
];

/// A trailing `*` stands for any ending.
struct Never {
    section: &'static str,
    links: &'static [&'static str],
    why: &'static str,
}

const NEVER: &[Never] = &[
    Never { section: "stockade-plan", links: &["*"], why: "the launch contract is no_std and has no dependencies" },
    Never {
        section: "stockade-launcher",
        links: &[
            "serde*",
            "toml*",
            "tokio*",
            "tracing*",
            "log",
            "wasmtime*",
            "cranelift*",
            "cedar*",
            "regex*",
            "clap*",
            "nom",
            "winnow",
            "rayon*",
            "crossbeam*",
            "libseccomp*",
            "procfs*",
            "chrono",
            "stockade-policy",
            "stockade-journal",
            "stockade-wire",
            "stockade-supervisor",
            "stockade-shim",
            "stockade-cell",
        ],
        why: "root's program parses no text, starts no thread, compiles nothing",
    },
    Never {
        section: "stockade-policy",
        links: &[
            "caps",
            "landlock",
            "procfs*",
            "rustix",
            "libseccomp*",
            "tokio*",
            "wasmtime*",
            "stockade-launcher",
            "stockade-supervisor",
            "stockade-shim",
            "stockade-cell",
        ],
        why: "policy is pure code: text in, decisions and bytes out (seccomp programs are made by its build script)",
    },
    Never {
        section: "stockade-journal",
        links: &[
            "tokio*",
            "toml*",
            "cedar*",
            "wasmtime*",
            "rustix",
            "procfs*",
            "landlock",
            "caps",
            "tracing*",
            "stockade-*",
        ],
        why: "evidence rests on hashing, signing and serde alone",
    },
    Never {
        section: "stockade-notary",
        links: &[
            "tokio*",
            "toml*",
            "cedar*",
            "wasmtime*",
            "regex*",
            "clap*",
            "procfs*",
            "hyper*",
            "rustls*",
            "ureq*",
            "stockade-policy",
            "stockade-launcher",
            "stockade-supervisor",
            "stockade-shim",
            "stockade-cell",
        ],
        why: "the holder of the key hashes, signs and writes files; it decides nothing and has no network",
    },
    Never { section: "stockade-wire", links: &["nix", "rustix", "tokio*", "stockade-*"], why: "wire only decodes" },
    Never {
        section: "stockade-egress",
        links: &[
            "toml*",
            "cedar*",
            "wasmtime*",
            "stockade-policy",
            "stockade-journal",
            "stockade-launcher",
            "stockade-supervisor",
            "stockade-shim",
            "stockade-cell",
        ],
        why: "what speaks with the outside decides nothing and records nothing",
    },
    Never {
        section: "stockade-shim",
        links: &["wasmtime*", "cranelift*", "tokio*", "stockade-launcher", "stockade-supervisor", "stockade-cell"],
        why: "the mediator runs nobody's code and holds no privilege",
    },
    Never {
        section: "stockade-supervisor",
        links: &["wasmtime*", "cranelift*", "stockade-launcher", "stockade-shim", "stockade-cell"],
        why: "lifecycle never shares a process with an engine, and starts the others as programs",
    },
    Never {
        section: "stockade-cli",
        links: &["wasmtime*", "cranelift*", "stockade-launcher", "stockade-cell"],
        why: "as the supervisor",
    },
    Never {
        section: "stockade-cell (run)",
        links: &[
            "cranelift-codegen*",
            "cranelift-frontend",
            "cranelift-native",
            "wasmtime-internal-cranelift",
            "wasmtime-internal-winch",
            "winch*",
            "wat",
            "wast",
            "cedar*",
            "toml*",
            "stockade-policy",
            "stockade-journal",
            "stockade-supervisor",
            "stockade-launcher",
            "stockade-shim",
            "stockade-plan",
        ],
        why: "the cell is the hostile side: an engine without a compiler, and nothing that decides or records",
    },
    Never {
        section: "stockade-cell (compile)",
        links: &[
            "wasmtime-wasi*",
            "tokio*",
            "cedar*",
            "toml*",
            "stockade-policy",
            "stockade-journal",
            "stockade-supervisor",
            "stockade-launcher",
            "stockade-shim",
            "stockade-plan",
        ],
        why: "the compiler sees bytes and gives bytes",
    },
];

/// Features of nix that would give `policy` a hand on the system.
const POLICY_NIX: [&str; 6] = ["mount", "sched", "ptrace", "reboot", "kmod", "hostname"];

const UPDATE: &str = "STOCKADE_UPDATE_EDGES=1 cargo test --release -p stockade-tests --test edges links";

/// Lines of `cargo tree`: package and features.
fn tree(package: &str, features: &str) -> Vec<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = std::process::Command::new(cargo);
    command
        .current_dir(root())
        .args(["tree", "--locked", "-e", "normal,no-proc-macro", "--prefix", "none", "--no-dedupe"])
        .args(["--target", "x86_64-unknown-linux-gnu", "-f", "{p}\t{f}", "-p", package]);
    if !features.is_empty() {
        command.args(["--features", features]);
    }
    let out = command.output().expect("cargo runs");
    assert!(out.status.success(), "cargo tree -p {package}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn names(package: &str, features: &str) -> BTreeSet<String> {
    tree(package, features)
        .iter()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| *name != package && !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

/// `[section]` lines, then one name a line; `#` starts a comment.
fn parse(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut sections = BTreeMap::<String, BTreeSet<String>>::new();
    let mut current = None;
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
        match line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            Some(name) => current = Some(sections.entry(name.to_owned()).or_default()),
            None => {
                current.as_mut().expect("a section before the first name").insert(line.to_owned());
            }
        }
    }
    sections
}

fn print(sections: &BTreeMap<String, BTreeSet<String>>) -> String {
    let mut text = format!(
        "# What each program and crate links, direct or not (cargo tree -e normal, without proc macros).\n\
         # A new name here is code that runs with that program's rights: say in the commit why it is worth it.\n\
         # Written by: {UPDATE}\n"
    );
    for (section, names) in sections {
        let _ = write!(text, "\n[{section}]\n");
        names.iter().for_each(|n| text.push_str(&format!("{n}\n")));
    }
    text
}

#[test]
fn links_are_the_committed_ones() {
    let file = root().join("tests/edges/allowed.txt");
    let found: BTreeMap<_, _> =
        PROGRAMS.iter().map(|(section, package, features)| ((*section).to_owned(), names(package, features))).collect();
    if std::env::var_os("STOCKADE_UPDATE_EDGES").is_some() {
        std::fs::write(&file, print(&found)).unwrap();
        return;
    }
    let allowed = parse(&std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display())));
    let mut faults = String::new();
    for (section, names) in &found {
        let listed = allowed.get(section).cloned().unwrap_or_default();
        names.difference(&listed).for_each(|n| _ = writeln!(faults, "  {section} now links {n}"));
        listed.difference(names).for_each(|n| _ = writeln!(faults, "  {section} no longer links {n}"));
    }
    allowed.keys().filter(|s| !found.contains_key(*s)).for_each(|s| _ = writeln!(faults, "  nobody is called {s}"));
    assert!(
        faults.is_empty(),
        "dependencies differ from tests/edges/allowed.txt:\n{faults}If this is meant, run\n  {UPDATE}\nand commit \
         the file, saying why."
    );
}

#[test]
fn links_that_must_never_be_are_not() {
    let mut faults = String::new();
    for never in NEVER {
        let (_, package, features) =
            PROGRAMS.iter().find(|(s, ..)| *s == never.section).expect("a rule names a known section");
        for name in names(package, features) {
            if let Some(pattern) = never.links.iter().find(|p| matches(p, &name)) {
                let _ = writeln!(faults, "  {} links {name} (never {pattern}: {})", never.section, never.why);
            }
        }
    }
    assert!(faults.is_empty(), "edges that must never be (no list can allow them; see `NEVER` here):\n{faults}");
}

#[test]
fn policy_has_no_hand_on_the_system() {
    let lines = tree("stockade-policy", "");
    let nix = lines.iter().find(|l| l.starts_with("nix ")).map(String::as_str).unwrap_or_default();
    let features: Vec<_> = nix.split('\t').nth(1).unwrap_or_default().split(',').collect();
    let held: Vec<_> = POLICY_NIX.iter().filter(|f| features.contains(f)).collect();
    assert!(held.is_empty(), "stockade-policy uses nix with {held:?}; it may read files, no more");
}

#[test]
fn a_pattern_matches_what_it_says() {
    assert!(matches("serde*", "serde_core") && matches("*", "x") && matches("log", "log"));
    assert!(!matches("log", "logos") && !matches("serde*", "xserde"));
    let text = "# c\n[a]\nx\ny\n[b]\n";
    assert_eq!(parse(&print(&parse(text))), parse(text));
}
