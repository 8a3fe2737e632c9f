//! The program itself, under the filter it is shipped with, from execveat to exit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
#![allow(unsafe_code)]

mod common;

use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use common::{POLICY, bundle, end, outline, pair, receive, sealed, send, setup};
use nix::errno::Errno;
use nix::sys::socket::SockType;
use nix::unistd::{Gid, Uid, chdir, chown, chroot, setgid, setgroups, setuid};
use serde_json::{Value, json};
use stockade_journal::{Reader, verify};
use stockade_policy::seccomp;
use stockade_wire::control::{ToShim, ToSupervisor};
use stockade_wire::frame::{self, FromCell, Level, Status, ToCell};
use tempfile::TempDir;

/// Nobody, as far as the host is concerned.
const ID: u32 = 65_534;

struct Program {
    child: Child,
    control: OwnedFd,
    cell: UnixStream,
    root: TempDir,
}

/// What the launched process has of its descriptors.
struct Given {
    control: Option<OwnedFd>,
    cell: Option<OwnedFd>,
}

/// Starts the program in a root of its own, as an unprivileged user, under the `shim` filter.
fn start(root: &TempDir, given: Given) -> Child {
    let program = std::fs::File::open(env!("CARGO_BIN_EXE_stockade-shim")).unwrap();
    let path = std::ffi::CString::new(root.path().to_str().unwrap()).unwrap();
    let filter = seccomp::profile("shim").unwrap().bpf;
    let mut command = Command::new("/nonexistent");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let enter = move || {
        let put = |from: &Option<OwnedFd>, to: i32| -> nix::Result<()> {
            // SAFETY: dup2 and close on numbers of this process, which is about to exec.
            let done = unsafe {
                match from {
                    Some(fd) => libc::dup2(fd.as_raw_fd(), to),
                    None => libc::close(to).max(0),
                }
            };
            Errno::result(done).map(drop)
        };
        // Out of the way of 3 and 4 first: either may be the other's number.
        let program = program.try_clone()?;
        // SAFETY: as above.
        let high = Errno::result(unsafe { libc::fcntl(program.as_raw_fd(), libc::F_DUPFD, 100) })?;
        let move_up = |fd: &Option<OwnedFd>| -> nix::Result<Option<OwnedFd>> {
            use std::os::fd::FromRawFd;
            let Some(fd) = fd else { return Ok(None) };
            // SAFETY: F_DUPFD opens a descriptor that nobody else knows.
            unsafe {
                let up = Errno::result(libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 110))?;
                Ok(Some(OwnedFd::from_raw_fd(up)))
            }
        };
        let (control, cell) = (move_up(&given.control)?, move_up(&given.cell)?);
        put(&control, 3)?;
        put(&cell, 4)?;
        chroot(path.as_c_str())?;
        chdir("/")?;
        setgroups(&[])?;
        setgid(Gid::from_raw(ID))?;
        setuid(Uid::from_raw(ID))?;
        nix::sys::prctl::set_no_new_privs()?;
        load_filter(filter)?;
        let argv = [c"stockade-shim".as_ptr(), std::ptr::null()];
        let envp = [std::ptr::null::<libc::c_char>()];
        // SAFETY: the arrays are null-terminated and their strings static.
        unsafe {
            libc::syscall(libc::SYS_execveat, high, c"".as_ptr(), argv.as_ptr(), envp.as_ptr(), libc::AT_EMPTY_PATH)
        };
        Err(std::io::Error::last_os_error())
    };
    // SAFETY: between fork and exec only system calls and this process's own allocator are used.
    unsafe { command.pre_exec(enter) };
    command.spawn().expect("these tests change root and user: run them as root")
}

fn root() -> TempDir {
    let root = TempDir::new().unwrap();
    for dir in ["journal", "workspace"] {
        let dir = root.path().join(dir);
        std::fs::create_dir(&dir).unwrap();
        chown(&dir, Some(Uid::from_raw(ID)), Some(Gid::from_raw(ID))).unwrap();
    }
    root
}

/// Loads `bpf`, an array of `struct sock_filter` as bytes (seccomp(2)), as the launcher does.
fn load_filter(bpf: &[u8]) -> nix::Result<()> {
    let (instructions, rest) = bpf.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(Errno::EINVAL);
    }
    let mut program: Vec<libc::sock_filter> = instructions
        .iter()
        .map(|&[c0, c1, jt, jf, k0, k1, k2, k3]| libc::sock_filter {
            code: u16::from_ne_bytes([c0, c1]),
            jt,
            jf,
            k: u32::from_ne_bytes([k0, k1, k2, k3]),
        })
        .collect();
    let len = u16::try_from(program.len()).map_err(|_| Errno::EINVAL)?;
    let mut fprog = libc::sock_fprog { len, filter: program.as_mut_ptr() };
    // SAFETY: `fprog` describes exactly the `len` instructions that `program` owns and both outlive the
    // call; the kernel copies the program, checks it, and keeps no pointer.
    let answer = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw mut fprog) };
    Errno::result(answer).map(drop)
}

impl Program {
    fn new() -> Self {
        let root = root();
        let (control, theirs) = pair(SockType::SeqPacket);
        let (cell, cell_theirs) = pair(SockType::Stream);
        let child = start(&root, Given { control: Some(theirs), cell: Some(cell_theirs) });
        send(&control, &ToShim::Setup(Box::new(setup("wasm"))), &[sealed(&bundle(POLICY)).as_fd()]);
        let mut program = Self { child, control, cell: UnixStream::from(cell), root };
        match receive(&program.control) {
            Some(ToSupervisor::Hello) => program,
            _ => panic!("{}", program.diagnostics()),
        }
    }

    fn diagnostics(&mut self) -> String {
        let mut text = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        format!("{text}{:?}", self.child.wait())
    }

    fn say(&mut self, frame: &FromCell) {
        self.cell.write_all(&frame.encode().unwrap()).unwrap();
    }

    fn call(&mut self, id: u64, tool: &str, args: Value) -> (Status, Value) {
        self.say(&FromCell::Call { id, fuel: 0, tool: tool.into(), args: serde_json::to_vec(&args).unwrap() });
        match frame::read(&mut self.cell).map(|body| ToCell::decode(&body)) {
            Ok(Ok(ToCell::Reply { status, body, .. })) => (status, serde_json::from_slice(&body).unwrap()),
            other => panic!("{other:?}: {}", self.diagnostics()),
        }
    }
}

#[test]
fn the_program_serves_a_run_under_its_filter() {
    let mut program = Program::new();
    let workspace = program.root.path().join("workspace");
    std::fs::write(workspace.join("given"), "from outside").unwrap();
    program.say(&FromCell::Ready { report: b"{}".to_vec() });
    assert!(matches!(receive(&program.control), Some(ToSupervisor::CellReady { .. })));
    send(&program.control, &ToShim::Attested { enforcement: json!({}) }, &[]);
    assert!(matches!(receive(&program.control), Some(ToSupervisor::Started)));
    frame::read(&mut program.cell).unwrap();
    let calls = [
        ("workspace.read", json!({ "path": "given" })),
        ("workspace.write", json!({ "path": "new", "content": "x".repeat(1 << 20) })),
        ("workspace.write", json!({ "path": "new", "content": "x", "mode": "append" })),
        ("workspace.write", json!({ "path": "other", "content": "x", "mode": "create" })),
        ("workspace.read", json!({ "path": "new" })),
        ("workspace.list", json!({ "path": "." })),
        ("workspace.stat", json!({ "path": "new" })),
        ("clock", json!({})),
        ("random", json!({ "length": 4096 })),
    ];
    for (n, (tool, args)) in calls.into_iter().enumerate() {
        let (status, body) = program.call(n as u64 + 1, tool, args);
        assert_eq!(status, Status::Ok, "{tool}: {body}");
    }
    assert_eq!(program.call(20, "http.fetch", json!({})).0, Status::Denied);
    program.say(&FromCell::Log { level: Level::Info, message: "hello".into() });
    assert!(matches!(receive(&program.control), Some(ToSupervisor::Log { .. })));
    program.say(&FromCell::Call { id: 30, fuel: 0, tool: "exec".into(), args: br#"{"argv":["/bin/echo"]}"#.to_vec() });
    assert!(matches!(receive(&program.control), Some(ToSupervisor::LaunchTool { cell: 1, .. })));
    let (out, mut out_w) = std::io::pipe().unwrap();
    let (err, err_w) = std::io::pipe().unwrap();
    send(&program.control, &ToShim::ToolStarted { cell: 1, enforcement: json!({}) }, &[out.as_fd(), err.as_fd()]);
    out_w.write_all(b"out").unwrap();
    drop((out_w, err_w));
    let status = stockade_wire::control::ExitStatus::Code(0);
    send(&program.control, &ToShim::ToolExited { cell: 1, status }, &[]);
    frame::read(&mut program.cell).unwrap();
    send(&program.control, &ToShim::CellExited { end: end() }, &[]);
    assert!(matches!(receive(&program.control), Some(ToSupervisor::Bye(_))));
    let status = program.child.wait().unwrap();
    assert_eq!(status.code(), Some(0), "{}", program.diagnostics());
    let journal = program.root.path().join("journal");
    verify(&journal).unwrap();
    let entries: Vec<_> = Reader::open(&journal).unwrap().map(Result::unwrap).collect();
    assert_eq!(outline(&entries).last().unwrap(), "exit");
}

/// What the program says and its exit code, for descriptors as given.
fn refusal(root: &TempDir, control: Option<OwnedFd>, cell: Option<OwnedFd>) -> (String, Option<i32>) {
    let output = start(root, Given { control, cell }).wait_with_output().unwrap();
    (String::from_utf8(output.stderr).unwrap(), output.status.code())
}

#[test]
fn wrong_descriptors_are_named() {
    let dirs = root();
    let socket = |kind| pair(kind).1;
    let (text, code) = refusal(&dirs, None, None);
    assert!(text.contains("descriptor 3: not open"), "{text}");
    assert_eq!(code, Some(3));
    let (text, code) = refusal(&dirs, Some(std::fs::File::open("/dev/null").unwrap().into()), None);
    assert!(text.contains("descriptor 3: not a socket"), "{text}");
    assert_eq!(code, Some(3));
    let (text, _) = refusal(&dirs, Some(socket(SockType::Stream)), None);
    assert!(text.contains("descriptor 3: a Stream socket, not SeqPacket"), "{text}");
    let (text, _) = refusal(&dirs, Some(socket(SockType::SeqPacket)), Some(socket(SockType::Datagram)));
    assert!(text.contains("descriptor 4: a Datagram socket, not Stream"), "{text}");
    // The peer of this control socket is gone already.
    let (text, code) = refusal(&dirs, Some(socket(SockType::SeqPacket)), None);
    assert!(text.contains("the supervisor is gone"), "{text}");
    assert_eq!(code, Some(5));
    let bare = TempDir::new().unwrap();
    std::fs::set_permissions(bare.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let (text, code) = refusal(&bare, Some(socket(SockType::SeqPacket)), None);
    assert!(text.contains("/journal: ENOENT"), "{text}");
    assert_eq!(code, Some(3));
}

#[test]
fn a_journal_that_is_not_empty_is_refused() {
    let dirs = root();
    std::fs::write(dirs.path().join("journal/00000001.jsonl"), "").unwrap();
    let (control, theirs) = pair(SockType::SeqPacket);
    let child = start(&dirs, Given { control: Some(theirs), cell: None });
    let mut setup = setup("native");
    setup.workspace = String::new();
    send(&control, &ToShim::Setup(Box::new(setup)), &[sealed(&bundle(POLICY)).as_fd()]);
    assert!(receive(&control).is_none());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(15));
    assert!(String::from_utf8(output.stderr).unwrap().contains("already there"));
}
