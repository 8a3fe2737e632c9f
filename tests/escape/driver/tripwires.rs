//! What must not have moved on the host, whatever an attack says of itself.

use super::scene::Scene;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// Everything an attack has set off, in words; empty if nothing.
pub fn check(scene: &mut Scene, workspace: &Path) -> Vec<String> {
    let mut moved = Vec::new();
    if scene.victim_died() {
        moved.push("a process of the host was killed".to_owned());
    }
    match scene.services.take_visits() {
        0 => {}
        n => moved.push(format!("{n} connections reached services of the host")),
    }
    let shown = scene.shown();
    if !shown.is_empty() {
        moved.push(format!("the operator's terminal shows {shown:?}"));
    }
    let canary = fs::read_to_string(scene.root().join("canary")).unwrap_or_default();
    if canary.trim() != scene.secret {
        moved.push("the canary was changed".to_owned());
    }
    if fs::read_to_string(scene.root().join("target")).is_ok_and(|t| t != "untouched\n") {
        moved.push("a file of the host was changed".to_owned());
        fs::write(scene.root().join("target"), "untouched\n").unwrap();
    }
    moved.extend(planted(workspace).into_iter().map(|p| format!("left in the workspace: {p}")));
    moved
}

/// Privileged programs and devices that were not there before. They are removed.
fn planted(workspace: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(workspace).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(meta) = fs::symlink_metadata(entry.path()) else { continue };
        if !name.starts_with("escape-") {
            continue;
        }
        let mode = meta.permissions().mode();
        if mode & 0o6000 != 0 && meta.is_file() {
            found.push(format!("{name}: mode {mode:o}, owner {}", meta.uid()));
        }
        if [0o020_000, 0o060_000].contains(&(mode & 0o170_000)) {
            found.push(format!("{name}: a device"));
        }
        if name.starts_with("escape-owned") && meta.uid() == 0 && fs::metadata(workspace).is_ok_and(|w| w.uid() != 0) {
            found.push(format!("{name}: owned by root"));
        }
        let gone = if meta.is_dir() { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
        gone.ok();
    }
    found
}

/// Processes that run this very program file, but for the listed; they are killed.
pub fn leftovers(program: &Path, not: &[u32]) -> Vec<u32> {
    let Ok(wanted) = fs::metadata(program) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(exe) = fs::metadata(entry.path().join("exe")) else { continue };
        if (exe.dev(), exe.ino()) == (wanted.dev(), wanted.ino()) && !not.contains(&pid) {
            found.push(pid);
            let target = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
            nix::sys::signal::kill(target, nix::sys::signal::Signal::SIGKILL).ok();
        }
    }
    found
}
