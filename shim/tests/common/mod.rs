//! A supervisor and a cell of the test's own, around the real mediator in a thread.
#![allow(dead_code, missing_docs)]

use std::io::{IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread::JoinHandle;

use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl, open};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, recv, sendmsg, setsockopt, socketpair, sockopt,
};
use nix::sys::stat::Mode;
use nix::sys::time::{TimeVal, TimeValLike};
use serde_json::{Value, json};
use stockade_journal::{Entry, Reader, Record, verify};
use stockade_policy::{Bundle, parse_policy};
use stockade_shim::{Doors, ShimError, run};
use stockade_wire::control::{Course, MAX_MESSAGE, Reason, RunEnd, Setup, ToShim, ToSupervisor};
use stockade_wire::frame::{self, FromCell, Level, Status, ToCell};
use tempfile::TempDir;

/// No test waits longer than this for the other side.
const PATIENCE: i64 = 30;

/// A policy that allows every tool on the whole workspace but `secret`.
pub const POLICY: &str = r#"
version = 1
id = "test"
extends = ["preset:base@1"]
[limits]
calls = 1000
output = "64KiB"
file_size = "2MiB"
[fs]
read = ["@workspace"]
write = ["@workspace"]
deny = ["@workspace/secret"]
[tools]
allow = ["workspace.read", "workspace.write", "workspace.list", "workspace.stat", "clock", "random", "exec"]
[[exec]]
id = "echo"
command = ["/bin/echo"]
wall = "1s"
"#;

pub struct Rig {
    pub control: OwnedFd,
    pub cell: Option<UnixStream>,
    pub journal: PathBuf,
    pub workspace: PathBuf,
    pub next_id: u64,
    shim: Option<JoinHandle<Result<(), ShimError>>>,
    _dirs: TempDir,
}

/// A socket pair with a receive timeout on our end, so that no test hangs.
pub fn pair(kind: SockType) -> (OwnedFd, OwnedFd) {
    let (ours, theirs) = socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_CLOEXEC).unwrap();
    setsockopt(&ours, sockopt::ReceiveTimeout, &TimeVal::seconds(PATIENCE)).unwrap();
    setsockopt(&ours, sockopt::SendTimeout, &TimeVal::seconds(PATIENCE)).unwrap();
    (ours, theirs)
}

pub fn directory(path: &std::path::Path) -> OwnedFd {
    open(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).unwrap()
}

pub fn sealed(bytes: &[u8]) -> OwnedFd {
    let fd = memfd_create("bundle", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).unwrap();
    let mut file = std::fs::File::from(fd);
    file.write_all(bytes).unwrap();
    let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).unwrap();
    file.into()
}

pub fn bundle(policy: &str) -> Vec<u8> {
    parse_policy("test.toml", policy).unwrap_or_else(|e| panic!("{e:?}")).bundle().encode()
}

pub fn setup(kind: &str) -> Setup {
    Setup {
        run: "r-test".into(),
        kind: kind.into(),
        agent: "agent".into(),
        task: vec!["do it".into()],
        plan_digest: "11".repeat(32),
        component_digest: "22".repeat(32),
        settings: json!({ "engine": "none" }),
        course: Course::New,
        policy_bundle: Bundle::name(&bundle(POLICY)),
        workspace: "/srv/work".into(),
        pin: None,
        approvals: None,
        frozen: Vec::new(),
        own_addresses: Vec::new(),
    }
}

pub fn send_raw(control: &OwnedFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) {
    let raw: Vec<_> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let cmsgs: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
    sendmsg::<()>(control.as_raw_fd(), &[IoSlice::new(bytes)], cmsgs, MsgFlags::MSG_NOSIGNAL, None).unwrap();
}

pub fn send(control: &OwnedFd, message: &ToShim, fds: &[BorrowedFd<'_>]) {
    send_raw(control, &serde_json::to_vec(message).unwrap(), fds);
}

/// The next message, or `None` if the shim is gone.
pub fn receive(control: &OwnedFd) -> Option<ToSupervisor> {
    let mut buffer = vec![0; MAX_MESSAGE];
    loop {
        let n = recv(control.as_raw_fd(), &mut buffer, MsgFlags::empty()).expect("the shim says nothing");
        match (n > 0).then(|| serde_json::from_slice(&buffer[..n]).unwrap()) {
            // For the notary; `heads.rs` looks at these.
            Some(ToSupervisor::Committed { .. }) => {}
            other => return other,
        }
    }
}

impl Rig {
    /// A shim that has said `Hello`.
    pub fn new(kind: &str, policy: &str) -> Self {
        let dirs = TempDir::new().unwrap();
        let journal = dirs.path().join("journal");
        std::fs::create_dir(&journal).unwrap();
        Self::with_journal(kind, policy, dirs, journal)
    }

    pub fn with_journal(kind: &str, policy: &str, dirs: TempDir, journal: PathBuf) -> Self {
        Self::with_bundle(kind, &bundle(policy), dirs, journal)
    }

    /// A wasm run, under a bundle of its own, whose agent code runs.
    pub fn running_bundle(bundle: &[u8]) -> Self {
        let dirs = TempDir::new().unwrap();
        let journal = dirs.path().join("journal");
        std::fs::create_dir(&journal).unwrap();
        let mut rig = Self::with_bundle("wasm", bundle, dirs, journal);
        rig.start();
        rig
    }

    pub fn with_bundle(kind: &str, bundle: &[u8], dirs: TempDir, journal: PathBuf) -> Self {
        Self::with_setup(setup(kind), bundle, dirs, journal)
    }

    /// A shim in folders that may have been another's.
    pub fn with_setup(setup: Setup, bundle: &[u8], dirs: TempDir, journal: PathBuf) -> Self {
        let kind = setup.kind.as_str();
        let workspace = dirs.path().join("workspace");
        std::fs::create_dir_all(&workspace).unwrap();
        let (control, theirs) = pair(SockType::SeqPacket);
        let (cell, cell_theirs) = if kind == "wasm" {
            let (ours, theirs) = pair(SockType::Stream);
            (Some(UnixStream::from(ours)), Some(theirs))
        } else {
            (None, None)
        };
        let doors = Doors {
            agent: None,
            control: theirs,
            cell: cell_theirs,
            egress: None,
            journal: directory(&journal),
            workspace: Some(directory(&workspace)),
        };
        let shim = std::thread::spawn(move || run(doors));
        let setup = Setup { policy_bundle: Bundle::name(bundle), ..setup };
        send(&control, &ToShim::Setup(Box::new(setup)), &[sealed(bundle).as_fd()]);
        let rig = Self { control, cell, journal, workspace, next_id: 1, shim: Some(shim), _dirs: dirs };
        match rig.receive() {
            Some(ToSupervisor::Hello) => rig,
            _ => panic!("{:?}", rig.join()),
        }
    }

    /// A wasm run whose agent code runs.
    pub fn running() -> Self {
        Self::running_with(POLICY)
    }

    pub fn running_with(policy: &str) -> Self {
        let mut rig = Self::new("wasm", policy);
        rig.start();
        rig
    }

    pub fn start(&mut self) {
        self.say(&FromCell::Ready { report: br#"{"engine":"test"}"#.to_vec() });
        assert!(matches!(self.receive(), Some(ToSupervisor::CellReady { report }) if report["engine"] == "test"));
        self.send(&ToShim::Attested { enforcement: json!({ "seccomp": 2 }) });
        assert!(matches!(self.receive(), Some(ToSupervisor::Started)));
        assert_eq!(self.hear(), Some(ToCell::Start));
    }

    pub fn send(&self, message: &ToShim) {
        send(&self.control, message, &[]);
    }

    pub fn receive(&self) -> Option<ToSupervisor> {
        receive(&self.control)
    }

    pub fn cell(&mut self) -> &mut UnixStream {
        self.cell.as_mut().unwrap()
    }

    pub fn say(&mut self, frame: &FromCell) {
        let bytes = frame.encode().unwrap();
        self.cell().write_all(&bytes).unwrap();
    }

    /// The next frame, or `None` if the channel is closed.
    pub fn hear(&mut self) -> Option<ToCell> {
        match frame::read(self.cell()) {
            Ok(body) => Some(ToCell::decode(&body).unwrap()),
            Err(frame::FrameError::Closed) => None,
            Err(e) => panic!("{e}"),
        }
    }

    pub fn ask(&mut self, tool: &str, args: &[u8]) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.say(&FromCell::Call { id, fuel: 0, tool: tool.into(), args: args.to_vec() });
        id
    }

    pub fn answer(&mut self, id: u64) -> (Status, Value) {
        match self.hear() {
            Some(ToCell::Reply { id: got, status, body, .. }) => {
                assert_eq!(got, id);
                (status, serde_json::from_slice(&body).unwrap())
            }
            other => panic!("{other:?} instead of an answer"),
        }
    }

    pub fn call(&mut self, tool: &str, args: Value) -> (Status, Value) {
        self.call_text(tool, &serde_json::to_vec(&args).unwrap())
    }

    pub fn call_text(&mut self, tool: &str, args: &[u8]) -> (Status, Value) {
        let id = self.ask(tool, args);
        self.answer(id)
    }

    pub fn log(&mut self, message: &str) {
        self.say(&FromCell::Log { level: Level::Info, message: message.into() });
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.workspace.join(name), content).unwrap();
    }

    /// The supervisor dies.
    pub fn orphan(&mut self) {
        let (unconnected, _) = pair(SockType::SeqPacket);
        self.control = unconnected;
    }

    /// The supervisor dies, and the shim with it: the folders that they leave.
    pub fn crash(mut self) -> (TempDir, PathBuf) {
        self.orphan();
        self.shim.take().unwrap().join().unwrap().unwrap_err();
        (self._dirs, self.journal)
    }

    /// Waits for the shim's own end, and gives the journal it left.
    pub fn wait_for_end(mut self) -> (Result<(), ShimError>, Vec<Entry>) {
        let result = self.shim.take().unwrap().join().unwrap();
        (result, self.records())
    }

    /// Waits for the shim's own end.
    pub fn join(mut self) -> Result<(), ShimError> {
        self.shim.take().unwrap().join().unwrap()
    }

    /// Ends the run as a supervisor does, and gives the checked journal.
    pub fn end(mut self) -> Vec<Entry> {
        self.cell = None;
        self.send(&ToShim::CellExited { end: end() });
        let summary = loop {
            match self.receive() {
                Some(ToSupervisor::Bye(summary)) => break summary,
                Some(_) => {}
                None => panic!("no bye"),
            }
        };
        self.shim.take().unwrap().join().unwrap().unwrap();
        let entries = self.records();
        assert_eq!(summary.records, entries.len() as u64);
        assert!(verify(&self.journal).is_ok());
        entries
    }

    /// The journal as it is now, checked line by line.
    pub fn records(&self) -> Vec<Entry> {
        Reader::open(&self.journal).unwrap().map(|entry| entry.unwrap()).collect()
    }
}

pub fn end() -> RunEnd {
    RunEnd {
        reason: Reason::Finished,
        status: None,
        detail: String::new(),
        output_bytes: 0,
        output_dropped: 0,
        stdout_sha256: String::new(),
        stderr_sha256: String::new(),
    }
}

/// Details of the lifecycle records of one event.
pub fn lifecycle(entries: &[Entry], event: &str) -> Vec<Value> {
    let matching = entries.iter().filter_map(|entry| match &entry.record {
        Record::Lifecycle { event: e, detail } if e == event => Some(detail.clone()),
        _ => None,
    });
    matching.collect()
}

/// The `type` of each record, or its event, in order.
pub fn outline(entries: &[Entry]) -> Vec<String> {
    let name = |record: &Record| match record {
        Record::Start(_) => "start".to_owned(),
        Record::Call(call) => format!("call {} {} {}", call.tool, call.decision, call.layer),
        Record::Result(outcome) => format!("result {}", outcome.status),
        Record::Syscall(s) => format!("syscall {}", s.name),
        Record::Approval(approval) => approval.state.clone(),
        Record::Log { .. } => "log".to_owned(),
        Record::Lifecycle { event, .. } => event.clone(),
        Record::Recovered { .. } => "recovered".to_owned(),
        Record::Tombstone { .. } => "tombstone".to_owned(),
    };
    entries.iter().map(|entry| name(&entry.record)).collect()
}

/// Mounts a tmpfs of `size` on `at`, in a mount namespace of the calling thread: nobody else sees it, and
/// it is gone with the last descriptor to it.
pub fn tiny_tmpfs(at: &std::path::Path, size: &str) {
    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, unshare};
    unshare(CloneFlags::CLONE_NEWNS).expect("these tests mount: run them as root");
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
    let options = format!("size={size}");
    mount(Some("none"), at, Some("tmpfs"), MsFlags::empty(), Some(options.as_str())).unwrap();
}

/// Mounts an ext4 of 8 MiB, from a file in `dir`, on `at`, as [`tiny_tmpfs`] does.
pub fn loop_ext4(dir: &std::path::Path, at: &std::path::Path) -> Result<(), String> {
    use std::process::Command;
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).expect("these tests mount: run them as root");
    let image = dir.join("image");
    let file = std::fs::File::create(&image).map_err(|e| e.to_string())?;
    file.set_len(8 << 20).map_err(|e| e.to_string())?;
    // Not lazily: the threads that finish it later would be in the way of whoever counts blocks.
    let made = [
        Command::new("mkfs.ext4").args(["-q", "-E", "lazy_itable_init=0,lazy_journal_init=0"]).arg(&image).output(),
        Command::new("mount").args(["--make-rprivate", "/"]).output(),
        Command::new("mount").args(["-o", "loop"]).arg(&image).arg(at).output(),
    ];
    for output in made {
        let output = output.map_err(|e| format!("mkfs.ext4 or mount: {e}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
    }
    Ok(())
}

/// Reads all that is left on a stream, for tests that end a channel.
pub fn rest(stream: &mut UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    bytes
}
