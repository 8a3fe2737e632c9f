//! Drives the two programs as the supervisor and the shim do: inherited descriptors, frames.
//! Both programs must have been built (by separate cargo invocations) into the target directory.
#![allow(
    dead_code,
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

pub mod filters;
pub mod text;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use stockade_wire::cell::CellConfig;
use stockade_wire::control::AgentExit;
use stockade_wire::frame::{self, FrameError, FromCell, Level, Status, ToCell};

/// A program beside this test's own folder, or why it can't be tried.
pub fn program(name: &str) -> Result<PathBuf, String> {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(|deps| deps.parent()).unwrap().join(name);
    if path.exists() {
        return Ok(path);
    }
    let feature = if name == "stockade-cell" { "run" } else { "compile" };
    Err(format!(
        "{name} is not built; `cargo build --release -p stockade-cell --features {feature} --bin {name}` first"
    ))
}

/// Skips the test, aloud, if a program is missing.
#[macro_export]
macro_rules! need {
    ($($name:literal),+) => {
        $(if let Err(why) = $crate::common::program($name) {
            eprintln!("SKIPPED: {why}");
            return;
        })+
    };
}

pub fn memfd(bytes: &[u8], sealed: bool) -> File {
    let mut file = File::from(memfd_create(c"test", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).unwrap());
    file.write_all(bytes).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    if sealed {
        fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::all() - SealFlag::F_SEAL_FUTURE_WRITE)).unwrap();
    }
    file
}

/// Starts `name` with an empty environment and `fds` at 3 and on.
fn spawn(name: &str, fds: &[&dyn AsRawFd], filter: &seccompiler::BpfProgram) -> Child {
    // High copies first, so that no dup2 hits a descriptor that is still to be copied.
    let sources: Vec<RawFd> = fds.iter().map(|f| f.as_raw_fd()).collect();
    let mut command = match std::env::var_os("STOCKADE_TEST_STRACE") {
        Some(log) => {
            let mut strace = Command::new("strace");
            strace
                .args(["-f", "-e", "inject=openat:error=EACCES:when=2", "-o"])
                .arg(format!("{}.{name}", log.display()))
                .arg(program(name).unwrap());
            strace
        }
        None => Command::new(program(name).unwrap()),
    };
    let filter = filter.clone();
    let traced = std::env::var_os("STOCKADE_TEST_STRACE").is_some();
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(path) = std::env::var_os("PATH").filter(|_| traced) {
        command.env("PATH", path);
    }
    // SAFETY: between fork and exec only fcntl, dup2, prctl and seccomp are called, on memory that
    // was allocated before.
    unsafe {
        command.pre_exec(move || {
            let mut high = [0; 8];
            for (i, source) in sources.iter().enumerate() {
                high[i] = nix::libc::fcntl(*source, nix::libc::F_DUPFD_CLOEXEC, 100);
            }
            for (i, _) in sources.iter().enumerate() {
                if nix::libc::dup2(high[i], 3 + i as i32) < 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            if !traced {
                seccompiler::apply_filter(&filter).map_err(|_| io::Error::from_raw_os_error(nix::libc::EPERM))?;
            }
            Ok(())
        });
    }
    command.spawn().expect("spawn")
}

fn drain(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        let _ = from.read_to_end(&mut all);
        all
    })
}

/// What a compile cell did.
#[derive(Debug)]
pub struct Compiled {
    pub status: ExitStatus,
    pub message: String,
    pub artifact: Vec<u8>,
}

pub fn compile(component: &[u8]) -> Compiled {
    compile_with(component, true, None)
}

/// With a limit on processor time, as a stand-in for the outer cell's limits.
pub fn compile_with(component: &[u8], sealed: bool, cpu_seconds: Option<u64>) -> Compiled {
    let input = memfd(component, sealed);
    let mut output = memfd(&[], false);
    let mut child = spawn("stockade-compile", &[&input, &output], &filters::compile());
    if let Some(seconds) = cpu_seconds {
        let limit = nix::libc::rlimit { rlim_cur: seconds, rlim_max: seconds };
        // SAFETY: plain system call on a child of ours.
        unsafe { nix::libc::prlimit(child.id() as i32, nix::libc::RLIMIT_CPU, &limit, std::ptr::null_mut()) };
    }
    let out = drain(child.stdout.take().unwrap());
    let err = drain(child.stderr.take().unwrap());
    let status = child.wait().unwrap();
    assert!(out.join().unwrap().is_empty(), "the compiler has nothing to say on stdout");
    let mut artifact = Vec::new();
    output.seek(SeekFrom::Start(0)).unwrap();
    output.read_to_end(&mut artifact).unwrap();
    Compiled { status, message: String::from_utf8(err.join().unwrap()).unwrap(), artifact }
}

/// The artifact of a component text that must compile.
pub fn artifact(text: &str) -> Vec<u8> {
    let bytes = wat::parse_str(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let compiled = compile(&bytes);
    assert!(compiled.status.success(), "{:?} {}", compiled.status, compiled.message);
    compiled.artifact
}

/// Generous limits; tests narrow the one they are about.
pub fn config() -> CellConfig {
    CellConfig {
        task: vec!["one".into(), "two".into()],
        env: vec![("LANG".into(), "C".into())],
        memory: 64 << 20,
        table_elements: 100_000,
        fuel: 10_000_000_000,
        wall_ms: 60_000,
        log_line: 100,
    }
}

/// A cell that was started, seen from the shim's end.
pub struct Cell {
    child: Child,
    shim: UnixStream,
    /// Whether answers are said to be those of a run before.
    pub recorded: bool,
    /// Fuel used at each call.
    pub fuel: Vec<u64>,
    out: JoinHandle<Vec<u8>>,
    err: JoinHandle<Vec<u8>>,
}

/// How a run went.
#[derive(Debug)]
pub struct Ended {
    pub ready: Option<serde_json::Value>,
    pub calls: Vec<(u64, String, String)>,
    /// Fuel used at each call.
    pub fuel: Vec<u64>,
    pub logs: Vec<(Level, String)>,
    pub exit: Option<AgentExit>,
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Ended {
    pub fn reason(&self) -> stockade_wire::control::Reason {
        self.exit.as_ref().unwrap_or_else(|| panic!("no exit frame: {self:?}")).reason
    }
    pub fn detail(&self) -> &str {
        &self.exit.as_ref().unwrap_or_else(|| panic!("no exit frame: {self:?}")).detail
    }
    /// Asserts that setup failed and no agent code ran.
    pub fn refused(&self) -> &str {
        assert!(self.exit.is_none() && self.calls.is_empty(), "{self:?}");
        assert_eq!(self.status.code(), Some(stockade_wire::cell::cell_exit::SETUP), "{self:?}");
        &self.stderr
    }
}

impl Cell {
    pub fn start(artifact: &[u8], config: &CellConfig) -> Self {
        Self::start_raw(
            &memfd(artifact, true),
            &serde_json::to_vec(config).unwrap(),
            &filters::bytes(&filters::sealed_or_traced()),
        )
    }

    pub fn start_raw(artifact: &File, config: &[u8], filter: &[u8]) -> Self {
        Self::launch(artifact, config, filter, &filters::first())
    }

    /// With outer layers that refuse only `refused`, and a second filter that refuses nothing.
    pub fn start_open(artifact: &[u8], config: &CellConfig, refused: &[i64]) -> Self {
        let artifact = memfd(artifact, true);
        let config = serde_json::to_vec(config).unwrap();
        Self::launch(&artifact, &config, &filters::bytes(&filters::all_but(&[])), &filters::all_but(refused))
    }

    fn launch(artifact: &File, config: &[u8], filter: &[u8], first: &seccompiler::BpfProgram) -> Self {
        let (shim, cell) = UnixStream::pair().unwrap();
        shim.set_read_timeout(Some(Duration::from_secs(100))).unwrap();
        let (config, filter) = (memfd(config, true), memfd(filter, true));
        let mut child = spawn("stockade-cell", &[&cell, artifact, &config, &filter], first);
        let out = drain(child.stdout.take().unwrap());
        let err = drain(child.stderr.take().unwrap());
        Self { child, shim, recorded: false, fuel: Vec::new(), out, err }
    }

    /// The next frame, or nothing at the cell's end.
    pub fn frame(&mut self) -> Option<FromCell> {
        match frame::read(&mut self.shim) {
            Ok(body) => Some(FromCell::decode(&body).unwrap()),
            Err(FrameError::Closed) => None,
            Err(FrameError::Io(e)) if e.kind() == io::ErrorKind::ConnectionReset => None,
            Err(e) => panic!("{e}"),
        }
    }

    pub fn send(&mut self, frame: &ToCell) {
        let _ = self.shim.write_all(&frame.encode().unwrap());
    }

    pub fn send_raw(&mut self, bytes: &[u8]) {
        let _ = self.shim.write_all(bytes);
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Plays the shim to the end: `Start` at `Ready`, and an answer to every call.
    pub fn serve(mut self, mut answer: impl FnMut(&str, &str) -> (Status, String)) -> Ended {
        let (mut ready, mut calls, mut logs, mut exit) = (None, Vec::new(), Vec::new(), None);
        while let Some(frame) = self.frame() {
            match frame {
                FromCell::Ready { report } => {
                    assert!(ready.is_none() && calls.is_empty() && logs.is_empty());
                    ready = Some(serde_json::from_slice(&report).unwrap());
                    self.send(&ToCell::Start);
                }
                FromCell::Call { id, fuel, tool, args } => {
                    assert!(ready.is_some());
                    let args = String::from_utf8(args).unwrap();
                    let (status, body) = answer(&tool, &args);
                    calls.push((id, tool, args));
                    self.fuel.push(fuel);
                    self.send(&ToCell::Reply { id, status, recorded: self.recorded, body: body.into_bytes() });
                }
                FromCell::Log { level, message } => logs.push((level, message)),
                FromCell::Exit { outcome } => {
                    assert!(exit.is_none());
                    exit = Some(serde_json::from_slice(&outcome).unwrap());
                }
            }
        }
        self.finish(ready, calls, logs, exit)
    }

    /// Waits for the end without another word.
    pub fn finish(
        mut self,
        ready: Option<serde_json::Value>,
        calls: Vec<(u64, String, String)>,
        logs: Vec<(Level, String)>,
        exit: Option<AgentExit>,
    ) -> Ended {
        drop(self.shim);
        let status = self.child.wait().unwrap();
        Ended {
            ready,
            calls,
            fuel: self.fuel,
            logs,
            exit,
            status,
            stdout: self.out.join().unwrap(),
            stderr: String::from_utf8(self.err.join().unwrap()).unwrap(),
        }
    }
}

/// Runs a component text with every call granted an empty object.
pub fn run(text: &str, config: &CellConfig) -> Ended {
    Cell::start(&artifact(text), config).serve(|_, _| (Status::Ok, "{}".into()))
}

pub fn killed_by(status: ExitStatus) -> Option<i32> {
    status.signal()
}

/// The clock's answer.
pub fn at(nanos: u64) -> (Status, String) {
    (Status::Ok, format!(r#"{{"unix_ns":"{nanos}"}}"#))
}
