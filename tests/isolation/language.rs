//! What a policy can say of execution, environment, syscalls and bytes, enforced on real cells.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};

use serde_json::Value;

use crate::rig::{OWNER, Rig};
use crate::text::{NOTHING, body};

/// A list as TOML has it.
fn array(texts: &[&str]) -> String {
    format!("{texts:?}")
}

/// The workspace, with this executable beside what the preset has.
fn executable(paths: &[&str]) -> String {
    format!("[fs]\nread = [\"@workspace\"]\nwrite = [\"@workspace\"]\nexecute = {}\n", array(paths))
}

/// Variables that are passed on.
fn passed(names: &[&str]) -> String {
    format!("[env]\npass = {}\n", array(names))
}

/// A syscall that gets another answer.
fn added(names: &[&str], action: &str) -> String {
    format!("[[syscalls.add]]\nnames = {}\naction = \"{action}\"\nwhy = \"a test of it\"\n", array(names))
}

/// The start record's account of a layer.
fn layer(rig: &Rig, name: &str) -> Value {
    rig.records()[0]["enforcement"][name].clone()
}

/// A program of the workspace that says so.
fn script(rig: &Rig, name: &str) {
    let path = rig.path("work").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::copy("/usr/bin/echo", &path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    chown(&path, Some(OWNER), Some(OWNER)).unwrap();
}

const EXECUTE: &str = r"
import os, subprocess, mmap, sys
def tried(path):
    try: return subprocess.run([path, 'ran'], capture_output=True, text=True).stdout.strip()
    except OSError as e: return e.strerror
print([tried(path) for path in sys.argv[1:]])
f = os.open(sys.argv[1], os.O_RDONLY)
try:
    mmap.mmap(f, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC); print('mapped')
except PermissionError: print('not mapped')
";

#[test]
fn reading_is_not_executing() {
    let Some(rig) = Rig::new("reading_is_not_executing", &["python3"]) else { return };
    for name in ["bin/tool", "other/tool"] {
        script(&rig, name);
    }
    let places = ["/workspace/other/tool", "/workspace/bin/tool"];
    let run = |sections: &str| {
        let mut command = rig.command(&rig.native_policy(sections));
        let ran = rig.end(command.args(["--", "/usr/bin/python3", "-c", EXECUTE]).args(places));
        ran.expect(sections, 0, &[]);
        let table = layer(&rig, "mounts")["table"].to_string();
        let mount = |place: &str| {
            let line = table.split('"').find(|line| line.split(' ').next() == Some(place)).unwrap().to_owned();
            line.contains("noexec")
        };
        (ran.text(), mount("/workspace"), mount("/usr"))
    };
    let ran = |text: &str, mapped: &str| format!("{text}\n{mapped}\n");
    // The whole workspace.
    let all = run(&executable(&["@workspace"]));
    assert_eq!(all, (ran("['ran', 'ran']", "mapped"), false, false));
    // Nothing of it: its mount is noexec, and not even a loader can map code of it.
    assert_eq!(run(""), (ran("['Permission denied', 'Permission denied']", "not mapped"), true, false));
    // A part of it: the mount cannot be, and Landlock tells the part.
    let part = run(&executable(&["@workspace/bin"]));
    assert_eq!(part, (ran("['Permission denied', 'ran']", "mapped"), false, false));
    // A part of /usr, with the interpreter's own loader; other programs of it can only be read.
    let loader = fs::canonicalize("/lib64/ld-linux-x86-64.so.2").unwrap();
    let python = fs::canonicalize("/usr/bin/python3").unwrap();
    let two = array(&[loader.to_str().unwrap(), python.to_str().unwrap()]);
    let policy = rig.bare_policy(&format!("execute = {two}\n"));
    let ran = rig.end(rig.command(&policy).arg("--").arg(&python).args([
        "-c",
        "import subprocess\nopen('/usr/bin/true', 'rb').read()\ntry: subprocess.run(['/usr/bin/true']); print('ran')\nexcept PermissionError: print('refused')",
    ]));
    ran.expect("two programs", 0, &[]);
    assert_eq!(ran.text(), "refused\n");

    let nothing = rig.native(&rig.bare_policy("execute = []\n"), &["/usr/bin/true"]);
    nothing.expect("nothing is executable", 20, &["could not be executed", "fs.execute"]);
    let table = layer(&rig, "mounts")["table"].clone();
    let usr = table.as_array().unwrap().iter().filter_map(Value::as_str).find(|line| line.starts_with("/usr "));
    assert!(usr.unwrap().contains("noexec"), "{table}");
    if fs::symlink_metadata("/usr/bin/python3").unwrap().is_symlink() {
        let policy = rig.bare_policy("execute = [\"/usr/bin/python3\"]\n");
        let ran = rig.native(&policy, &["/usr/bin/true"]);
        ran.expect("a link", 10, &["fs.execute", "symbolic link", "name /usr/bin/python3."]);
    }
    rig.clean("execution");
}

#[test]
fn a_link_in_the_workspace_moves_no_rule() {
    let Some(rig) = Rig::new("a_link_in_the_workspace_moves_no_rule", &[]) else { return };
    std::os::unix::fs::symlink("..", rig.path("work").join("bin")).unwrap();
    let policy = rig.native_policy(&executable(&["@workspace/bin"]));
    let ran = rig.native(&policy, &["/usr/bin/true"]);
    ran.expect("a link", 14, &["landlock-rules", "/workspace/bin"]);
    rig.clean("a link");
}

#[test]
fn the_environment_is_passed_by_name() {
    let Some(rig) = Rig::new("the_environment_is_passed_by_name", &["python3"]) else { return };
    let mut with = rig.command(&rig.native_policy(&passed(&["ABSENT", "PASSED", "PATH"])));
    with.env("PASSED", "a=b c").env("OTHER", "secret").env("PATH", "/operator");
    let ran = rig.end(with.args(["--", "/usr/bin/python3", "-c", "import os; print(os.environ.get('PASSED'), os.environ.get('ABSENT'), os.environ.get('OTHER'), os.environ['PATH'])"]));
    ran.expect("passed", 0, &[]);
    // What the policy sets stays as the policy has it.
    assert_eq!(ran.text(), "a=b c None None /usr/bin:/bin\n");
    for (name, value, why) in
        [("LD_PRELOAD", "", "before it runs"), ("STOCKADE_X", "x", "before it runs"), ("PASSED", "a\nb", "control")]
    {
        let mut with = rig.command(&rig.native_policy(&passed(&[name])));
        with.env(name, value).args(["--", "/usr/bin/true"]);
        rig.end(&mut with).expect(name, 10, &["env.pass", name, why]);
    }
    // A component has it, too.
    let component = rig.component("agent", &body(NOTHING));
    let mut with = rig.command(&rig.wasm_policy(&passed(&["PASSED"])));
    rig.end(with.env("PASSED", "x".repeat(32 * 1024)).arg(&component)).expect("a component", 0, &["finished"]);
    let refused = rig.wasm_policy(&passed(&["LD_X"]));
    rig.end(rig.command(&refused).arg(&component)).expect("a component", 10, &["env.pass", "LD_X"]);
    rig.clean("an environment");
}

#[test]
fn syscalls_are_added_and_taken() {
    let Some(rig) = Rig::new("syscalls_are_added_and_taken", &["python3"]) else { return };
    let program = r"
import os
def tried(what, *args):
    try: what(*args); return 'done'
    except OSError as e: return e.strerror
print(tried(os.sched_setscheduler, 0, os.SCHED_BATCH, os.sched_param(0)), tried(os.symlink, 'x', '/tmp/y'), tried(os.mkfifo, '/tmp/z'))
";
    let as_ever = rig.python(&rig.native_policy(""), program);
    assert_eq!(as_ever.text(), "Operation not permitted done done\n");
    assert_eq!(rig.records().iter().filter(|r| r["name"] == "sched_setscheduler").count(), 1);
    assert!(layer(&rig, "seccomp")["additions"].is_null());

    let three = [(&["sched_setscheduler"][..], "allow"), (&["symlink"], "deny"), (&["mknodat", "mknod"], "notify")];
    let policy = rig.native_policy(&three.map(|(names, action)| added(names, action)).concat());
    let changed = rig.python(&policy, program);
    changed.expect("changed", 0, &[]);
    assert_eq!(changed.text(), "done Operation not permitted Operation not permitted\n");
    let records = rig.records();
    let named = |name: &str| records.iter().filter(|r| r["type"] == "syscall" && r["name"] == name).count();
    assert_eq!((named("sched_setscheduler"), named("symlink")), (0, 0), "neither needs a record");
    assert_eq!(named("mknod") + named("mknodat"), 1);
    let seccomp = layer(&rig, "seccomp");
    assert_eq!(seccomp["ok"], true);
    assert!(seccomp["summary"].as_str().unwrap().contains("4 added by the policy"), "{seccomp}");
    let told: Vec<_> =
        seccomp["additions"].as_array().unwrap().iter().map(|a| format!("{} {}", a["name"], a["action"])).collect();
    assert_eq!(
        told,
        [r#""symlink" "deny""#, r#""mknod" "notify""#, r#""sched_setscheduler" "allow""#, r#""mknodat" "notify""#]
    );

    for (name, why) in
        [("mount", "mounts"), ("socket", "arguments"), ("sync", "has the shim refuse it"), ("read", "allows it")]
    {
        let ran = rig.python(&rig.native_policy(&added(&[name], "allow")), "pass");
        ran.expect(name, 10, &["layer seccomp", "cannot be added", name, why]);
    }
    let component = rig.component("agent", &body(NOTHING));
    let wasm = rig.wasm_policy(&added(&["ioprio_set"], "allow"));
    let ran = rig.end(rig.command(&wasm).arg(component));
    ran.expect("a component", 10, &["only native cells"]);
    rig.clean("added syscalls");
}

#[test]
fn a_journal_has_as_many_bytes_as_it_may_have() {
    let Some(rig) = Rig::new("a_journal_has_as_many_bytes_as_it_may_have", &["python3"]) else { return };
    const LIMIT: u64 = 512 * 1024;
    let limited = |bytes: u64| rig.native_policy(&format!("[limits]\njournal = \"{bytes}B\"\n"));
    let size = || {
        let run = crate::rig::list(&rig.path("state/runs")).into_iter().max().unwrap().join("journal");
        let files = crate::rig::list(&run).into_iter().chain(crate::rig::list(&run.join("blobs")));
        files.filter_map(|f| fs::metadata(f).ok()).filter(fs::Metadata::is_file).map(|m| m.len()).sum::<u64>()
    };
    // Each kind of refused call has 64 lines of its own before it is counted, and each number is a kind.
    let flood = "import ctypes\nlibc = ctypes.CDLL(None)\nfor i in range(64):\n  for n in list(range(60, 335)) + list(range(425, 470)):\n    if n not in (60, 231, 61, 247, 34, 35, 230, 62, 200, 234, 130, 129, 131, 15, 57, 58, 56, 435, 59, 322, 219, 202, 7, 270, 271, 281, 232, 128, 73, 72, 288, 43, 45, 47, 299, 441, 449, 455, 127, 88, 80, 81, 424, 424, 161, 95, 160, 302, 436, 3, 151, 149, 325, 297, 112, 109): libc.syscall(n, -1, 0, 0, 0, 0)\n";
    let ran = rig.python(&limited(LIMIT), flood);
    ran.expect("a flood", 35, &["journal limit hit (limits.journal)"]);
    let records = rig.records();
    let end = records.last().unwrap();
    assert_eq!((&end["event"], &end["detail"]["reason"]), (&"exit".into(), &"limit_journal".into()));
    assert!(size() <= LIMIT && size() > LIMIT / 2, "{} bytes", size());
    rig.clean("a full journal");
    rig.forget_runs();

    let ran = rig.python(&limited(LIMIT - 1), "pass");
    ran.expect("too little", 10, &["limits.journal", "512KiB"]);
    rig.python(&limited(LIMIT), "pass").expect("enough", 0, &["finished"]);
    rig.clean("journal limits");
}

#[test]
fn a_disk_that_cannot_be_limited_is_refused() {
    let Some(rig) = Rig::new("a_disk_that_cannot_be_limited_is_refused", &[]) else { return };
    let has_io = ["/sys/fs/cgroup/cgroup.controllers", "/sys/fs/cgroup/unified/cgroup.controllers"]
        .iter()
        .any(|file| fs::read_to_string(file).is_ok_and(|text| text.split_whitespace().any(|c| c == "io")));
    if has_io {
        println!("SKIPPED a_disk_that_cannot_be_limited_is_refused: this host can limit it (tests/vm tries that)");
        return;
    }
    for name in ["io_read", "io_write"] {
        let policy = rig.native_policy(&format!("[limits]\n{name} = \"1MiB/s\"\n"));
        let ran = rig.native(&policy, &["/usr/bin/true"]);
        ran.expect(name, 13, &[&format!("limits.{name}"), "io.max"]);
    }
    rig.clean("a disk's limit");
}
