//! Every system call by which a notary changes its folder fails once, in each way, or is the last thing it does; the
//! next notary takes up what is left. strace(1) is attached for that when the notary stands ready.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use stockade_journal::tiles::{Folder, HostLog};
use stockade_journal::tree::{Hash, leaf_hash};
use stockade_notary::client::{ClientError, Notary, Place};
use stockade_wire::notary::FromNotary;

const PROGRAM: &str = env!("CARGO_BIN_EXE_stockade-notary");
const CALLS: [&str; 7] = ["openat2", "write", "fchmod", "fsync", "renameat", "mkdirat", "unlinkat"];
const FAULTS: [&str; 3] = ["error=EIO", "error=ENOSPC", "signal=KILL"];
/// Heads in the log when the task begins.
const FEW: u64 = 3;
/// The next head fills a tile: the next row begins and unfinished tiles go.
const ALMOST: u64 = 255;

/// What the notary does while something fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    Begin,
    Head,
    Rotate,
}

/// strace on one process.
struct Tracer(Child, BufReader<std::process::ChildStderr>);

impl Tracer {
    fn attach(pid: u32, call: &str, fault: &str, nth: usize, log: &Path) -> Self {
        let inject = format!("inject={call}:{fault}:when={nth}");
        let mut strace = Command::new("strace");
        strace.args(["-p", &pid.to_string(), "-e", &format!("trace={call}"), "-e", &inject, "-o"]).arg(log);
        let mut child = strace.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert!(line.contains("attached"), "{line}");
        Self(child, said)
    }

    /// Waits for its end, which is the notary's, and says whether anything was made to fail.
    fn met(mut self, log: &Path) -> bool {
        std::io::copy(&mut self.1, &mut std::io::sink()).unwrap();
        self.0.wait().unwrap();
        let log = std::fs::read_to_string(log).unwrap();
        log.contains("INJECTED") || log.contains("killed by SIGKILL")
    }
}

/// Heads that somebody was given: sizes and roots of the host's log.
type Seen = HashMap<u64, Hash>;

fn start(place: &Place) -> Notary {
    Notary::start(Path::new(PROGRAM), place).unwrap()
}

fn told(notary: &mut Notary, line: u64) -> Result<FromNotary, ClientError> {
    notary.append(line, &[leaf_hash(&line.to_be_bytes())])?;
    notary.head()
}

fn log(place: &Place) -> HostLog {
    HostLog::open(Folder::open(&place.folder).unwrap()).unwrap()
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// Remembers a checkpoint; no other may have been signed of its size.
fn see(place: &Place, seen: &mut Seen, note: &[u8], what: &str) {
    let log = log(place);
    let keys = log.keys(log.first_key().unwrap()).unwrap();
    if let Ok((head, _, _)) = keys.open(note, log.origin()) {
        assert_eq!(*seen.entry(head.size).or_insert(head.root), head.root, "{what}: two trees of {}", head.size);
    }
}

/// Goes on after the fault as the supervisor does, and checks that all that was seen is still so.
fn take_up(place: &Place, heads: u64, mut seen: Seen, what: &str) {
    for left in ["checkpoint", "checkpoint.next"] {
        if let Ok(note) = std::fs::read(place.folder.join(left)) {
            see(place, &mut seen, &note, what);
        }
    }
    let mut notary = start(place);
    let lines = match notary.resume("r-1", heads + 1) {
        Ok(begun) => begun.size,
        Err(error) => panic!("{what}: {error}"),
    };
    for line in lines + 1..=heads + 2 {
        match told(&mut notary, line) {
            Ok(FromNotary::Signed { host, .. }) => see(place, &mut seen, host.as_bytes(), what),
            other => panic!("{what}: {other:?}"),
        }
    }
    start(place).begin("r-3").unwrap_or_else(|e| panic!("{what}: {e}"));
    start(place).rotate().unwrap_or_else(|e| panic!("{what}: {e}"));
    let log = log(place);
    let keys = log.keys(log.first_key().unwrap()).unwrap_or_else(|e| panic!("{what}: {e}"));
    let (now, _) = log.checkpoint(&keys).unwrap();
    let mut entries = 0;
    log.heads(&now, |_, _| entries += 1).unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_eq!(entries, now.size, "{what}");
    for (size, root) in seen {
        log.extends("a head that was seen", size, &root, &now).unwrap_or_else(|e| panic!("{what}: {e}"));
    }
    let left: Vec<_> =
        ["checkpoint.next", "key.next", ".erased"].iter().filter(|f| place.folder.join(f).exists()).collect();
    assert!(left.is_empty(), "{what}: {left:?}");
}

/// A state folder: in memory if there is such a file system, since these write hundreds of logs.
fn scratch() -> (tempfile::TempDir, Place) {
    let shm = Path::new("/dev/shm");
    let dir = if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() }.unwrap();
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let place = Place::of(dir.path());
    (dir, place)
}

/// Every task with every fault of every call.
fn all(tasks: &[Task]) -> Vec<(Task, &'static str, &'static str)> {
    let faults = |call| FAULTS.map(|fault| (call, fault));
    let calls: Vec<_> = CALLS.into_iter().flat_map(faults).collect();
    tasks.iter().flat_map(|task| calls.iter().map(|(call, fault)| (*task, *call, *fault))).collect()
}

/// One task with one fault; `false` if it makes fewer such calls.
fn try_one(template: &Path, heads: u64, task: Task, call: &str, fault: &str, nth: usize) -> bool {
    let what = format!("{task:?} after {heads}, {call} {nth}, {fault}");
    let (dir, place) = scratch();
    copy(template, &place.folder);
    let mut notary = start(&place);
    if task == Task::Head {
        notary.resume("r-1", heads).unwrap();
    }
    let strace = dir.path().join("strace");
    let tracer = Tracer::attach(notary.pid(), call, fault, nth, &strace);
    let mut seen = Seen::new();
    match task {
        Task::Begin => drop(notary.begin("r-2")),
        Task::Head => {
            if let Ok(FromNotary::Signed { host, .. }) = told(&mut notary, heads + 1) {
                see(&place, &mut seen, host.as_bytes(), &what);
            }
        }
        // It ends with its answer.
        Task::Rotate => {
            let _ended_or_not = notary.rotate();
        }
    }
    drop(notary);
    let met = tracer.met(&strace);
    take_up(&place, heads, seen, &what);
    met
}

#[test]
fn every_change_of_the_log_may_fail() {
    let name = "every_change_of_the_log_may_fail";
    if !nix::unistd::geteuid().is_root() {
        println!("SKIPPED {name}: it starts notaries, which takes root");
        return;
    }
    if !Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
        println!("SKIPPED {name}: there is no strace");
        return;
    }
    let mut met: HashMap<(&str, &str), usize> = HashMap::new();
    for (heads, tasks) in [(FEW, &[Task::Begin, Task::Head, Task::Rotate][..]), (ALMOST, &[Task::Head])] {
        let (_dir, place) = scratch();
        let mut notary = start(&place);
        notary.begin("r-1").unwrap();
        (1..=heads).for_each(|line| drop(told(&mut notary, line).unwrap()));
        drop(notary);
        for (task, call, fault) in all(tasks) {
            // Each of the first, then fewer: a tile that is full takes some 500 files with it.
            let nth = (1..=16).chain((5..).map(|power| 1 << power));
            let times = nth.take_while(|nth| try_one(&place.folder, heads, task, call, fault, *nth)).count();
            *met.entry((call, fault)).or_default() += times;
        }
    }
    println!("{met:?}");
    for call in CALLS {
        assert!(FAULTS.iter().all(|fault| met[&(call, *fault)] > 0), "{call} was never met: {met:?}");
    }
}
