//! A host's ceiling as the launcher reads it: numbers, names of trees and digests, and no text to parse.

use crate::language::{CEILING, Kind};
use crate::load::Ceiling;
use crate::model::LAYERS;
use crate::path::PathRule;
use crate::seccomp;
use crate::text::Located;
use sha2::{Digest, Sha256};
use stockade_plan::ceiling::{Ceiling as Compiled, WORKSPACE};

/// Compiles a ceiling for this version's launcher. Filters are those of this version, so it is compiled anew when
/// stockade is upgraded.
#[must_use]
pub fn compile_ceiling(ceiling: &Ceiling) -> Compiled {
    let file = &ceiling.0;
    let limit = |key: &str| file.limits.get(key).map(|limit| limit.value);
    let small = |key| limit(key).map_or(u32::MAX, |value| u32::try_from(value).unwrap_or(u32::MAX));
    let host = |trees: &Vec<Located<PathRule>>| -> Vec<String> {
        let host = trees.iter().filter_map(|tree| match &tree.value {
            PathRule::Host(path) => Some(path.clone()),
            PathRule::Workspace(_) => None,
        });
        host.collect()
    };
    let execute = file.execute.as_ref().map(|trees| {
        let workspace = trees.iter().any(|tree| matches!(tree.value, PathRule::Workspace(_)));
        let mut all = host(trees);
        all.extend(workspace.then(|| WORKSPACE.to_owned()));
        all
    });
    let syscalls = file.syscalls.as_ref().map(|names| {
        let numbers = names.iter().filter_map(|name| u32::try_from(seccomp::syscall_number(&name.value)?).ok());
        let mut numbers: Vec<u32> = numbers.collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    });
    // The lowest ABI that has every layer which no policy may give up.
    let given_up = |layer: &str| file.degrade_ok.as_ref().is_none_or(|all| all.iter().any(|one| one.value == layer));
    let abi = LAYERS.iter().filter(|(layer, _)| !given_up(layer)).map(|(_, abi)| *abi).max().unwrap_or(1);
    Compiled {
        source_digest: Sha256::digest(file.source.text.as_bytes()).into(),
        memory: limit("memory").unwrap_or_else(|| most("memory")),
        pids: small("pids"),
        cpu_millis: small("cpu"),
        files: small("files"),
        file_size: limit("file_size"),
        read: file.read.as_ref().map(host),
        write_workspaces: file.workspaces.as_ref().map(host),
        execute,
        syscalls,
        filters: Some(seccomp::profiles().iter().map(|profile| profile.digest).collect()),
        landlock_abi: u8::try_from(abi).unwrap_or(u8::MAX),
    }
}

/// The most that the language takes.
fn most(key: &str) -> u64 {
    let section = CEILING.all().into_iter().find(|section| section.name == "limits");
    match section.and_then(|section| section.key(key)).map(|key| key.kind) {
        Some(Kind::Size(_, most) | Kind::Count(_, most)) => most,
        _ => u64::MAX,
    }
}
