//! What surrounds a run: descriptors that are closed or stuck, no free ids, no root, odd arguments.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::fcntl::{FcntlArg, Flock, FlockArg, OFlag, fcntl};
use nix::unistd::pipe2;

use crate::rig::Rig;

/// Runs a line of sh(1) with `stockade run …` as "$@".
fn through_sh(line: &str, stockade: &Command) -> Command {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(line).arg("sh").arg(stockade.get_program()).args(stockade.get_args());
    command
}

#[test]
fn closed_descriptors_change_nothing() {
    let Some(rig) = Rig::new("closed_descriptors_change_nothing", &[]) else { return };
    let policy = rig.native_policy("");
    let mut stockade = rig.command(&policy);
    stockade.args(["--", "/bin/sh", "-c", "echo out; echo err >&2; ls /proc/self/fd; cat; touch /workspace/ran"]);
    for line in [
        "\"$@\" >&-",
        "\"$@\" 2>&-",
        "\"$@\" <&-",
        "\"$@\" <&- >&- 2>&-",
        "\"$@\" </dev/zero",
        "\"$@\" </etc/passwd",
        "\"$@\" >/dev/full",
        "\"$@\" 3</etc/passwd 7<>/etc/passwd 9>&1",
    ] {
        let ran = rig.end(&mut through_sh(line, &stockade));
        ran.expect(line, 0, &[]);
        assert!(!ran.text().contains("root:"), "{line}: stdin is not empty: {}", ran.text());
        if line.ends_with("9>&1") {
            // 3 is ls's own, for the folder.
            assert_eq!(ran.text(), "out\n0\n1\n2\n3\n", "{line}");
        }
        fs::remove_file(rig.path("work/ran")).unwrap();
    }
    let component = rig.component("hello", &crate::text::body(
        "(i32.store8 (i32.const 0) (i32.const 104)) (call $log (i32.const 1) (i32.const 0) (i32.const 1)) (call $ok (i32.const 0) (i32.const 1))",
    ));
    let policy = rig.wasm_policy("");
    let mut stockade = rig.command(&policy);
    stockade.arg(component);
    for line in ["\"$@\" >&-", "\"$@\" 2>&-", "\"$@\" <&- >&- 2>&-"] {
        rig.end(&mut through_sh(line, &stockade)).expect(line, 0, &[]);
    }
    rig.clean("closed descriptors");
}

/// A pipe with no room, and its other end.
fn stuck() -> (OwnedFd, OwnedFd) {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    while nix::unistd::write(&writer, &[b'x'; 4096]).is_ok() {}
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    (reader, writer)
}

#[test]
fn a_reader_that_is_gone_or_stuck_holds_nothing_up() {
    let Some(rig) = Rig::new("a_reader_that_is_gone_or_stuck_holds_nothing_up", &[]) else { return };
    let policy = rig.native_policy("[limits]\nwall = \"1s\"\n");
    let flood = ["--", "/bin/sh", "-c", "while :; do echo flood; echo flood >&2; done"];
    let little = ["--", "/bin/sh", "-c", "echo little"];

    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
    drop(reader);
    let mut command = rig.command(&policy);
    let files = [(); 2].map(|()| tempfile::tempfile().unwrap());
    command.stdin(Stdio::null()).stdout(writer.try_clone().unwrap()).stderr(files[1].try_clone().unwrap());
    rig.begin_as_is(command.args(little), files).end().expect("a closed pipe", 0, &["finished"]);

    for (what, argv, code) in [("a flood", flood, 30), ("a little", little, 0)] {
        let (_reader, writer) = stuck();
        let mut command = rig.command(&policy);
        let files = [(); 2].map(|()| tempfile::tempfile().unwrap());
        command.stdin(Stdio::null()).stdout(writer).stderr(files[1].try_clone().unwrap());
        rig.begin_as_is(command.args(argv), files).end().expect(what, code, &[]);
        rig.clean(what);

        let (_reader, writer) = stuck();
        let mut command = rig.command(&policy);
        let files = [(); 2].map(|()| tempfile::tempfile().unwrap());
        command.stdin(Stdio::null()).stdout(files[0].try_clone().unwrap()).stderr(writer);
        rig.begin_as_is(command.args(argv), files).end().expect(&format!("{what}, stderr stuck"), code, &[]);
        rig.clean(what);
    }
}

#[test]
fn a_slow_reader_gets_everything() {
    let Some(rig) = Rig::new("a_slow_reader_gets_everything", &[]) else { return };
    let policy = rig.native_policy("");
    let (reader, writer) = stuck();
    let mut command = rig.command(&policy);
    let files = [(); 2].map(|()| tempfile::tempfile().unwrap());
    command.stdin(Stdio::null()).stdout(writer).stderr(files[1].try_clone().unwrap());
    command.args(["--", "/bin/sh", "-c", "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done"]);
    let running = rig.begin_as_is(&mut command, files);
    drop(command);
    let mut text = String::new();
    File::from(reader).read_to_string(&mut text).unwrap();
    running.end().expect("a slow reader", 0, &["finished"]);
    assert!(text.ends_with("line 19999\n") && text.matches("line").count() == 20_000);
    rig.clean("a slow reader");
}

#[test]
fn without_a_free_id_range_nothing_starts() {
    let Some(rig) = Rig::new("without_a_free_id_range_nothing_starts", &[]) else { return };
    let policy = rig.native_policy("");
    // Locked empty files are what the allocator sees when 512 runs are between taking a range and using it.
    let held: Vec<_> = (0..512)
        .filter_map(|slot| {
            let path = Path::new("/run/stockade/ids").join(slot.to_string());
            let file = File::options().create(true).truncate(false).write(true).open(&path).unwrap();
            // One that is held already is as good.
            Flock::lock(file, FlockArg::LockExclusiveNonblock).ok().map(|lock| (lock, path))
        })
        .collect();
    let ran = rig.native(&policy, &["/usr/bin/true"]);
    ran.expect("no free range", 13, &["no free uid range", "512", "wait for one to end", "/run/stockade/ids"]);
    for (lock, path) in held {
        drop(lock);
        fs::remove_file(path).unwrap();
    }
    rig.native(&policy, &["/usr/bin/true"]).expect("free again", 0, &["finished"]);
    rig.clean("no free range");
}

#[test]
fn without_root_nothing_starts() {
    let Some(rig) = Rig::new("without_root_nothing_starts", &[]) else { return };
    let policy = rig.native_policy("");
    fs::set_permissions(&policy, Permissions::from_mode(0o644)).unwrap();
    // The programs may be where nobody can go.
    let open_dir = rig.folder("bin");
    for name in ["stockade", "stockade-launcher", "stockade-shim", "stockade-init", "stockade-notary"] {
        fs::copy(stockade_tests::host::Programs::find().path(name), open_dir.join(name)).unwrap();
    }
    let mut command = Command::new(open_dir.join("stockade"));
    command.arg("run").arg("--policy").arg(&policy).arg("--state").arg(rig.path("state"));
    command.args(["--", "/usr/bin/true"]).uid(65534).gid(65534).current_dir("/");
    rig.end(&mut command).expect("nobody", 13, &["needs root", "sudo"]);

    fs::set_permissions(&policy, Permissions::from_mode(0o600)).unwrap();
    rig.end(&mut command).expect(
        "nobody, and a policy they cannot read",
        10,
        &["permission denied", "help: run as a user who may read it"],
    );

    fs::set_permissions(open_dir.join("stockade-launcher"), Permissions::from_mode(0o777)).unwrap();
    let mut command = Command::new(open_dir.join("stockade"));
    command.arg("run").arg("--policy").arg(&policy).arg("--state").arg(rig.path("state"));
    let ran = rig.end(command.args(["--", "/usr/bin/true"]));
    ran.expect("a launcher that anyone may write", 13, &["stockade-launcher", "writable by root alone"]);
    fs::remove_file(open_dir.join("stockade-launcher")).unwrap();
    rig.end(&mut command).expect("no launcher", 13, &["stockade-notary", "installed completely"]);
    rig.clean("no root");
}

#[test]
fn odd_arguments_are_passed_on_and_shown_safely() {
    let Some(rig) = Rig::new("odd_arguments_are_passed_on_and_shown_safely", &["python3"]) else { return };
    let policy = rig.native_policy("");
    let odd = "a\nb\x1b[2J\u{202e}\r\t c";
    let ran =
        rig.native(&policy, &["/usr/bin/python3", "-c", "import sys; print(ascii(sys.argv[1:]))", odd, "", "--", "-x"]);
    ran.expect("odd arguments", 0, &["finished"]);
    assert_eq!(ran.text(), "['a\\nb\\x1b[2J\\u202e\\r\\t c', '', '--', '-x']\n");
    assert_eq!(rig.records()[0]["task"][3], odd);

    let huge = rig.path("huge");
    File::create(&huge).unwrap().set_len(1 << 40).unwrap();
    for (what, code, argv) in [
        ("a program of a terabyte", 11, &[huge.to_str().unwrap()][..]),
        ("a program that is missing", 11, &["/usr/bin/no\nsuch\x1b[2J"][..]),
        ("a folder", 11, &["/usr/bin"]),
        ("a relative name", 11, &["python3"]),
        ("an empty name", 11, &[""]),
        ("one outside of the cell", 20, &["/etc/passwd"]),
        ("one in the workspace that is missing", 20, &["/workspace/nothing"]),
    ] {
        let ran = rig.native(&policy, argv);
        ran.expect(what, code, &[]);
        assert!(!ran.stderr.contains('\x1b') && !ran.stderr.contains("no\nsuch"), "{what}: {:?}", ran.stderr);
    }
    // The last byte is no UTF-8: usage, not a crash.
    let mut command = rig.command(&policy);
    rig.end(command.arg("--").arg("/usr/bin/true").arg(OsStr::from_bytes(b"\xff"))).expect("not UTF-8", 2, &["UTF-8"]);
    let mut command = rig.command(&policy);
    rig.end(command.args(["--name", "evil\x1b[2J\nname", "--", "/usr/bin/true"])).expect("a name with escapes", 0, &[]);
    let mut command = rig.command(&policy);
    let long = "x".repeat(100_000);
    let ran = rig.end(command.args(["--", "/usr/bin/true", &long]));
    assert!(matches!(ran.status.code(), Some(0 | 2 | 10 | 11)), "a long argument: {ran:?}");
    assert!(!ran.stderr.contains("internal"), "a long argument: {}", ran.stderr);
    let many: Vec<String> = (0..20_000).map(|i| format!("argument number {i}")).collect();
    let ran = rig.end(rig.command(&policy).args(["--", "/usr/bin/true"]).args(&many));
    assert!(matches!(ran.status.code(), Some(0 | 2 | 10 | 11)), "many arguments: {ran:?}");
    rig.clean("odd arguments");
}
