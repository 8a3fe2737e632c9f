//! Real seccomp listeners: a thread of the test is the jailed process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
#![allow(unsafe_code)]

mod common;

use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use common::{POLICY, Rig, lifecycle, outline};
use nix::errno::Errno;
use serde_json::json;
use stockade_journal::{Entry, Record, Syscall};
use stockade_shim::notify::SHOWN;
use stockade_wire::control::{ExitStatus, ToShim, ToSupervisor};

/// `SECCOMP_RET_USER_NOTIF` for `numbers` (or any above 100,000), else allow.
fn filter(numbers: &[i64]) -> Vec<libc::sock_filter> {
    let op = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut program = vec![op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0)];
    let n = numbers.len() as u8;
    for (i, nr) in numbers.iter().enumerate() {
        program.push(op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, n - i as u8 + 1, 0, *nr as u32));
    }
    program.push(op(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 1, 0, 100_000));
    program.push(op(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW));
    program.push(op(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_USER_NOTIF));
    program
}

/// Puts the calling thread, and it alone, under the filter; gives the listener.
fn jail(numbers: &[i64]) -> OwnedFd {
    let mut program = filter(numbers);
    let mut fprog = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    nix::sys::prctl::set_no_new_privs().unwrap();
    // SAFETY: `fprog` describes `program`, which outlives the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw mut fprog,
        )
    };
    // SAFETY: seccomp(2) has just opened it.
    unsafe { OwnedFd::from_raw_fd(Errno::result(fd).unwrap() as i32) }
}

fn syscall(nr: i64, args: [u64; 3]) -> nix::Result<i64> {
    // SAFETY: the numbers used here take no pointers, or are refused before any is used.
    Errno::result(unsafe { libc::syscall(nr, args[0], args[1], args[2]) })
}

type Work = Box<dyn FnOnce() + Send>;

/// A thread under a filter, which does what it is told until it is dropped.
struct Jailed {
    work: Option<Sender<Work>>,
    done: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl Jailed {
    fn new(numbers: &'static [i64]) -> (Self, OwnedFd) {
        let (send_fd, fd) = channel();
        let (work, todo) = channel::<Work>();
        let (say_done, done) = channel();
        let thread = std::thread::spawn(move || {
            send_fd.send(jail(numbers)).unwrap();
            for task in todo {
                task();
                say_done.send(()).unwrap();
            }
        });
        (Self { work: Some(work), done, thread: Some(thread) }, fd.recv().unwrap())
    }

    fn run(&self, task: impl FnOnce() + Send + 'static) {
        self.work.as_ref().unwrap().send(Box::new(task)).unwrap();
        self.done.recv().unwrap();
    }

    fn end(mut self) {
        self.work = None;
        self.thread.take().unwrap().join().unwrap();
    }
}

fn listen(rig: &Rig, cell: u32, listener: &OwnedFd) {
    common::send(&rig.control, &ToShim::Listener { cell }, &[listener.as_fd()]);
}

fn native() -> Rig {
    let rig = Rig::new("native", POLICY);
    rig.send(&ToShim::Attested { enforcement: json!({}) });
    assert!(matches!(rig.receive(), Some(ToSupervisor::Started)));
    rig
}

fn syscalls(entries: &[Entry]) -> Vec<Syscall> {
    let each = entries.iter().filter_map(|e| match &e.record {
        Record::Syscall(s) => Some(s.clone()),
        _ => None,
    });
    each.collect()
}

const GETPPID: &[i64] = &[libc::SYS_getppid, libc::SYS_ptrace];

#[test]
fn a_notified_syscall_is_refused_and_recorded() {
    let rig = native();
    // The oracle: without the filter it succeeds.
    assert!(syscall(libc::SYS_getppid, [0; 3]).is_ok());
    let (jailed, listener) = Jailed::new(GETPPID);
    listen(&rig, 0, &listener);
    drop(listener);
    let (say, tid) = channel();
    jailed.run(move || {
        say.send(nix::unistd::gettid()).unwrap();
        assert_eq!(syscall(libc::SYS_getppid, [1, 2, 3]), Err(Errno::EPERM));
        assert_eq!(syscall(libc::SYS_ptrace, [16, u64::MAX, 0]), Err(Errno::EPERM));
        assert_eq!(syscall(123_456, [0; 3]), Err(Errno::EPERM));
    });
    jailed.end();
    let entries = rig.end();
    assert_eq!(outline(&entries), ["start", "syscall getppid", "syscall ptrace", "syscall syscall_123456", "exit"]);
    let seen = syscalls(&entries);
    assert_eq!(seen[0].args[..3], ["0x1", "0x2", "0x3"]);
    assert_eq!(seen[1].args[1], "0xffffffffffffffff");
    assert_eq!((seen[0].verdict.as_str(), seen[0].errno.as_str(), seen[0].arch.as_str()), ("deny", "EPERM", "x86_64"));
    assert_eq!((seen[0].cell, seen[0].call, seen[0].repeated), (0, None, 0));
    assert_eq!(i64::from(seen[0].pid), i64::from(tid.recv().unwrap().as_raw()));
}

#[test]
fn a_flood_is_refused_in_full_and_counted_exactly() {
    const FLOOD: u64 = 100_000;
    let rig = native();
    let (jailed, listener) = Jailed::new(GETPPID);
    listen(&rig, 0, &listener);
    drop(listener);
    jailed.run(|| {
        for _ in 0..FLOOD {
            assert_eq!(syscall(libc::SYS_getppid, [0; 3]), Err(Errno::EPERM));
        }
        for nr in 0..1000 {
            assert_eq!(syscall(200_000 + nr, [0; 3]), Err(Errno::EPERM));
        }
    });
    jailed.end();
    rig.send(&ToShim::CellExited { end: common::end() });
    let Some(ToSupervisor::Bye(summary)) = rig.receive() else { panic!() };
    assert_eq!(summary.syscalls, FLOOD + 1000);
    let seen = syscalls(&rig.records());
    let stands_for =
        |name: &str| -> u64 { seen.iter().filter(|s| s.name.starts_with(name)).map(|s| 1 + s.repeated).sum() };
    assert_eq!(stands_for("getppid"), FLOOD);
    assert_eq!(stands_for("syscall_"), 1000);
    assert!(seen.len() < 2 * (SHOWN as usize + 8), "{} lines", seen.len());
    rig.join().unwrap();
}

#[test]
fn what_comes_before_the_start_is_recorded_after_it() {
    let rig = Rig::new("native", POLICY);
    let (jailed, listener) = Jailed::new(GETPPID);
    listen(&rig, 0, &listener);
    jailed.run(|| assert_eq!(syscall(libc::SYS_getppid, [0; 3]), Err(Errno::EPERM)));
    rig.send(&ToShim::Attested { enforcement: json!({}) });
    assert!(matches!(rig.receive(), Some(ToSupervisor::Started)));
    jailed.end();
    assert_eq!(outline(&rig.end()), ["start", "syscall getppid", "exit"]);
}

#[test]
fn a_tool_s_syscalls_are_recorded_under_its_call() {
    let mut rig = Rig::running();
    let id = rig.ask("exec", br#"{"argv":["/bin/echo"]}"#);
    assert!(matches!(rig.receive(), Some(ToSupervisor::LaunchTool { cell: 1, .. })));
    let (jailed, listener) = Jailed::new(GETPPID);
    listen(&rig, 1, &listener);
    let (out, _) = std::io::pipe().unwrap();
    let (err, _) = std::io::pipe().unwrap();
    let message = ToShim::ToolStarted { cell: 1, enforcement: json!({}) };
    common::send(&rig.control, &message, &[out.as_fd(), err.as_fd()]);
    jailed.run(|| {
        for _ in 0..200 {
            assert_eq!(syscall(libc::SYS_getppid, [0; 3]), Err(Errno::EPERM));
        }
    });
    jailed.end();
    rig.send(&ToShim::ToolExited { cell: 1, status: ExitStatus::Code(0) });
    rig.answer(id);
    let entries = rig.end();
    let seen = syscalls(&entries);
    assert!(seen.iter().all(|s| s.cell == 1 && s.call == Some(id)));
    assert_eq!(seen.iter().map(|s| 1 + s.repeated).sum::<u64>(), 200);
    let outline = outline(&entries);
    let last = outline.iter().rposition(|line| line == "syscall getppid").unwrap();
    assert!(last < outline.iter().position(|line| line == "tool_exited").unwrap());
    assert_eq!(lifecycle(&entries, "tool_exited").len(), 1);
}

#[test]
fn a_dead_supervisor_leaves_no_open_door() {
    let mut rig = native();
    let (jailed, listener) = Jailed::new(GETPPID);
    listen(&rig, 0, &listener);
    drop(listener);
    rig.orphan();
    let (result, _) = rig.wait_for_end();
    assert!(result.is_err());
    // The listener died with the mediator: the kernel refuses by itself.
    jailed.run(|| assert_eq!(syscall(libc::SYS_getppid, [0; 3]), Err(Errno::ENOSYS)));
    jailed.end();
}

#[test]
fn what_cannot_be_recorded_is_refused_all_the_same() {
    let dirs = tempfile::TempDir::new().unwrap();
    let journal = dirs.path().join("journal");
    std::fs::create_dir(&journal).unwrap();
    if let Err(why) = common::loop_ext4(dirs.path(), &journal) {
        println!("SKIPPED what_cannot_be_recorded_is_refused_all_the_same: {why}");
        return;
    }
    let rig = Rig::with_journal("native", POLICY, dirs, journal);
    rig.send(&ToShim::Attested { enforcement: json!({}) });
    assert!(matches!(rig.receive(), Some(ToSupervisor::Started)));
    // What ext4 does at errors=remount-ro.
    nix::mount::mount(None::<&str>, &rig.journal, None::<&str>, nix::mount::MsFlags::MS_REMOUNT, Some("abort"))
        .unwrap();
    let (jailed, listener) = Jailed::new(GETPPID);
    listen(&rig, 0, &listener);
    drop(listener);
    jailed.run(|| {
        for _ in 0..1000 {
            assert_eq!(syscall(libc::SYS_getppid, [0; 3]), Err(Errno::EPERM));
        }
    });
    assert!(matches!(rig.receive(), Some(ToSupervisor::KillCell { reason }) if reason.contains("journal")));
    rig.send(&ToShim::CellExited { end: common::end() });
    assert!(rig.receive().is_none());
    assert_eq!(rig.join().unwrap_err().exit_code(), 15);
    jailed.end();
}
