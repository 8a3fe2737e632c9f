//! What the attacks are after: real files, processes, services, terminals and IPC objects.

use super::attack::PROBE;
use super::services::Services;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use nix::unistd::{read, write};
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::hash::BuildHasher;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use tempfile::TempDir;

/// What every secret starts with; the probe knows this much.
pub const MARK: &str = "stockade-canary:";

/// Everything that stands outside the cells while the tests run.
pub struct Scene {
    dir: TempDir,
    /// The whole secret.
    pub secret: String,
    /// Listeners that answer with the secret.
    pub services: Services,
    /// The operator's terminal: what arrives on it is read here.
    pub terminal: OwnedFd,
    tty: PathBuf,
    slave: OwnedFd,
    victim: Victim,
    facts: BTreeMap<&'static str, String>,
}

impl Scene {
    /// Sets the scene; takes down what a killed test has left is the kernel's and `Drop`'s part.
    pub fn set_up() -> Self {
        let dir = tempfile::Builder::new().prefix("stockade-escape-").tempdir_in("/var/tmp").expect("a directory");
        let root = dir.path();
        fs::set_permissions(root, Permissions::from_mode(0o755)).unwrap();
        let nonce = format!("{:016x}", std::collections::hash_map::RandomState::new().hash_one(std::process::id()));
        let secret = format!("{MARK}{nonce}");
        fs::write(root.join("canary"), format!("{secret}\n")).unwrap();
        fs::write(root.join("target"), "untouched\n").unwrap();
        for name in ["ro", "masked", "jail", "outside", "tmpfs"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        fs::write(root.join("masked/canary"), format!("{secret}\n")).unwrap();
        fs::set_permissions(root.join("outside"), Permissions::from_mode(0o777)).unwrap();
        furnish(root, &root.join("outside"));
        let pty = nix::pty::openpty(None, None).expect("a terminal");
        let tty = fs::read_link(format!("/proc/self/fd/{}", pty.slave.as_raw_fd())).unwrap();
        for fd in [&pty.master, &pty.slave] {
            fcntl(fd, FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC)).unwrap();
        }
        let services = Services::start(root, &secret, &nonce);
        let victim = Victim::start(root, &secret);
        let mut scene =
            Self { secret, services, terminal: pty.master, tty, slave: pty.slave, victim, facts: BTreeMap::new(), dir };
        scene.facts = scene.measure(&nonce);
        scene.leak_descriptors();
        scene.plant_ipc();
        scene
    }

    /// The scene's directory.
    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    /// The program under attack.
    pub fn victim_pid(&self) -> u32 {
        self.victim.process.id()
    }

    /// True if the victim has died, or is about to; then there is a new one.
    pub fn victim_died(&mut self) -> bool {
        let died = !self.victim.lives();
        if died {
            self.victim = Victim::start(self.dir.path(), &self.secret);
        }
        died
    }

    /// All that was written to the operator's terminal before this question. A terminal passes bytes on when it has
    /// time, but in order, so a word of our own comes last.
    pub fn shown(&self) -> String {
        const LAST: &[u8] = b"<the end of what was shown>";
        write(&self.slave, LAST).expect("the terminal takes a word");
        let mut bytes = Vec::new();
        let mut chunk = [0u8; 4096];
        while !bytes.ends_with(LAST) && readable(self.terminal.as_fd()) {
            let n = read(&self.terminal, &mut chunk).unwrap();
            bytes.extend_from_slice(&chunk[..n]);
        }
        bytes.truncate(bytes.len() - if bytes.ends_with(LAST) { LAST.len() } else { 0 });
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Parameters for a run outside.
    pub fn parameters(&self) -> BTreeMap<&'static str, String> {
        let mut all = self.facts.clone();
        let path = |name: &str| self.root().join(name).display().to_string();
        let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
        all.extend([
            ("UPTIME", uptime.split('.').next().unwrap_or_default().to_owned()),
            ("CANARY", path("canary")),
            ("TARGET", self.victim_pid().to_string()),
            ("HOST_PID", self.victim_pid().to_string()),
            ("TARGET_ADDR", self.victim.address.clone()),
            ("RO_DIR", path("ro")),
            ("MASKED", path("masked")),
            ("MASKED_FILE", path("masked/canary")),
            ("JAIL", path("jail")),
            ("TMPFS", "/dev/shm".to_owned()),
            ("HOST_DIR", path("ro")),
            ("WORKSPACE", path("outside")),
            ("TTY", self.tty.display().to_string()),
            ("SECRET", self.secret.clone()),
        ]);
        all
    }

    /// Parameters for a cell: the same host targets, and the cell's own names for the rest.
    pub fn parameters_inside(&self) -> BTreeMap<&'static str, String> {
        let mut all = self.parameters();
        all.extend([
            ("TARGET", "1".to_owned()),
            ("RO_DIR", "/usr".to_owned()),
            ("MASKED", "/workspace".to_owned()),
            ("JAIL", "/".to_owned()),
            ("TMPFS", "/tmp".to_owned()),
            ("HOST_DIR", self.root().file_name().unwrap().to_string_lossy().into_owned()),
            ("WORKSPACE", "/workspace".to_owned()),
        ]);
        all.remove("SECRET");
        all.remove("MASKED_FILE");
        all
    }

    fn measure(&self, nonce: &str) -> BTreeMap<&'static str, String> {
        let canary = self.root().join("canary");
        let handle = Command::new(PROBE).arg("handle").arg(format!("CANARY={}", canary.display())).output().unwrap();
        let handle = super::attack::Answer::find(&String::from_utf8_lossy(&handle.stdout), "handle");
        let read = |path: &str| fs::read_to_string(path).map(|t| t.trim().to_owned()).unwrap_or_default();
        BTreeMap::from([
            ("HANDLE", handle.map(|a| a.detail).unwrap_or_default()),
            ("DISK", fs::metadata(&canary).unwrap().dev().to_string()),
            ("BOOT_ID", read("/proc/sys/kernel/random/boot_id")),
            ("HOSTNAME", read("/proc/sys/kernel/hostname")),
            ("TCP", self.services.tcp.to_string()),
            ("UDP", self.services.udp.to_string()),
            ("LISTEN", self.services.listen.to_string()),
            ("UNIX_ABSTRACT", self.services.name.clone()),
            ("UNIX_PATH", self.root().join("service").display().to_string()),
            ("UNIX_WORKSPACE", "service".to_owned()),
            ("IPC_KEY", (i64::from_str_radix(&nonce[..7], 16).unwrap() + 1).to_string()),
            ("MQ", format!("stockade-escape-{nonce}")),
            ("SUID_PROGRAM", "./suid".to_owned()),
            ("SGID_PROGRAM", "./sgid".to_owned()),
            ("CAPS_PROGRAM", "./caps".to_owned()),
            ("LEAKED_FD", "57".to_owned()),
            ("PLANTED", "yes".to_owned()),
            ("BOMB", (160u64 << 20).to_string()),
            ("TASKS", "100".to_owned()),
            ("FDS", "900".to_owned()),
            ("FILE_SIZE", (1u64 << 30).to_string()),
            ("CPU_PERCENT", "40".to_owned()),
            ("SPINNERS", "8".to_owned()),
            ("SPIN_MS", "3000".to_owned()),
            ("FLOOD", (4u64 << 20).to_string()),
        ])
    }

    /// A file and a directory of the host stay open, without close-on-exec, in all that this
    /// process starts.
    fn leak_descriptors(&self) {
        for (path, flags) in [(self.root().join("canary"), OFlag::O_RDONLY), ("/".into(), OFlag::O_DIRECTORY)] {
            let fd = open(&path, flags | OFlag::O_CLOEXEC, Mode::empty()).unwrap();
            fcntl(&fd, FcntlArg::F_DUPFD(57)).unwrap();
        }
    }

    fn ipc(&self, command: &str) {
        let words = ["IPC_KEY", "MQ"].map(|k| format!("{k}={}", self.facts[k]));
        let status = Command::new(PROBE)
            .arg(command)
            .args(words)
            .arg(format!("SECRET={}", self.secret))
            .stdout(Stdio::null())
            .status();
        assert!(status.unwrap().success(), "{command}");
    }

    fn plant_ipc(&self) {
        self.ipc("plant-ipc");
        fs::write(format!("/dev/shm/{}", self.facts["MQ"]), &self.secret).unwrap();
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.ipc("unplant-ipc");
        fs::remove_file(format!("/dev/shm/{}", self.facts["MQ"])).ok();
        self.victim.process.kill().ok();
        self.victim.process.wait().ok();
    }
}

/// Puts into a workspace what an operator may have left there.
pub fn furnish(root: &Path, workspace: &Path) {
    let probe = workspace.join("probe");
    fs::copy(PROBE, &probe).unwrap();
    for (name, mode) in [("suid", 0o4755), ("sgid", 0o2755), ("caps", 0o755)] {
        let copy = workspace.join(name);
        fs::copy(PROBE, &copy).unwrap();
        fs::set_permissions(&copy, Permissions::from_mode(mode)).unwrap();
    }
    let caps = Command::new(PROBE).arg("grant-caps").arg(format!("FILE={}", workspace.join("caps").display())).output();
    assert!(caps.unwrap().status.success(), "file capabilities");
    symlink(root.join("canary"), workspace.join("planted-link")).unwrap();
    symlink(root, workspace.join("planted-dir")).unwrap();
    symlink(root.join("target"), workspace.join("planted-target-link")).unwrap();
    nix::unistd::mkfifo(&workspace.join("planted-fifo"), Mode::from_bits_truncate(0o666)).unwrap();
}

/// A process to attack, and a line to it.
struct Victim {
    process: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    /// Of the secret in its memory.
    address: String,
}

impl Victim {
    fn start(root: &Path, secret: &str) -> Self {
        let mut process = Command::new(PROBE)
            .arg("victim")
            .arg(format!("SECRET={secret}"))
            .arg(format!("CANARY={}", root.join("canary").display()))
            .env_clear()
            .env("STOCKADE_ESCAPE_SECRET", secret)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a victim");
        let (stdin, stdout) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        Self { process, stdin, stdout, address: line.trim().to_owned() }
    }

    /// Whether it still answers. One that was stopped does not, and is ended.
    fn lives(&mut self) -> bool {
        let mut byte = [0];
        let answers = self.stdin.write_all(b"?").is_ok()
            && readable(self.stdout.get_ref().as_fd())
            && self.stdout.read_exact(&mut byte).is_ok();
        if !answers {
            self.process.kill().ok();
            self.process.wait().unwrap();
        }
        answers
    }
}

/// Waits for something to read, or an end; false if neither comes in ten seconds.
fn readable(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::from(10_000u16)).unwrap() > 0
}
