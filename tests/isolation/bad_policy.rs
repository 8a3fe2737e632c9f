//! Policies that cannot be trusted or read: exit code 10, the file's name, and nothing ran.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};

use nix::sys::stat::Mode;

use crate::rig::Rig;

#[test]
fn a_policy_that_cannot_be_trusted_is_refused() {
    let Some(rig) = Rig::new("a_policy_that_cannot_be_trusted_is_refused", &[]) else { return };
    let good = rig.native_policy("");
    rig.end(rig.command(&good).args(["--", "/usr/bin/true"])).expect("the policy itself", 0, &["finished"]);

    let mode = |name: &str, mode: u32| {
        let path = rig.file(name, fs::read(&good).unwrap());
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    };
    let linked = rig.path("linked.toml");
    symlink(&good, &linked).unwrap();
    let fifo = rig.path("fifo.toml");
    nix::unistd::mkfifo(&fifo, Mode::from_bits_truncate(0o600)).unwrap();
    let huge = rig.path("huge.toml");
    fs::File::create(&huge).unwrap().set_len(8 << 30).unwrap();
    let open_folder = rig.folder("open");
    fs::copy(&good, open_folder.join("in-open.toml")).unwrap();
    fs::set_permissions(&open_folder, Permissions::from_mode(0o777)).unwrap();
    let foreign = mode("foreign.toml", 0o600);
    chown(&foreign, Some(12345), Some(12345)).unwrap();
    let socket = rig.path("socket.toml");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();

    let cases = [
        ("missing", rig.path("missing.toml"), "missing.toml"),
        ("world-writable", mode("world.toml", 0o666), "world.toml"),
        ("group-writable", mode("group.toml", 0o660), "group.toml"),
        ("a FIFO", fifo, "fifo.toml"),
        ("huge", huge, "huge.toml"),
        ("a folder", rig.path("work"), "work"),
        ("a symbolic link", linked, "linked.toml"),
        ("in a folder that anyone may write to", open_folder.join("in-open.toml"), "open"),
        ("somebody else's", foreign, "foreign.toml"),
        ("a socket", socket, "socket.toml"),
        ("a device", "/dev/zero".into(), "/dev/zero"),
        ("a name with an escape", rig.path("a\x1b[2Jb\nc.toml"), "a\\u{1b}[2Jb\\nc.toml"),
    ];
    for (what, path, names) in cases {
        let ran = rig.end(rig.command(&path).args(["--", "/usr/bin/touch", "/workspace/ran"]));
        ran.expect(what, 10, &[names, "help: "]);
        assert!(!ran.stderr.contains('\x1b'), "{what}: {:?}", ran.stderr);
    }
    assert!(!rig.path("work/ran").exists());
    rig.clean("refused policies");
}

#[test]
fn a_policy_that_makes_no_sense_is_refused() {
    let Some(rig) = Rig::new("a_policy_that_makes_no_sense_is_refused", &[]) else { return };
    let cases: [(&str, &[u8], &[&str]); 9] = [
        ("empty", b"", &["version"]),
        ("NULs", b"version = 1\nid = \"a\0b\"\n", &["bad.toml"]),
        ("not UTF-8", b"version = 1\nid = \"\xff\"\n", &["UTF-8"]),
        ("no TOML", b"{\"version\": 1}", &["bad.toml:1"]),
        ("a misspelt key", b"version = 1\nid = \"a\"\n[limits]\nmemroy = \"1GiB\"\n", &["bad.toml:4", "memory"]),
        (
            "a limit of nothing",
            b"version = 1\nid = \"a\"\nextends = [\"preset:base@1\"]\n[limits]\npids = 0\n",
            &["bad.toml:5"],
        ),
        ("an unknown preset", b"version = 1\nid = \"a\"\nextends = [\"preset:nosuch\"]\n", &["nosuch"]),
        ("an escape in its name", b"version = 1\nid = \"a\x1b[31mb\"\n", &["bad.toml"]),
        (
            "a test that fails",
            b"version = 1\nid = \"a\"\nextends = [\"preset:base@1\"]\n[[test]]\ncall = \"clock\"\nexpect = \"allow\"\n",
            &["bad.toml:4", "test failed"],
        ),
    ];
    for (what, content, says) in cases {
        let policy = rig.file("bad.toml", content);
        let ran = rig.end(rig.command(&policy).args(["--", "/usr/bin/true"]));
        ran.expect(what, 10, says);
        assert!(!ran.stderr.contains('\x1b'), "{what}: an escape on the screen: {:?}", ran.stderr);
    }
    // A thousand nested arrays, and a million keys.
    let deep = format!("version = 1\nid = {}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    let wide: String = (0..40_000).map(|i| format!("key{i} = 1\n")).collect();
    for (what, content) in [("deep", deep), ("wide", wide)] {
        let policy = rig.file("bad.toml", content);
        rig.end(rig.command(&policy).args(["--", "/usr/bin/true"])).expect(what, 10, &["bad.toml"]);
    }
    rig.clean("senseless policies");
}
