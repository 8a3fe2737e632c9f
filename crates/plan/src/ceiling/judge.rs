//! A plan held against the ceiling.

use alloc::format;
use alloc::string::{String, ToString};

use super::{Ceiling, CeilingError, CeilingKey, WORKSPACE};
use crate::{AdditionAction, Plan, Role, Slot, What};

/// `RLIMIT_FSIZE` and `RLIMIT_NOFILE` (getrlimit(2)).
const FSIZE: u8 = 1;
const NOFILE: u8 = 7;
/// Where workspaces and journals appear.
const WORKSPACE_DEST: &str = "/workspace";
const JOURNAL_DEST: &str = "/journal";
/// Device nodes that hold no state of the host.
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

fn over(key: CeilingKey, asked: impl ToString, allowed: impl ToString) -> CeilingError {
    CeilingError { key, asked: asked.to_string(), allowed: allowed.to_string() }
}

fn at_most<T: PartialOrd + ToString>(key: CeilingKey, asked: T, allowed: T) -> Result<(), CeilingError> {
    if asked <= allowed { Ok(()) } else { Err(over(key, asked, allowed)) }
}

fn beneath(path: &str, top: &str) -> bool {
    top == "/" || path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn covered(key: CeilingKey, path: &str, list: Option<&alloc::vec::Vec<String>>) -> Result<(), CeilingError> {
    match list {
        None => Ok(()),
        Some(list) if list.iter().any(|top| beneath(path, top)) => Ok(()),
        Some(list) if list.is_empty() => Err(over(key, path, "none")),
        Some(list) => Err(over(key, path, format!("{} and what is beneath", list.join(", ")))),
    }
}

impl Ceiling {
    /// Holds a plan against the ceiling. `sources` are the real paths of the descriptors behind its slots, as the
    /// kernel tells them; `libexec` is the folder of our programs.
    ///
    /// # Errors
    /// The first key that the plan is over with.
    pub fn check(&self, plan: &Plan, sources: &[(Slot, String)], libexec: &str) -> Result<(), CeilingError> {
        let program = match plan.role {
            Role::Shim => "stockade-shim",
            Role::Wasm => "stockade-cell",
            Role::Native => "stockade-init",
            Role::Compile => "stockade-compile",
            Role::Egress => "stockade-egress",
        };
        let (program, path) = (format!("{libexec}/{program}"), source(sources, plan.exec.program));
        if path != program {
            return Err(over(CeilingKey::Program, path, program));
        }
        if matches!(plan.role, Role::Wasm | Role::Native) {
            self.check_limits(plan)?;
        }
        self.check_mounts(plan, sources)?;
        self.check_rules(plan)?;
        self.check_filter(plan)?;
        if plan.landlock.abi < self.landlock_abi {
            let asked = format!("ABI {}", plan.landlock.abi);
            return Err(over(CeilingKey::Landlock, asked, format!("ABI {} and above", self.landlock_abi)));
        }
        Ok(())
    }

    fn check_limits(&self, plan: &Plan) -> Result<(), CeilingError> {
        let limits = plan.limits.ok_or_else(|| over(CeilingKey::Memory, "no limit", self.memory))?;
        at_most(CeilingKey::Memory, limits.memory, self.memory)?;
        at_most(CeilingKey::Pids, limits.pids, self.pids)?;
        at_most(CeilingKey::Cpu, limits.cpu_millis, self.cpu_millis)?;
        let rlimit = |resource| plan.rlimits.iter().filter(move |l| l.resource == resource).map(|l| l.value).max();
        at_most(CeilingKey::Files, rlimit(NOFILE).unwrap_or(u64::MAX), self.files.into())?;
        match self.file_size {
            Some(size) => at_most(CeilingKey::FileSize, rlimit(FSIZE).unwrap_or(u64::MAX), size),
            None => Ok(()),
        }
    }

    fn check_mounts(&self, plan: &Plan, sources: &[(Slot, String)]) -> Result<(), CeilingError> {
        for entry in &plan.root {
            let What::Bind { source: slot, no_exec, device, idmap, .. } = &entry.what else { continue };
            let (path, dest) = (source(sources, *slot), entry.dest.as_str());
            match (dest, idmap) {
                // The shim's own, which no agent sees: its user owns nothing else on the host.
                (JOURNAL_DEST, None) if plan.role == Role::Shim => {}
                (WORKSPACE_DEST, Some(_)) => {
                    covered(CeilingKey::Workspaces, path, self.write_workspaces.as_ref())?;
                    if !no_exec {
                        covered(CeilingKey::Execute, WORKSPACE, self.execute.as_ref())?;
                    }
                }
                _ if *device => {
                    if path != dest || !DEVICES.contains(&path) {
                        return Err(over(CeilingKey::Read, format!("device {path}"), DEVICES.join(", ")));
                    }
                }
                _ => {
                    if path != dest {
                        return Err(over(CeilingKey::Read, format!("{path} as {dest}"), "trees in their own place"));
                    }
                    covered(CeilingKey::Read, path, self.read.as_ref())?;
                    // A mount is noexec unless something in it may be executed; Landlock says what.
                    let execute = self.execute.as_ref().filter(|_| !no_exec);
                    if execute.is_some_and(|list| !list.iter().any(|top| beneath(path, top) || beneath(top, path))) {
                        covered(CeilingKey::Execute, path, execute)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn check_rules(&self, plan: &Plan) -> Result<(), CeilingError> {
        let rules = plan.landlock.rules.iter().filter(|rule| rule.access.executes());
        for rule in rules {
            let path = if beneath(&rule.path, WORKSPACE_DEST) { WORKSPACE } else { rule.path.as_str() };
            covered(CeilingKey::Execute, path, self.execute.as_ref())?;
        }
        Ok(())
    }

    fn check_filter(&self, plan: &Plan) -> Result<(), CeilingError> {
        if let Some(filters) = &self.filters
            && !filters.contains(&plan.seccomp.digest)
        {
            let hex = |digest: &[u8; 32]| digest.iter().take(6).map(|b| format!("{b:02x}")).collect::<String>();
            let listed = filters.iter().map(hex).collect::<alloc::vec::Vec<_>>().join(", ");
            return Err(over(CeilingKey::Filters, hex(&plan.seccomp.digest), listed));
        }
        let allowed = plan.seccomp.additions.iter().filter(|a| a.action == AdditionAction::Allow);
        for addition in allowed {
            if let Some(listed) = &self.syscalls
                && !listed.contains(&addition.nr)
            {
                let listed = listed.iter().map(ToString::to_string).collect::<alloc::vec::Vec<_>>().join(", ");
                let listed = if listed.is_empty() { "none".into() } else { format!("{listed} (by number)") };
                return Err(over(CeilingKey::Syscalls, addition.nr, listed));
            }
        }
        Ok(())
    }
}

/// A descriptor whose path is not known is nowhere that a ceiling could allow.
fn source(sources: &[(Slot, String)], slot: Slot) -> &str {
    sources.iter().find(|(s, _)| *s == slot).map_or("a place that has no name", |(_, path)| path)
}
