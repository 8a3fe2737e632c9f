//! Who runs: the floor (fork and exec), the peers that are installed, and Stockade.

use crate::options::Options;
use crate::unified::Unified;
use crate::{component, oci, stats};
use std::ffi::OsString;
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

pub const FLOOR: &str = "fork+exec";
pub const PEER: &str = "bubblewrap";
pub const NATIVE: &str = "stockade, native cell";
const PROGRAM: &str = "/bin/true";

pub struct Contender {
    pub name: &'static str,
    argv: Vec<OsString>,
    /// Takes a turn in one round of so many: the costly ones rest.
    every: usize,
    /// A component to write anew before each turn.
    fresh: Option<PathBuf>,
    turns: usize,
    times: Vec<Duration>,
    failures: usize,
    /// What the last failed run said.
    pub said: Option<String>,
}

impl Contender {
    fn new(name: &'static str, argv: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        let mut argv: Vec<OsString> = argv.into_iter().map(Into::into).collect();
        // A search along PATH is the shell's work, not the contender's.
        if let Some(program) = argv.first_mut() {
            *program = find(program);
        }
        Self { name, argv, every: 1, fresh: None, turns: 0, times: Vec::new(), failures: 0, said: None }
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(self.argv.first().map_or_else(OsString::new, Clone::clone));
        command.args(self.argv.iter().skip(1)).stdin(Stdio::null());
        command
    }

    /// Runs it, outside of the measurement, and says why it cannot run here.
    pub fn once(&mut self) -> Result<(), String> {
        self.refresh().map_err(|e| e.to_string())?;
        let out = self.command().output().map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => "not installed".to_owned(),
            _ => e.to_string(),
        })?;
        if out.status.success() {
            return Ok(());
        }
        Err(last_words(out.status, &out.stderr))
    }

    /// One measured run: from before spawn until it has been waited for.
    pub fn take_turn(&mut self, round: usize) {
        if !round.is_multiple_of(self.every) {
            return;
        }
        let mut command = self.command();
        let stderr = tempfile::tempfile().and_then(|file| Ok((file.try_clone()?, file)));
        let (Ok((stderr, mut kept)), Ok(())) = (stderr, self.refresh()) else {
            self.failures += 1;
            return;
        };
        command.stdout(Stdio::null()).stderr(stderr);
        let start = Instant::now();
        let ended = command.status();
        let took = start.elapsed();
        match ended {
            Ok(status) if status.success() => self.times.push(took),
            Ok(status) => {
                let mut text = Vec::new();
                let _ = kept.rewind().and_then(|()| kept.read_to_end(&mut text));
                self.failures += 1;
                self.said = Some(last_words(status, &text));
            }
            Err(e) => {
                self.failures += 1;
                self.said = Some(e.to_string());
            }
        }
    }

    fn refresh(&mut self) -> std::io::Result<()> {
        self.turns += 1;
        match &self.fresh {
            Some(path) => component::write(path, &format!("{} {}", std::process::id(), self.turns)),
            None => Ok(()),
        }
    }

    pub fn row(&self) -> Option<stats::Row> {
        stats::row(self.name, &self.times, self.failures)
    }
}

/// The exit status and the last line, without what a terminal would obey.
fn last_words(status: ExitStatus, stderr: &[u8]) -> String {
    let said = String::from_utf8_lossy(stderr);
    let last = said.lines().rfind(|l| !l.trim().is_empty()).unwrap_or("no message");
    format!("{status}: {}", last.chars().filter(|c| !c.is_control()).take(200).collect::<String>())
}

/// The program's absolute path, or its name where there is none.
fn find(name: &OsString) -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let at = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|p| p.is_file());
    at.map_or_else(|| name.clone(), Into::into)
}

/// All of them, whether or not they can run here. OCI runtimes are entered into `unified`, whose
/// nsenter(1) then counts as theirs.
pub fn field(options: &Options, scratch: &Path, unified: Option<&Unified>) -> std::io::Result<Vec<Contender>> {
    let (workspace, state) = (scratch.join("workspace"), scratch.join("state"));
    std::fs::create_dir(&workspace)?;
    std::fs::create_dir(&state)?;
    let policy = |name: &str, text: &str| -> std::io::Result<PathBuf> {
        let path = scratch.join(name);
        std::fs::write(&path, text)?;
        Ok(path)
    };
    let native = policy("native.toml", include_str!("../policies/native.toml"))?;
    let wasm = policy("wasm.toml", include_str!("../policies/wasm.toml"))?;
    let (warm, cold) = (scratch.join("warm.wasm"), scratch.join("cold.wasm"));
    component::write(&warm, &format!("{} warm", std::process::id()))?;

    let stockade = |policy: &Path, rest: &[&Path]| {
        let mut argv: Vec<OsString> = vec![options.stockade.clone().into(), "run".into(), "--policy".into()];
        argv.extend([policy.into(), "--workspace".into(), workspace.clone().into()]);
        argv.extend(["--state".into(), state.clone().into()]);
        argv.extend(rest.iter().map(OsString::from));
        argv
    };
    let bundle = oci::bundle(&scratch.join("bundle"), PROGRAM)?;
    let oci = |name: &str, manager: &[&str]| {
        let program = find(&name.into());
        let enter = unified.filter(|_| Path::new(&program).is_absolute());
        let mut argv =
            enter.map_or_else(Vec::new, |u| vec!["nsenter".into(), format!("--mount={}", u.path().display()).into()]);
        argv.push(program);
        argv.extend(manager.iter().chain(&["run", "--bundle", &bundle, "stockade-bench"]).map(OsString::from));
        argv
    };
    let bwrap = [
        "bwrap",
        "--unshare-all",
        "--ro-bind",
        "/usr",
        "/usr",
        "--symlink",
        "usr/bin",
        "/bin",
        "--symlink",
        "usr/lib",
        "/lib",
        "--symlink",
        "usr/lib64",
        "/lib64",
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "--die-with-parent",
        "--",
        PROGRAM,
    ];
    let nsjail = ["nsjail", "-Mo", "-Q", "-R", "/usr", "-R", "/lib", "-R", "/lib64", "-R", "/bin", "--", PROGRAM];
    let minijail = ["minijail0", "-p", "-v", "-r", "-n", "-e", "-l", "--uts", "-N", "--", PROGRAM];
    Ok(vec![
        Contender::new(FLOOR, [PROGRAM]),
        Contender::new(PEER, bwrap),
        Contender::new("minijail", minijail),
        Contender::new("nsjail", nsjail),
        Contender::new("crun", oci("crun", &["--cgroup-manager=disabled"])),
        Contender::new("runc", oci("runc", &[])),
        Contender::new(NATIVE, stockade(&native, &[Path::new("--"), Path::new(PROGRAM)])),
        Contender::new("stockade, wasm cell, warm cache", stockade(&wasm, &[&warm])),
        Contender {
            every: 5,
            fresh: Some(cold.clone()),
            ..Contender::new("stockade, wasm cell, cold cache", stockade(&wasm, &[&cold]))
        },
    ])
}
