//! A policy to start from.

use crate::language::{Key, Kind, POLICY, Section};
use crate::load::parse_policy;
use crate::presets::{preset, preset_names};
use std::fmt::Write as _;

/// Sections that a starter shows, in its order.
const SHOWN: [&str; 6] = ["limits", "env", "exec", "egress", "syscalls.add", "approvals"];

/// A commented policy on a preset, by its name with or without version; `None` if there is no such preset.
#[must_use]
pub fn starter(name: &str, id: &str) -> Option<String> {
    let full = preset_names().filter(|known| *known == name || known.split('@').next() == Some(name)).last()?;
    let about: Vec<&str> = preset(full)?.lines().take_while(|line| line.starts_with('#')).collect();
    let mut text = format!(
        "# What this agent may do. What is not said is denied; a key that is not in docs/policy.md is an error.\n\
         # Look at it with: stockade policy check, show --resolved, test, explain FILE …\n\
         version = 1\nid      = \"{id}\"\n\n# preset:{full}:\n{}\nextends = [\"preset:{full}\"]\n\n",
        about.join("\n").replace("# ", "#   "),
    );
    text.push_str(&body(&text));
    for section in POLICY.all().into_iter().filter(|section| SHOWN.contains(&section.name)) {
        shown(section, &mut text);
    }
    Some(text)
}

/// What every agent needs an answer to.
const FILES: &str = "\
[fs]
# Trees the agent may read, write, start programs from; and what nobody may touch.
# `@workspace` is the folder that a run is given.
read    = [\"@workspace\"]
write   = [\"@workspace/out\"]
# execute = [\"@workspace/bin\"]
# deny    = [\"@workspace/.git/hooks\"]

[tools]
# Calls of a wasm agent. Each also needs its path, command or host allowed.
allow = [\"workspace.read\", \"workspace.list\", \"workspace.stat\", \"workspace.write\"]
# ask   = [\"workspace.write\"]     # only with a person's approval
# cedar = [\"tools.cedar\"]         # rules of your own, beside this file

";

const TESTS: &str = "\
# What must hold; run whenever the policy is loaded.
[[test]]
call   = \"workspace.write\"
args   = { path = \"out/report.md\", content = \"\" }
expect = \"allow\"

";

const NOT_TOLD: &str = "\
[[test]]
call   = \"workspace.write\"
args   = { path = \"notes.md\", content = \"\" }
expect = \"deny\"
reason = \"only out/ is the agent's to write\"

";

const REST: &str = "\
[[test]]
path   = \"/etc/shadow\"
expect = \"deny\"
";

/// The body, as it suits the preset best: with entries of its own; without, on a preset whose agent writes all of its
/// workspace; or without a write that is allowed, where the preset's never is.
fn body(head: &str) -> String {
    let commented = |line: &str| {
        let entry = line.split_once(" = ").is_some_and(|(key, _)| ["read", "write", "allow"].contains(&key.trim_end()));
        if entry { format!("# {line}\n") } else { format!("{line}\n") }
    };
    let bare: String = FILES.lines().map(commented).collect();
    let bodies = [format!("{FILES}{TESTS}{NOT_TOLD}{REST}"), format!("{bare}{TESTS}{REST}"), format!("{bare}{REST}")];
    let loads = |body: &&String| parse_policy("starter", &format!("{head}{body}")).is_ok();
    bodies.iter().find(loads).cloned().unwrap_or_default()
}

/// A section as comments, with each key's meaning and an example.
fn shown(section: &Section, text: &mut String) {
    let array = matches!(section.name, "exec" | "egress" | "syscalls.add");
    let head = if array { format!("[[{}]]", section.name) } else { format!("[{}]", section.name) };
    // Writing to a String can't fail.
    let _ = writeln!(text, "\n# {head}");
    let plain = |key: &&Key| !matches!(key.kind, Kind::Table(_) | Kind::Tables(_));
    for key in section.keys.iter().filter(plain) {
        let example = format!("{} = {}", key.name, key.example);
        let _ = writeln!(text, "# {example:<40} # {}", key.meaning.replace('`', "").replace('\n', " "));
    }
}
