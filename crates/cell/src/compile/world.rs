//! Is the component of the world `stockade:agent/agent` (crates/cell/wit)?
//!
//! Names and versions of imports, and the type of `run`, are checked here, so that an author
//! hears early what is wrong. The cell's linker checks every type again before it runs anything.

use wasmparser::component_types::{ComponentDefinedType, ComponentEntityType, ComponentFuncType, ComponentValType};
use wasmparser::types::{Types, TypesRef};
use wasmparser::{Parser, Payload, PrimitiveValType};

/// Interfaces that an agent may import: package, interface, and the versions that are compatible.
const OFFERED: &[(&str, &str)] = &[
    ("stockade:agent/tools", "0.1"),
    ("stockade:agent/log", "0.1"),
    ("wasi:cli/environment", "0.2"),
    ("wasi:cli/exit", "0.2"),
    ("wasi:cli/stdin", "0.2"),
    ("wasi:cli/stdout", "0.2"),
    ("wasi:cli/stderr", "0.2"),
    ("wasi:cli/terminal-input", "0.2"),
    ("wasi:cli/terminal-output", "0.2"),
    ("wasi:cli/terminal-stdin", "0.2"),
    ("wasi:cli/terminal-stdout", "0.2"),
    ("wasi:cli/terminal-stderr", "0.2"),
    ("wasi:clocks/monotonic-clock", "0.2"),
    ("wasi:clocks/wall-clock", "0.2"),
    ("wasi:filesystem/types", "0.2"),
    ("wasi:filesystem/preopens", "0.2"),
    ("wasi:io/error", "0.2"),
    ("wasi:io/poll", "0.2"),
    ("wasi:io/streams", "0.2"),
    ("wasi:random/random", "0.2"),
    ("wasi:random/insecure", "0.2"),
    ("wasi:random/insecure-seed", "0.2"),
    ("wasi:sockets/network", "0.2"),
    ("wasi:sockets/instance-network", "0.2"),
    ("wasi:sockets/tcp", "0.2"),
    ("wasi:sockets/tcp-create-socket", "0.2"),
    ("wasi:sockets/udp", "0.2"),
    ("wasi:sockets/udp-create-socket", "0.2"),
    ("wasi:sockets/ip-name-lookup", "0.2"),
];

/// How many offending imports a message names.
const NAMED: usize = 12;

/// How a component differs from the agent's world.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WorldMismatch {
    /// It imports what a cell does not offer.
    Imports(Vec<String>),
    /// It has no export `run`. What it exports is given.
    NoRun(Vec<String>),
    /// `run` is something else.
    RunType,
    /// Its sections can't be read; the validator could.
    Unreadable(String),
}

impl std::fmt::Display for WorldMismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const WORLD: &str = "the world is stockade:agent/agent@0.1.0";
        match self {
            Self::Imports(names) => {
                write!(f, "the component imports what no agent is given: ")?;
                list(f, names)?;
                write!(f, "; {WORLD}")
            }
            Self::NoRun(exports) => {
                write!(
                    f,
                    "the component does not export `run: func(task: list<string>) -> result<string, string>`; it exports "
                )?;
                list(f, exports)?;
                write!(f, "; {WORLD}")
            }
            Self::RunType => write!(
                f,
                "the component's export `run` is not `func(task: list<string>) -> result<string, string>`; {WORLD}"
            ),
            Self::Unreadable(e) => write!(f, "the component can't be read: {e}"),
        }
    }
}

fn list(f: &mut std::fmt::Formatter<'_>, names: &[String]) -> std::fmt::Result {
    if names.is_empty() {
        return write!(f, "nothing");
    }
    for (i, name) in names.iter().take(NAMED).enumerate() {
        write!(f, "{}`{name}`", if i == 0 { "" } else { ", " })?;
    }
    match names.len().saturating_sub(NAMED) {
        0 => Ok(()),
        more => write!(f, " and {more} more"),
    }
}

/// Checks a valid component's outermost imports and exports.
pub(super) fn check(bytes: &[u8], types: &Types) -> Result<(), WorldMismatch> {
    let (imports, exports) = names(bytes).map_err(|e| WorldMismatch::Unreadable(e.to_string()))?;
    let foreign: Vec<String> = imports.into_iter().filter(|name| !offered(name)).collect();
    if !foreign.is_empty() {
        return Err(WorldMismatch::Imports(foreign));
    }
    let types = types.as_ref();
    match types.component_item_for_export("run").map(|item| item.ty) {
        Some(ComponentEntityType::Func(id)) if types.get(id).is_some_and(|run| is_run(types, run)) => Ok(()),
        Some(_) => Err(WorldMismatch::RunType),
        None => Err(WorldMismatch::NoRun(exports)),
    }
}

fn names(bytes: &[u8]) -> wasmparser::Result<(Vec<String>, Vec<String>)> {
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let mut depth = 0u32;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    exports.push(export?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok((imports, exports))
}

/// Compatible as the linker has it: same package and interface, same leading version numbers, no
/// pre-release.
fn offered(name: &str) -> bool {
    let Some((interface, version)) = name.split_once('@') else { return false };
    OFFERED.iter().any(|(known, line)| {
        interface == *known
            && version
                .strip_prefix(line)
                .and_then(|rest| rest.strip_prefix('.'))
                .is_some_and(|patch| patch.parse::<u32>().is_ok())
    })
}

fn is_run(types: TypesRef<'_>, run: &ComponentFuncType) -> bool {
    let defined = |ty: &ComponentValType| match ty {
        ComponentValType::Type(id) => types.get(*id),
        ComponentValType::Primitive(_) => None,
    };
    let string = |ty: &ComponentValType| {
        let primitive = match ty {
            ComponentValType::Primitive(p) => Some(*p),
            ComponentValType::Type(_) => match defined(ty) {
                Some(ComponentDefinedType::Primitive(p)) => Some(*p),
                _ => None,
            },
        };
        primitive == Some(PrimitiveValType::String)
    };
    let takes_words = match run.params.as_ref() {
        [(_, ty)] => matches!(defined(ty), Some(ComponentDefinedType::List { element, .. }) if string(element)),
        _ => false,
    };
    let gives_text = run.result.as_ref().is_some_and(|ty| {
        matches!(defined(ty), Some(ComponentDefinedType::Result { ok: Some(ok), err: Some(err), .. }) if string(ok) && string(err))
    });
    !run.async_ && takes_words && gives_text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    const RUN: &str = r#"
        (core module $m
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 0)
            (func (export "run") (param i32 i32) (result i32) i32.const 0))
        (core instance $i (instantiate $m))
        (func (export "run") (param "task" (list string)) (result (result string (error string)))
            (canon lift (core func $i "run") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))"#;

    fn verdict(body: &str) -> Result<(), WorldMismatch> {
        let bytes = wat::parse_str(format!("(component {body})")).unwrap();
        check(&bytes, &crate::compile::input::validate(&bytes).unwrap())
    }

    #[test]
    fn an_agent_is_accepted_with_any_compatible_version() {
        verdict(RUN).unwrap();
        for v in ["0.2.0", "0.2.3", "0.2.12", "0.2.40"] {
            verdict(&format!(r#"(import "wasi:random/insecure-seed@{v}" (instance)) {RUN}"#)).unwrap();
        }
    }

    #[test]
    fn foreign_imports_are_named() {
        for name in [
            "wasi:http/outgoing-handler@0.2.3",
            "wasi:io/poll@0.3.0",
            "wasi:io/poll@0.2.0-rc-2023-11-10",
            "wasi:io/poll",
            "wasi:io/polls@0.2.0",
            "stockade:agent/tools@0.2.0",
        ] {
            let found = verdict(&format!(r#"(import "{name}" (instance)) {RUN}"#));
            assert_eq!(found, Err(WorldMismatch::Imports(vec![name.to_owned()])));
        }
        let found = verdict(&format!(r#"(import "exec" (func)) {RUN}"#));
        assert_eq!(found, Err(WorldMismatch::Imports(vec!["exec".to_owned()])));
    }

    #[test]
    fn run_must_be_there_with_its_type() {
        assert_eq!(verdict(""), Err(WorldMismatch::NoRun(vec![])));
        let other = r#"(core module $m (func (export "f"))) (core instance $i (instantiate $m))
            (func (export "run") (canon lift (core func $i "f")))"#;
        assert_eq!(verdict(other), Err(WorldMismatch::RunType));
        let inner = format!(
            r#"(component $c {RUN}) (instance $i (instantiate $c)) (export "wasi:cli/run@0.2.0" (instance $i))"#
        );
        assert_eq!(verdict(&inner), Err(WorldMismatch::NoRun(vec!["wasi:cli/run@0.2.0".to_owned()])));
    }

    #[test]
    fn the_list_is_the_world_of_the_wit_files() {
        let world = include_str!("../../wit/deps/cli.wit");
        let imports = world.split("world imports {").nth(1).unwrap().split('}').next().unwrap();
        let mut offered: Vec<String> = vec!["stockade:agent/tools".into(), "stockade:agent/log".into()];
        let mut unstable = false;
        for line in imports.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix("import ").and_then(|l| l.strip_suffix(';')) {
                let name = name.split('@').next().unwrap();
                if !std::mem::take(&mut unstable) {
                    offered.push(if name.contains(':') { name.to_owned() } else { format!("wasi:cli/{name}") });
                }
            } else if line.starts_with("@unstable") {
                unstable = true;
            }
        }
        offered.sort();
        let mut listed: Vec<String> = OFFERED.iter().map(|(name, _)| (*name).to_owned()).collect();
        listed.sort();
        assert_eq!(listed, offered);
    }
}
