//! A workspace that its owner, or a native tool in it, has turned against the mediator.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Rig, outline};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};
use stockade_wire::frame::Status;

const SECRET: &str = "outside the workspace";

/// A run with a secret beside its workspace.
fn rig() -> Rig {
    let rig = Rig::running();
    fs::write(rig.workspace.parent().unwrap().join("outside"), SECRET).unwrap();
    fs::create_dir(rig.workspace.parent().unwrap().join("elsewhere")).unwrap();
    fs::write(rig.workspace.parent().unwrap().join("elsewhere/file"), SECRET).unwrap();
    rig
}

fn code(answer: (Status, Value)) -> String {
    assert_ne!(answer.0, Status::Ok, "{}", answer.1);
    answer.1["error"].as_str().unwrap().to_owned()
}

#[test]
fn symbolic_links_are_never_followed() {
    let mut rig = rig();
    let top = rig.workspace.parent().unwrap().to_owned();
    symlink(top.join("outside"), rig.workspace.join("absolute")).unwrap();
    symlink("../outside", rig.workspace.join("relative")).unwrap();
    symlink("../elsewhere", rig.workspace.join("dir")).unwrap();
    symlink("inside", rig.workspace.join("within")).unwrap();
    symlink("/proc/self/root", rig.workspace.join("magic")).unwrap();
    rig.write("inside", "plain");
    // The oracle: without the mediator each of these reads the secret.
    for name in ["absolute", "relative", "dir/file"] {
        assert_eq!(fs::read_to_string(rig.workspace.join(name)).unwrap(), SECRET);
    }
    for name in ["absolute", "relative", "dir/file", "within", "magic/etc/passwd", "magic"] {
        assert_eq!(code(rig.call("workspace.read", json!({ "path": name }))), "symlink", "{name}");
        let append = json!({ "path": name, "content": "x", "mode": "append" });
        assert_eq!(code(rig.call("workspace.write", append)), "symlink", "{name}");
    }
    for name in ["absolute", "within"] {
        let replace = json!({ "path": name, "content": "x" });
        assert_eq!(code(rig.call("workspace.write", replace)), "symlink");
        let create = json!({ "path": name, "content": "x", "mode": "create" });
        assert_eq!(code(rig.call("workspace.write", create)), "exists");
    }
    assert_eq!(code(rig.call("workspace.list", json!({ "path": "dir" }))), "symlink");
    assert_eq!(code(rig.call("workspace.stat", json!({ "path": "dir/file" }))), "symlink");
    assert_eq!(fs::read_to_string(top.join("outside")).unwrap(), SECRET);
}

#[test]
fn other_kinds_of_files_are_refused_at_once() {
    let mut rig = rig();
    mkfifo(&rig.workspace.join("fifo"), Mode::S_IRWXU).unwrap();
    let _listener = UnixListener::bind(rig.workspace.join("socket")).unwrap();
    for name in ["fifo", "socket"] {
        assert_eq!(code(rig.call("workspace.read", json!({ "path": name }))), "not_a_file", "{name}");
        for mode in ["replace", "append"] {
            let args = json!({ "path": name, "content": "x", "mode": mode });
            assert_eq!(code(rig.call("workspace.write", args)), "not_a_file", "{name} {mode}");
        }
        assert_eq!(rig.call("workspace.stat", json!({ "path": name })).1["kind"], "other");
    }
}

#[test]
fn files_with_other_names_are_refused() {
    let mut rig = rig();
    let outside = rig.workspace.parent().unwrap().join("outside");
    fs::hard_link(&outside, rig.workspace.join("link")).unwrap();
    assert_eq!(fs::read_to_string(rig.workspace.join("link")).unwrap(), SECRET, "the oracle");
    assert_eq!(code(rig.call("workspace.read", json!({ "path": "link" }))), "hard_link");
    for mode in ["replace", "append"] {
        let args = json!({ "path": "link", "content": "x", "mode": mode });
        assert_eq!(code(rig.call("workspace.write", args)), "hard_link");
    }
    assert_eq!(fs::read_to_string(&outside).unwrap(), SECRET);
}

#[test]
fn a_denied_file_has_no_second_name() {
    let mut rig = rig();
    rig.write("secret", "s3cr3t");
    fs::hard_link(rig.workspace.join("secret"), rig.workspace.join("innocent")).unwrap();
    rig.write("third", "mine");
    for path in ["secret", "innocent"] {
        for tool in ["workspace.read", "workspace.stat"] {
            assert_eq!(rig.call(tool, json!({ "path": path })).0, Status::Denied, "{tool} {path}");
        }
        for mode in ["replace", "append"] {
            let args = json!({ "path": path, "content": "x", "mode": mode });
            assert_eq!(rig.call("workspace.write", args).0, Status::Denied, "{mode} {path}");
        }
    }
    let (_, body) = rig.call("workspace.list", json!({ "path": "." }));
    assert_eq!(
        body["entries"],
        json!([
            { "name": "innocent", "kind": "denied" },
            { "name": "secret", "kind": "denied" },
            { "name": "third", "kind": "file", "size": 4 },
        ])
    );
    assert_eq!(fs::read_to_string(rig.workspace.join("secret")).unwrap(), "s3cr3t");
}

#[test]
fn names_that_try_to_mislead() {
    let mut rig = rig();
    for name in ["line\nbreak", "tab\there", "esc\u{1b}[2J", "nul\0", "del\u{7f}", "csi\u{9b}"] {
        assert_eq!(rig.call("workspace.write", json!({ "path": name, "content": "" })).0, Status::Invalid);
    }
    for name in ["rtl\u{202e}txt", "ä", " ", "...", "-rf", "a\\b", "%2e%2e%2f", "~", "$HOME", "*"] {
        assert_eq!(rig.call("workspace.write", json!({ "path": name, "content": "x" })).0, Status::Ok, "{name:?}");
        assert_eq!(fs::read(rig.workspace.join(name)).unwrap(), b"x");
    }
    for name in ["..", "a/..", "../x", "./../x", "a/../../x", "/", "//etc/passwd", "/etc/passwd"] {
        assert_eq!(rig.call("workspace.read", json!({ "path": name })).0, Status::Invalid, "{name}");
    }
    assert_eq!(rig.call("workspace.read", json!({ "path": "n".repeat(256) })).0, Status::Invalid);
}

#[test]
fn a_mount_is_not_crossed() {
    // /proc is a mount of its own on every Linux: a workspace that holds mounts is the root.
    let root = common::directory(Path::new("/"));
    let policy = stockade_policy::parse_policy("test.toml", common::POLICY).unwrap();
    let workspace = stockade_shim::workspace::Workspace::new(root, &policy.bundle()).unwrap();
    assert!(fs::metadata("/proc/version").is_ok(), "the oracle");
    let error = workspace.read(&"proc/version".parse().unwrap(), 0, 10).unwrap_err();
    assert_eq!(error.code(), "mount");
}

/// Runs `swap` over and over in a second thread until the guard is dropped.
struct Racer {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<u64>>,
}

impl Racer {
    fn new(swap: impl Fn() + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut turns = 0;
            while !seen.load(Ordering::Relaxed) {
                swap();
                turns += 1;
            }
            turns
        });
        Self { stop, thread: Some(thread) }
    }

    fn turns(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

/// Exchanges two names atomically, as fast as it can.
fn exchanger(one: &Path, two: &Path) -> Racer {
    let name = |path: &Path| CString::new(path.to_str().unwrap()).unwrap();
    let (one, two) = (name(one), name(two));
    Racer::new(move || {
        renameat2(AT_FDCWD, one.as_c_str(), AT_FDCWD, two.as_c_str(), RenameFlags::RENAME_EXCHANGE).unwrap();
    })
}

/// Turns of the mediator, two calls each: as many as the test's policy allows.
const CALLS: usize = 500;

#[test]
fn a_directory_swapped_for_a_link_during_the_call() {
    let mut rig = rig();
    fs::create_dir(rig.workspace.join("dir")).unwrap();
    rig.write("dir/file", "mine");
    symlink("../elsewhere", rig.workspace.join("other")).unwrap();
    let racer = exchanger(&rig.workspace.join("dir"), &rig.workspace.join("other"));
    // The oracle: a reader that resolves by name loses the race sooner or later.
    let deadline = Instant::now() + Duration::from_secs(20);
    let lost = || fs::read_to_string(rig.workspace.join("dir/file")).is_ok_and(|text| text == SECRET);
    while !lost() {
        assert!(Instant::now() < deadline, "the race is not real");
    }
    let (mut served, mut refused) = (0, 0);
    for _ in 0..CALLS {
        match rig.call("workspace.read", json!({ "path": "dir/file" })) {
            (Status::Ok, body) => {
                assert_eq!(body["content"], "mine");
                served += 1;
            }
            (_, body) => {
                assert_eq!(body["error"], "symlink");
                refused += 1;
            }
        }
        let _ = rig.call("workspace.write", json!({ "path": "dir/new", "content": "x" }));
    }
    assert!(racer.turns() > 10);
    assert_eq!(served + refused, CALLS);
    assert!(!rig.workspace.parent().unwrap().join("elsewhere/new").exists());
    assert!(outline(&rig.end()).iter().all(|line| !line.contains("killed")));
}

#[test]
fn a_file_swapped_for_a_fifo_or_a_link_during_the_call() {
    let mut rig = rig();
    rig.write("file", "mine");
    mkfifo(&rig.workspace.join("fifo"), Mode::S_IRWXU).unwrap();
    symlink("../outside", rig.workspace.join("link")).unwrap();
    let at = |name: &str| rig.workspace.join(name);
    let (one, two) = (exchanger(&at("file"), &at("fifo")), exchanger(&at("file"), &at("link")));
    for _ in 0..300 {
        match rig.call("workspace.read", json!({ "path": "file" })) {
            (Status::Ok, body) => assert_ne!(body["content"], SECRET),
            (_, body) => assert!(["symlink", "not_a_file"].contains(&body["error"].as_str().unwrap()), "{body}"),
        }
        let _ = rig.call("workspace.write", json!({ "path": "file", "content": "x", "mode": "append" }));
    }
    one.turns();
    two.turns();
    assert_eq!(fs::read_to_string(rig.workspace.parent().unwrap().join("outside")).unwrap(), SECRET);
}

#[test]
fn a_target_swapped_during_a_replacement_changes_nothing_outside() {
    let mut rig = rig();
    rig.write("file", "mine");
    symlink("../outside", rig.workspace.join("link")).unwrap();
    let racer = exchanger(&rig.workspace.join("file"), &rig.workspace.join("link"));
    for _ in 0..400 {
        let _ = rig.call("workspace.write", json!({ "path": "file", "content": "replaced" }));
    }
    racer.turns();
    assert_eq!(fs::read_to_string(rig.workspace.parent().unwrap().join("outside")).unwrap(), SECRET);
}

#[test]
fn a_file_size_limit_fails_the_write_and_leaves_the_old_file() {
    // The size is the policy's, so that the limit of the process is not needed; the file system's
    // own refusals are tried in `disk_full.rs`.
    let mut rig = rig();
    rig.write("f", "old");
    fs::set_permissions(rig.workspace.join("f"), fs::Permissions::from_mode(0o600)).unwrap();
    let chunk = "x".repeat(1024 * 1024);
    for (expected, mode) in [(Status::Ok, "append"), (Status::Limit, "append"), (Status::Limit, "append")] {
        let (status, _) = rig.call("workspace.write", json!({ "path": "f", "content": chunk, "mode": mode }));
        assert_eq!(status, expected);
    }
    assert_eq!(fs::metadata(rig.workspace.join("f")).unwrap().len(), 3 + 1024 * 1024);
}
