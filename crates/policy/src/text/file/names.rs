//! Names of all kinds: of policies, tools, variables, programs and syscalls.

use super::super::reader::{Located, Section, suggestion};
use crate::path::PathRule;
use crate::seccomp;
use crate::tool::Tool;

/// Names of policies and entries: they go into records, file names and Cedar ids.
pub(super) fn name(section: &Section<'_>, key: &str) -> Option<Located<String>> {
    let text = section.text(key)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let good = (1..=64).contains(&text.value.len())
        && text.value.chars().all(plain)
        && text.value.starts_with(|c: char| c.is_ascii_alphanumeric());
    if good {
        return Some(text);
    }
    let message = format!("`{}` is not a name", section.full(key));
    section.report(&text.place, message, "use 1 to 64 of a-z A-Z 0-9 - _ . and begin with a letter or digit");
    None
}

/// Names in a list of tools.
pub(super) fn tools(section: &Section<'_>, key: &str) -> Vec<Located<String>> {
    section.strings(key).into_iter().filter_map(|text| tool(section, text)).collect()
}

/// A tool of this program, `*`, or a tool of an MCP server, which `[[mcp]]` must know.
pub(super) fn tool(section: &Section<'_>, text: Located<String>) -> Option<Located<String>> {
    let server = text.value.strip_prefix("mcp.").and_then(|rest| rest.split_once('.'));
    let of_server = server.is_some_and(|(server, tool)| !server.is_empty() && !tool.is_empty());
    let names = Tool::ALL.map(Tool::name);
    let known = text.value == crate::tool::MODEL_CHAT || names.contains(&text.value.as_str());
    if text.value == "*" || of_server || known {
        return Some(text);
    }
    let shown: String = text.value.escape_debug().take(64).collect();
    if text.value == Tool::Tools.name() {
        let help = "remove it: it tells an agent only what it could find out by calling";
        section.report(&text.place, format!("\"{shown}\" may always be called"), help);
        return None;
    }
    let help = match suggestion(&text.value, names.into_iter()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("known: {}, mcp.SERVER.TOOL; \"*\" means all of them", names.join(", ")),
    };
    section.report(&text.place, format!("there is no tool \"{shown}\""), help);
    None
}

/// Whether a variable changes what a program loads before it runs, or is Stockade's own: no agent gets one.
#[must_use]
pub fn surprising(name: &str) -> bool {
    const NAMES: [&str; 4] = ["GLIBC_TUNABLES", "GCONV_PATH", "BASH_ENV", "ENV"];
    name.starts_with("LD_") || name.starts_with("STOCKADE_") || NAMES.contains(&name)
}

fn variable_name(section: &Section<'_>, key: &str, text: Located<String>) -> Option<Located<String>> {
    let shown: String = text.value.escape_debug().take(64).collect();
    let plain = text.value.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && text.value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.value.len() <= 128;
    if !plain {
        let message = format!("\"{shown}\" is not a name of a variable");
        section.report(&text.place, message, "use letters, digits and _, and no = sign");
    } else if surprising(&text.value) {
        let at = if key == "set" { format!("`env.set.{shown}`") } else { format!("`{}`: {shown}", section.full(key)) };
        let message = format!("{at} changes what a program loads before it runs");
        section.report(&text.place, message, "remove it; pass what the agent needs by other names");
    } else {
        return Some(text);
    }
    None
}

/// Names of variables in a list.
pub(super) fn variables(section: &Section<'_>, key: &str) -> Vec<Located<String>> {
    section.strings(key).into_iter().filter_map(|text| variable_name(section, key, text)).collect()
}

/// A variable and its value.
pub(super) fn variable(
    section: &Section<'_>,
    name: Located<String>,
    value: Located<String>,
) -> Option<(Located<String>, String)> {
    let name = variable_name(section, "set", name)?;
    if value.value.chars().any(char::is_control) {
        section.report(&value.place, format!("`env.set.{}` has a control character", name.value), "remove it");
        return None;
    }
    Some((name, value.value))
}

/// A program by its absolute name, and its arguments.
pub(super) fn command(section: &Section<'_>, key: &str, example: &str) -> Option<Vec<String>> {
    if !section.has(key) {
        return None;
    }
    let (words, full) = (section.strings(key), section.full(key));
    let Some(program) = words.first() else {
        section.report(
            &section.place_of(key),
            format!("`{full}` names no program"),
            format!("write {key} = {example}"),
        );
        return None;
    };
    if !matches!(program.value.parse::<PathRule>(), Ok(PathRule::Host(path)) if path != "/") {
        let shown: String = program.value.escape_debug().take(256).collect();
        let message = format!("`{full}` must begin with an absolute, canonical path, not \"{shown}\"");
        section.report(&program.place, message, format!("no shell and no PATH is consulted: write {example}"));
        return None;
    }
    if let Some(word) = words.iter().find(|word| word.value.contains('\0')) {
        section.report(&word.place, "an argument with NUL", "no program can be given one");
        return None;
    }
    Some(words.into_iter().map(|word| word.value).collect())
}

/// Syscalls of this architecture by name.
pub(super) fn syscalls(section: &Section<'_>, key: &str) -> Vec<Located<String>> {
    let known = |text: &Located<String>| {
        let found = seccomp::syscall_number(&text.value).is_some();
        if !found {
            let help = match suggestion(&text.value, seccomp::syscall_names()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => "name it as syscalls(2) does; numbers are not taken".to_owned(),
            };
            let shown: String = text.value.escape_debug().take(64).collect();
            section.report(&text.place, format!("there is no syscall \"{shown}\" on this architecture"), help);
        }
        found
    };
    section.strings(key).into_iter().filter(known).collect()
}
