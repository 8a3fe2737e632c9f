//! A place to run real agents in, and what must hold after every run.

use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use serde_json::Value;
use stockade_tests::host::{Alone, Left, Programs, is_roots, skip_unless};
use tempfile::TempDir;

/// No run of these tests may take longer; most take 50 ms.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The user whose workspace it is.
pub const OWNER: u32 = 1000;

const HEAD: &str = r#"version = 1
id = "test"
[require]
degrade_ok = ["landlock.truncate", "landlock.net", "landlock.ioctl_dev", "landlock.scope"]
"#;

/// Folders, policies, and the host for itself.
pub struct Rig {
    dir: TempDir,
    before: Left,
    _alone: Alone,
}

/// How a command went.
#[derive(Debug)]
pub struct Ran {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
    pub took: Duration,
}

/// A command that runs, with its output going to files.
pub struct Running {
    pub child: Child,
    files: [File; 2],
    began: Instant,
}

impl Rig {
    /// `None`, with the reason printed, if the test cannot run here.
    pub fn new(test: &str, needs: &[&str]) -> Option<Self> {
        if skip_unless(test, needs) {
            return None;
        }
        let alone = Alone::on_this_host();
        // What a killed supervisor leaves behind becomes ours, so that we see it end.
        nix::sys::prctl::set_child_subreaper(true).unwrap();
        let dir = TempDir::with_prefix("stockade-isolation.").unwrap();
        let rig = Self { dir, before: Left::now(), _alone: alone };
        fs::set_permissions(rig.dir.path(), Permissions::from_mode(0o755)).unwrap();
        rig.folder("work");
        rig.folder("state");
        chown(rig.path("work"), Some(OWNER), Some(OWNER)).unwrap();
        Some(rig)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir(&path).unwrap();
        path
    }

    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// A policy of these sections; `extends` has to be first.
    pub fn policy(&self, preset: &str, sections: &str) -> PathBuf {
        let mut text = HEAD.replacen("[require]", &format!("extends = [\"preset:{preset}\"]\n[require]"), 1);
        text.push_str(sections);
        if !sections.contains("[fs]") {
            text.push_str("\n[fs]\nread = [\"@workspace\"]\nwrite = [\"@workspace\"]\n");
        }
        if !sections.contains("wall =") {
            text = match text.contains("[limits]\n") {
                true => text.replacen("[limits]\n", "[limits]\nwall = \"30s\"\n", 1),
                false => text + "[limits]\nwall = \"30s\"\n",
            };
        }
        let digest = text.bytes().fold(0_u64, |h, b| h.wrapping_mul(31).wrapping_add(b.into()));
        self.file(&format!("{preset}-{digest:x}.toml"), text)
    }

    /// A policy for native programs.
    pub fn native_policy(&self, sections: &str) -> PathBuf {
        self.policy("python@1", sections)
    }

    /// A policy for native programs that has of `/usr` and the workspace what `fs` says, and nothing of a preset's.
    pub fn bare_policy(&self, fs: &str) -> PathBuf {
        let read = "read = [\"/usr\", \"/etc/ld.so.cache\", \"@workspace\"]\nwrite = [\"@workspace\"]\n";
        self.policy("base@1", &format!("[fs]\n{read}{fs}"))
    }

    /// A policy for components.
    pub fn wasm_policy(&self, sections: &str) -> PathBuf {
        self.policy("wasm-pure@1", sections)
    }

    /// `stockade run` with this policy, the workspace and a state folder of the test's own.
    pub fn command(&self, policy: &Path) -> Command {
        let mut command = self.bare(policy);
        command.arg("--workspace").arg(self.path("work"));
        command
    }

    /// The same without a workspace.
    pub fn bare(&self, policy: &Path) -> Command {
        let mut command = self.stockade();
        command.arg("run").arg("--policy").arg(policy).arg("--state").arg(self.path("state"));
        command
    }

    /// The program and nothing else.
    pub fn stockade(&self) -> Command {
        let mut command = Command::new(Programs::find().path("stockade"));
        command.current_dir(self.dir.path());
        command
    }

    /// `stockade run … -- PROGRAM ARGUMENTS`.
    pub fn native(&self, policy: &Path, argv: &[&str]) -> Ran {
        self.end(self.command(policy).arg("--").args(argv))
    }

    /// A Python program as the agent.
    pub fn python(&self, policy: &Path, program: &str) -> Ran {
        self.native(policy, &["/usr/bin/python3", "-c", program])
    }

    /// A component, from its text.
    pub fn component(&self, name: &str, text: &str) -> PathBuf {
        let bytes = wat::parse_str(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        self.file(&format!("{name}.wasm"), bytes)
    }

    /// A component, from its text, as the agent.
    pub fn wasm(&self, policy: &Path, text: &str) -> Ran {
        let component = self.component("agent", text);
        self.end(self.command(policy).arg(component))
    }

    /// Starts a command.
    pub fn begin(&self, command: &mut Command) -> Running {
        let files = [(); 2].map(|()| tempfile::tempfile_in(self.dir.path()).unwrap());
        let [out, err] = files.each_ref().map(|f| Stdio::from(f.try_clone().unwrap()));
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        self.begin_as_is(command, files)
    }

    /// Starts a command whose descriptors are set.
    pub fn begin_as_is(&self, command: &mut Command, files: [File; 2]) -> Running {
        let began = Instant::now();
        Running { child: command.spawn().unwrap(), files, began }
    }

    /// Runs a command to its end.
    pub fn end(&self, command: &mut Command) -> Ran {
        self.begin(command).end()
    }

    /// What is left of this test's runs.
    pub fn left(&self) -> Left {
        Left::now().since(&self.before)
    }

    /// Nothing is left of any run on this host, no half-written file in the state folder, and every journal
    /// is whole and root's alone. Processes may be dying: they have a while.
    pub fn clean(&self, after: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            reap();
            let left = self.left();
            if left == Left::default() {
                break;
            }
            if Instant::now() > deadline {
                left.assert_nothing(after);
            }
            std::thread::yield_now();
        }
        self.state_is_sound(after);
    }

    fn state_is_sound(&self, after: &str) {
        let cached = list(&self.path("state/cache"));
        assert!(cached.iter().all(|p| p.extension().is_some_and(|e| e == "cwasm")), "after {after}: {cached:?}");
        for run in list(&self.path("state/runs")) {
            let journal = run.join("journal");
            assert!(is_roots(&journal), "after {after}: {} is not root's alone", journal.display());
            for file in list(&journal) {
                assert!(is_roots(&file), "after {after}: {} is not root's alone", file.display());
            }
            self.verify(&run, after);
        }
    }

    fn verify(&self, run: &Path, after: &str) {
        let name = run.file_name().unwrap();
        let mut command = self.stockade();
        let ran = self.end(command.args(["journal", "verify", "--state"]).arg(self.path("state")).arg(name));
        // A shim that was killed in the middle of a line leaves a torn tail, which is not a lie.
        assert!(ran.status.success(), "after {after}: {name:?}: {}", ran.stderr);
    }

    /// Forgets the runs so far, which [`Rig::clean`] would check again.
    pub fn forget_runs(&self) {
        let _none = fs::remove_dir_all(self.path("state/runs"));
    }

    /// The records of the newest run.
    pub fn records(&self) -> Vec<Value> {
        let newest = list(&self.path("state/runs")).into_iter().max().expect("a run");
        records_of(&newest)
    }
}

/// The records of one run.
pub fn records_of(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("journal/00000001.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What is in a folder, in order; nothing if there is no such folder.
pub fn list(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> = fs::read_dir(dir).map(|d| d.flatten().map(|e| e.path()).collect()).unwrap_or_default();
    all.sort();
    all
}

/// Takes the status of children that have ended, ours or inherited.
pub fn reap() {
    while waitpid(None, Some(WaitPidFlag::WNOHANG)).is_ok_and(|s| s != WaitStatus::StillAlive) {}
}

/// Waits until no child is left, ours or inherited: every process of every run, its janitor among them.
pub fn reap_all(after: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => std::thread::yield_now(),
            Ok(_) => {}
            Err(_) => return,
        }
        assert!(Instant::now() < deadline, "processes are left after {after}: {:?}", children());
    }
}

/// Our children as text, for messages.
fn children() -> Vec<String> {
    let me = format!("PPid:\t{}\n", std::process::id());
    let all = list(Path::new("/proc")).into_iter().filter_map(|p| fs::read_to_string(p.join("status")).ok());
    all.filter(|status| status.contains(&me)).map(|s| s.lines().take(3).collect::<Vec<_>>().join(" ")).collect()
}

/// pidfd_open(2).
pub fn pidfd(pid: u32) -> Option<OwnedFd> {
    // SAFETY: the call takes no pointer.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    // SAFETY: a descriptor that the kernel has just made is nobody else's.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).unwrap()) })
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end, which must come in time.
    pub fn end(self) -> Ran {
        self.end_within(PATIENCE)
    }

    pub fn end_within(mut self, patience: Duration) -> Ran {
        if let Some(pidfd) = pidfd(self.child.id()) {
            let timeout = PollTimeout::try_from(patience).unwrap();
            let ended = poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], timeout).unwrap();
            if ended == 0 {
                self.child.kill().unwrap();
                self.child.wait().unwrap();
                panic!("it did not end within {patience:?}; stdout {:?}, stderr {}", self.wrote(), self.said());
            }
        }
        let status = self.child.wait().unwrap();
        let took = self.began.elapsed();
        Ran { status, stdout: contents(&self.files[0]), stderr: self.said(), took }
    }

    /// What it has said on stderr so far.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&contents(&self.files[1])).into_owned()
    }

    /// What it has written to stdout so far.
    pub fn wrote(&self) -> String {
        String::from_utf8_lossy(&contents(&self.files[0])).into_owned()
    }

    /// Waits, without sleeping, until something is the case.
    pub fn until(&mut self, what: &str, mut is: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is(self) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "waiting for {what}: {ended:?}: {}", self.said());
            std::thread::yield_now();
        }
    }
}

/// A test that fails ends what it started.
impl Drop for Running {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _gone = self.child.kill();
            let _status = self.child.wait();
        }
    }
}

fn contents(file: &File) -> Vec<u8> {
    // The offset is shared with the writer, so another open file reads it.
    let mut bytes = Vec::new();
    let mut again = File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
    again.read_to_end(&mut bytes).unwrap();
    bytes
}

impl Ran {
    /// Asserts the exit code and what stderr says; a panic is never an answer.
    #[track_caller]
    pub fn expect(&self, what: &str, code: i32, words: &[&str]) -> &Self {
        let Self { status, stderr, .. } = self;
        assert_eq!(status.code(), Some(code), "{what}: {status:?} (signal {:?}): {stderr}", status.signal());
        for word in words {
            assert!(stderr.contains(word), "{what}: stderr does not say {word:?}: {stderr}");
        }
        for word in ["panicked", "RUST_BACKTRACE", "internal error"] {
            assert!(!stderr.contains(word), "{what}: {stderr}");
        }
        self
    }

    /// stdout as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}
