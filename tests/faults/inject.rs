//! A Stockade whose launcher runs under strace(1).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use stockade_tests::host::{Programs, example_policy};
use tempfile::TempDir;

use crate::trace;

/// What strace does to the launcher.
pub enum Fault<'a> {
    /// The nth call of this name fails with EPERM.
    Error { name: &'a str, nth: usize },
    /// The nth call of this name is not made, and is said to have succeeded.
    Lie { name: &'a str, nth: usize },
    /// Nothing; the calls are written down.
    Watch { log: PathBuf },
}

/// How a run went.
#[derive(Debug)]
pub enum Verdict {
    /// No agent code ran. The step, if the error names one.
    Refused { step: Option<String>, stderr: String },
    /// Every layer was closed and read back; what was executed then failed before the agent's program did anything.
    AfterExec,
    /// It ran; whether every layer of the read-back is in place.
    Ran { whole: bool },
}

/// Programs with a wrapped launcher, a policy, a workspace and a state folder.
pub struct Rig {
    dir: TempDir,
    policy: PathBuf,
}

impl Rig {
    pub fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let bin = dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        let programs = Programs::find();
        for name in
            ["stockade", "stockade-shim", "stockade-init", "stockade-cell", "stockade-compile", "stockade-notary"]
        {
            if programs.path(name).exists() {
                fs::copy(programs.path(name), bin.join(name)).unwrap();
            }
        }
        fs::copy(programs.path("stockade-launcher"), dir.path().join("launcher")).unwrap();
        fs::create_dir(dir.path().join("work")).unwrap();
        fs::create_dir(dir.path().join("state")).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let policy = example_policy(dir.path());
        Self { dir, policy }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Every system call of a launch and how often one process makes it.
    pub fn calls(&self) -> Vec<(String, usize)> {
        let log = self.path("log");
        let verdict = self.run(&Fault::Watch { log: log.clone() });
        assert!(matches!(verdict, Verdict::Ran { whole: true }), "a run under strace alone must work: {verdict:?}");
        let calls = trace::calls(self.dir.path(), "log.");
        for entry in fs::read_dir(self.dir.path()).unwrap().flatten() {
            if entry.file_name().to_string_lossy().starts_with("log.") {
                fs::remove_file(entry.path()).unwrap();
            }
        }
        calls
    }

    /// One run with a fault.
    pub fn run(&self, fault: &Fault<'_>) -> Verdict {
        let launcher = self.path("launcher");
        let strace = match fault {
            Fault::Error { name, nth } => {
                format!("-o /dev/null -e trace={name} -e inject={name}:error=EPERM:when={nth}")
            }
            Fault::Lie { name, nth } => format!("-o /dev/null -e trace={name} -e inject={name}:retval=0:when={nth}"),
            Fault::Watch { log } => format!("-ff -o {}", log.display()),
        };
        // -D: the launcher stays the child of who started it, so that its own child can be born beside it.
        let script = format!("#!/bin/sh\nexec strace -D -f -qq {strace} {}\n", launcher.display());
        let wrapper = self.path("bin/stockade-launcher");
        fs::write(&wrapper, script).unwrap();
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
        let marker = self.path("work/ran");
        let _absent = fs::remove_file(&marker);
        // Not a pipe: a tracer that strace(1) leaves behind would keep it open.
        let errors = self.path("stderr");
        let status = Command::new(self.path("bin/stockade"))
            .args(["run", "--policy"])
            .arg(&self.policy)
            .arg("--workspace")
            .arg(self.path("work"))
            .arg("--state")
            .arg(self.path("state"))
            .args(["--", "/usr/bin/touch", "/workspace/ran"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&errors).unwrap())
            .status()
            .unwrap();
        let stderr = String::from_utf8_lossy(&fs::read(&errors).unwrap()).into_owned();
        let verdict = if marker.exists() {
            // The tracer follows into the agent's program, whose own errors are its own.
            Verdict::Ran { whole: self.read_back_is_whole() }
        } else {
            let code = status.code();
            // The tracer follows through the exec: a fault may also hit stockade-init, whose failure is the run's.
            if matches!(code, Some(20 | 21)) {
                return Verdict::AfterExec;
            }
            assert!(matches!(code, Some(13..=15)), "exit code {code:?}: {stderr}");
            let step = stderr.split("failed at step ").nth(1).and_then(|s| s.split([' ', ':', ';']).next());
            Verdict::Refused { step: step.map(str::to_owned), stderr }
        };
        let _gone = fs::remove_dir_all(self.path("state/runs"));
        verdict
    }

    /// Whether the newest journal's first record says `ok` for every layer.
    fn read_back_is_whole(&self) -> bool {
        let runs = fs::read_dir(self.path("state/runs")).unwrap().flatten().map(|e| e.path());
        let journal = runs.max().map(|run| run.join("journal/00000001.jsonl")).unwrap();
        let text = fs::read_to_string(&journal).unwrap();
        let start: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        let layers = start["enforcement"].as_object().unwrap();
        layers.len() >= 11 && layers.values().all(|layer| layer["ok"] == true)
    }
}

impl Drop for Rig {
    /// A tracer whose launcher died before it was attached waits for ever.
    fn drop(&mut self) {
        let launcher = self.path("launcher").to_string_lossy().into_owned();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let pid = entry.file_name().to_string_lossy().parse().ok();
            if let Some(pid) = pid.filter(|_| String::from_utf8_lossy(&command).contains(&launcher)) {
                let _gone = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
            }
        }
    }
}
