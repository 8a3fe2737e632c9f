//! What tests of real runs share: where the programs are, a policy to run under, and what must not be left.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

/// First host id that runs are given (`stockade_supervisor::FIRST_HOST_ID`).
const FIRST_HOST_ID: u32 = 1_900_000_000;
/// Ids of all runs.
const HOST_IDS: u32 = 167_772_160;

/// The built programs: siblings of the test executable's folder.
#[derive(Debug, Clone)]
pub struct Programs(PathBuf);

impl Programs {
    /// Finds them beside the running test.
    #[must_use]
    pub fn find() -> Self {
        let exe = std::env::current_exe().unwrap_or_default();
        Self(exe.parent().and_then(Path::parent).unwrap_or(Path::new("/usr/bin")).to_path_buf())
    }

    /// One program.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// Prints why a test is skipped, and says whether it is: not root, or without programs that it needs.
#[must_use]
pub fn skip_unless(test: &str, programs: &[&str]) -> bool {
    let in_path = |name: &&&str| ["/usr/bin", "/bin", "/usr/sbin"].iter().any(|dir| Path::new(dir).join(name).exists());
    if !nix::unistd::geteuid().is_root() {
        println!("SKIPPED {test}: it builds real cells, which needs root");
        return true;
    }
    if let Some(missing) = programs.iter().find(|name| !in_path(name)) {
        println!("SKIPPED {test}: it needs {missing}, which packaging/install-deps.sh test installs");
        return true;
    }
    if !Programs::find().path("stockade").exists() {
        println!("SKIPPED {test}: the programs are not built; make build");
        return true;
    }
    false
}

/// A policy for native programs of the host, written to `dir`.
///
/// # Panics
/// If it can't be written.
#[must_use]
#[allow(clippy::expect_used, reason = "a test without its policy is no test")]
pub fn example_policy(dir: &Path) -> PathBuf {
    let path = dir.join("policy.toml");
    let text = r#"version = 1
id = "test"
extends = ["preset:python@1"]
[require]
degrade_ok = ["landlock.truncate", "landlock.net", "landlock.ioctl_dev", "landlock.scope"]
[limits]
wall = "20s"
[fs]
read = ["@workspace"]
write = ["@workspace"]
"#;
    fs::write(&path, text).expect("write a policy");
    path
}

/// The host for oneself: "nothing is left" is a statement about all of it.
#[derive(Debug)]
pub struct Alone {
    _lock: Flock<fs::File>,
}

impl Alone {
    /// Waits until no other test has it; tests of other programs wait, too.
    ///
    /// # Panics
    /// If the lock cannot be had.
    #[must_use]
    #[allow(clippy::expect_used, reason = "a test that is not alone would see what others do")]
    pub fn on_this_host() -> Self {
        let file = fs::File::options().create(true).truncate(false).write(true).open("/run/stockade-tests.lock");
        let lock = Flock::lock(file.expect("open the tests' lock"), FlockArg::LockExclusive);
        Self { _lock: lock.map_err(|(_, errno)| errno).expect("lock") }
    }
}

/// What runs have left on this host.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Processes that live with an id of a run.
    pub processes: Vec<String>,
    /// Control groups of runs.
    pub cgroups: Vec<PathBuf>,
    /// Reservations.
    pub reservations: Vec<PathBuf>,
    /// Mounts that name Stockade.
    pub mounts: Vec<String>,
    /// Sockets for operators.
    pub sockets: Vec<PathBuf>,
}

impl Left {
    /// Looks.
    #[must_use]
    pub fn now() -> Self {
        let sockets = list(Path::new("/run/stockade/runs"));
        Self { processes: processes(), cgroups: cgroups(), reservations: reservations(), mounts: mounts(), sockets }
    }

    /// What was not there before: a run that somebody else has on this host is not a test's to judge.
    #[must_use]
    pub fn since(mut self, before: &Self) -> Self {
        let name = |process: &String| process.split(' ').next().map(str::to_owned);
        self.processes.retain(|p| !before.processes.iter().any(|b| name(b) == name(p)));
        self.cgroups.retain(|c| !before.cgroups.contains(c));
        self.reservations.retain(|r| !before.reservations.contains(r));
        self.mounts.retain(|m| !before.mounts.contains(m));
        self.sockets.retain(|s| !before.sockets.contains(s));
        self
    }

    /// Fails the test if something is left.
    ///
    /// # Panics
    /// If something is left.
    #[allow(clippy::panic, reason = "this is an assertion")]
    pub fn assert_nothing(&self, after: &str) {
        if *self != Self::default() {
            panic!("left after {after}: {self:#?}");
        }
    }
}

fn processes() -> Vec<String> {
    let range = FIRST_HOST_ID..FIRST_HOST_ID + HOST_IDS;
    let mut found = Vec::new();
    for entry in list(Path::new("/proc")) {
        let Ok(status) = fs::read_to_string(entry.join("status")) else { continue };
        let field =
            |name: &str| status.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default().trim().to_owned();
        let uid = field("Uid:").split_whitespace().next().and_then(|uid| uid.parse().ok()).unwrap_or(0);
        // A zombie whose new parent does not wait is a name, not a process.
        if range.contains(&uid) && !field("State:").starts_with('Z') {
            found.push(format!("{} {} uid {uid} {}", entry.display(), field("Name:"), field("State:")));
        }
    }
    found
}

fn cgroups() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let roots = mounts
        .lines()
        .filter(|l| l.split(' ').nth(2).is_some_and(|t| t.starts_with("cgroup")))
        .filter_map(|l| l.split(' ').nth(1));
    let ours = roots.map(|root| Path::new(root).join("stockade"));
    ours.flat_map(|dir| list(&dir)).filter(|path| path.is_dir()).collect()
}

fn mounts() -> Vec<String> {
    let text = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    text.lines().filter(|line| line.contains("stockade") && !line.starts_with("/dev/")).map(str::to_owned).collect()
}

/// An empty file that nobody has locked reserves nothing: it is a name that the next run takes.
fn reservations() -> Vec<PathBuf> {
    let taken = |path: &PathBuf| {
        let Ok(file) = fs::File::open(path) else { return false };
        file.metadata().is_ok_and(|m| m.len() > 0) || Flock::lock(file, FlockArg::LockExclusiveNonblock).is_err()
    };
    list(Path::new("/run/stockade/ids")).into_iter().filter(taken).collect()
}

fn list(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).map(|entries| entries.flatten().map(|e| e.path()).collect()).unwrap_or_default()
}

/// Whether a file belongs to root alone (journals after a run).
#[must_use]
pub fn is_roots(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.uid() == 0 && meta.mode() & 0o077 == 0)
}
