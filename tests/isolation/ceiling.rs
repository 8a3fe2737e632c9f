//! The owner's ceiling: each test has an `/etc/stockade` of its own, in a mount namespace of its own.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, recv, sendmsg, socketpair};
use sha2::{Digest, Sha256};
use stockade_plan::report::Report;
use stockade_plan::step::Step;
use stockade_plan::{
    Access, Ceiling, CeilingKey, CgroupLimits, Cgroups, Entry, Exec, Ids, Landlock, Plan, Rlimit, Role, Rule, Seccomp,
    Slot, What,
};
use stockade_policy::seccomp;
use stockade_tests::host::Programs;

use crate::rig::{Rig, list};

const TEXT: &str = "version = 1 # and nothing that the loader would narrow\n";
/// Room for what the test's policies ask.
const MEMORY: u64 = 1 << 30;

fn ceiling(rig: &Rig) -> Ceiling {
    Ceiling {
        source_digest: Sha256::digest(TEXT).into(),
        memory: MEMORY,
        pids: 128,
        cpu_millis: 2000,
        files: 1024,
        file_size: Some(1 << 30),
        read: Some(vec!["/usr".into(), "/etc".into()]),
        write_workspaces: Some(vec![fs::canonicalize(rig.path("work")).unwrap().to_str().unwrap().into()]),
        execute: Some(vec!["/usr".into(), "/etc".into(), "@workspace".into()]),
        syscalls: Some(vec![]),
        filters: Some(seccomp::profiles().iter().map(|p| p.digest).collect()),
        landlock_abi: 2,
    }
}

/// The mount point, which a host need not have; left as it was found.
struct Folder(bool);

impl Folder {
    fn new() -> Self {
        Self(fs::create_dir("/etc/stockade").is_ok())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.0 {
            let _gone = fs::remove_dir("/etc/stockade");
        }
    }
}

/// Runs `command` where `/etc/stockade` is a fresh tmpfs that the lines of `setup` fill, with the compiled ceiling
/// as `$1`, its text as `$2`.
fn under(rig: &Rig, compiled: &[u8], setup: &str, command: &Command) -> Command {
    let (bin, text) = (rig.file("compiled", compiled), rig.file("text", TEXT));
    let mut whole = Command::new("/usr/bin/unshare");
    whole.args(["--mount", "--propagation", "private", "/bin/sh", "-euc"]);
    whole.arg(format!("umask 022\nmount -t tmpfs -o mode=0755 none /etc/stockade\n{setup}\nshift 2\nexec \"$@\""));
    whole.arg("sh").arg(bin).arg(text).arg(command.get_program()).args(command.get_args());
    whole
}

const PUT: &str = "cp \"$1\" /etc/stockade/ceiling.bin; cp \"$2\" /etc/stockade/ceiling.toml";
const ALONE: &str = "cp \"$1\" /etc/stockade/ceiling.bin";

#[test]
fn a_plan_over_the_ceiling_is_refused_and_named() {
    let Some(rig) = Rig::new("a_plan_over_the_ceiling_is_refused_and_named", &["unshare"]) else { return };
    let _folder = Folder::new();
    let policy = rig.native_policy("[limits]\nmemory = \"256MiB\"\n");
    let mut run = rig.command(&policy);
    run.args(["--", "/usr/bin/true"]);
    let fits = ceiling(&rig);
    rig.end(&mut under(&rig, &fits.encode(), PUT, &run)).expect("a plan that fits", 0, &["finished"]);
    assert_eq!(list(&rig.path("state/runs")).len(), 1);
    let elsewhere: Vec<String> = vec!["/srv".into()];
    for (key, ceiling, words) in [
        (CeilingKey::Memory, Ceiling { memory: 255 << 20, ..fits.clone() }, ["268435456", "267386880"]),
        (CeilingKey::Pids, Ceiling { pids: 63, ..fits.clone() }, ["64", "63"]),
        (CeilingKey::Cpu, Ceiling { cpu_millis: 999, ..fits.clone() }, ["1000", "999"]),
        (CeilingKey::Files, Ceiling { files: 255, ..fits.clone() }, ["256", "255"]),
        (CeilingKey::FileSize, Ceiling { file_size: Some(1), ..fits.clone() }, ["67108864", "allows 1"]),
        (CeilingKey::Read, Ceiling { read: Some(elsewhere.clone()), ..fits.clone() }, ["/usr", "/srv"]),
        (
            CeilingKey::Workspaces,
            Ceiling { write_workspaces: Some(elsewhere.clone()), ..fits.clone() },
            ["/work", "/srv"],
        ),
        (CeilingKey::Execute, Ceiling { execute: Some(elsewhere), ..fits.clone() }, ["/usr", "/srv"]),
        (CeilingKey::Filters, Ceiling { filters: Some(vec![]), ..fits.clone() }, ["seccomp profiles", "shim"]),
        (CeilingKey::Landlock, Ceiling { landlock_abi: 99, ..fits.clone() }, ["ABI", "99"]),
    ] {
        let ran = rig.end(&mut under(&rig, &ceiling.encode(), PUT, &run));
        ran.expect(key.name(), 10, &["over this host's ceiling", key.name(), words[0], words[1]]);
        assert!(!ran.stderr.contains("finished"), "{key}");
        rig.clean(key.name());
    }
    // What a policy adds to the filter has to be listed.
    let added = "[[syscalls.add]]\nnames = [\"ioprio_set\"]\naction = \"allow\"\nwhy = \"a test of it\"\n";
    let mut with = rig.command(&rig.native_policy(added));
    with.args(["--", "/usr/bin/true"]);
    rig.end(&mut under(&rig, &fits.encode(), PUT, &with)).expect("a syscall", 10, &["syscalls", "251", "none"]);
    let listed = Ceiling { syscalls: Some(vec![251]), ..fits };
    rig.end(&mut under(&rig, &listed.encode(), PUT, &with)).expect("a listed syscall", 0, &["finished"]);
    rig.clean("ceilings");
}

#[test]
fn a_ceiling_that_cannot_be_trusted_lets_nothing_run() {
    let Some(rig) = Rig::new("a_ceiling_that_cannot_be_trusted_lets_nothing_run", &["unshare"]) else { return };
    let _folder = Folder::new();
    let policy = rig.native_policy("");
    let mut run = rig.command(&policy);
    run.args(["--", "/usr/bin/true"]);
    let bytes = ceiling(&rig).encode();
    for (what, setup, word) in [
        ("somebody's file", format!("{PUT}; chown 65534 /etc/stockade/ceiling.bin"), "owned by root"),
        ("a file of a group", format!("{PUT}; chmod 0664 /etc/stockade/ceiling.bin"), "owned by root"),
        ("a link", "cp \"$1\" /etc/stockade/x; ln -s x /etc/stockade/ceiling.bin".to_owned(), "ceiling.bin"),
        ("a folder", "mkdir /etc/stockade/ceiling.bin".to_owned(), "owned by root"),
        ("a pipe", "mkfifo /etc/stockade/ceiling.bin".to_owned(), "owned by root"),
        // The loader reads the text before the launcher reads what was made of it.
        ("somebody's folder", format!("{PUT}; chown 65534 /etc/stockade"), "belongs to uid 65534"),
        ("a folder for all", format!("{PUT}; chmod 0777 /etc/stockade"), "/etc/stockade has mode 0777"),
        ("somebody's folder, no text", format!("{ALONE}; chown 65534 /etc/stockade"), "owned by root"),
        ("a folder for all, no text", format!("{ALONE}; chmod 0777 /etc/stockade"), "owned by root"),
        ("nothing in a folder for all", "chmod 0777 /etc/stockade".to_owned(), "owned by root"),
        ("garbage", "echo garbage > /etc/stockade/ceiling.bin".to_owned(), "another kind or version"),
        ("an empty file", ": > /etc/stockade/ceiling.bin".to_owned(), "end inside"),
        ("half of it", "head -c 90 \"$1\" > /etc/stockade/ceiling.bin".to_owned(), "end inside"),
        ("too much", "head -c 70000 /dev/zero > /etc/stockade/ceiling.bin".to_owned(), "more than there may be"),
        ("text alone", "cp \"$2\" /etc/stockade/ceiling.toml".to_owned(), "stockade policy ceiling install"),
        ("text that was changed", format!("{PUT}; echo >> /etc/stockade/ceiling.toml"), "was changed after"),
    ] {
        let ran = rig.end(&mut under(&rig, &bytes, &setup, &run));
        ran.expect(what, 10, &["ceiling", word]);
        rig.clean(what);
    }
    // Neither text nor ceiling, or a ceiling without its text: as before, and as it says.
    for setup in ["", ALONE] {
        rig.end(&mut under(&rig, &bytes, setup, &run)).expect(setup, 0, &["finished"]);
    }
    rig.clean("ceilings");
}

/// A plan as somebody else would send it, with its descriptors. It is one that launches up to where the launcher
/// looks at the filter, which is none.
fn plan(limits: CgroupLimits) -> Plan {
    let bind = What::Bind { source: Slot(1), read_only: true, no_exec: true, device: false, file: false, idmap: None };
    Plan {
        role: Role::Native,
        hostname: "cell".into(),
        ids: Ids { host: 1_999_000_000, count: 65_536, uid: 1000, gid: 1000 },
        cgroups: Cgroups { v2: Slot(0), v1: vec![] },
        limits: Some(limits),
        root: vec![Entry { dest: "/usr".into(), what: bind }],
        rlimits: vec![Rlimit { resource: 7, value: 64 }, Rlimit { resource: 1, value: 64 }],
        landlock: Landlock { abi: 2, rules: vec![Rule { path: "/usr".into(), access: Access::Read }], connect: vec![] },
        seccomp: Seccomp {
            filter: Slot(3),
            digest: seccomp::profile("cell-native").unwrap().digest,
            listener: true,
            additions: vec![],
        },
        listeners: vec![],
        descriptors: vec![],
        exec: Exec { program: Slot(2), argv: vec!["x".into()], env: vec![], cwd: "/".into() },
    }
}

#[test]
fn the_launcher_holds_the_ceiling_whoever_asks() {
    let Some(rig) = Rig::new("the_launcher_holds_the_ceiling_whoever_asks", &["unshare"]) else { return };
    let _folder = Folder::new();
    let init = Programs::find().path("stockade-init");
    let answer = |plan: &Plan, paths: &[&Path], compiled: &[u8], setup: &str| {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
        let fds: Vec<OwnedFd> = paths.iter().map(|path| fs::File::open(path).unwrap().into()).collect();
        let raw: Vec<_> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let bytes = plan.encode();
        let rights = [ControlMessage::ScmRights(&raw)];
        sendmsg::<()>(ours.as_raw_fd(), &[std::io::IoSlice::new(&bytes)], &rights, MsgFlags::empty(), None).unwrap();
        let launcher = Command::new(Programs::find().path("stockade-launcher"));
        let mut child = under(&rig, compiled, setup, &launcher).stdin(Stdio::from(theirs)).spawn().unwrap();
        let mut report = [0; 64];
        let len = recv(ours.as_raw_fd(), &mut report, MsgFlags::empty()).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(1));
        match Report::decode(&report[..len]).unwrap() {
            Report::Failed { step, index, .. } => (step, CeilingKey::from_number(index)),
            other => panic!("{other:?}"),
        }
    };
    let within = CgroupLimits { memory: MEMORY, pids: 128, cpu_millis: 2000 };
    let bytes = ceiling(&rig).encode();
    let (usr, tmp, group) = (Path::new("/usr"), Path::new("/tmp"), groups());
    let refused = |key| (Step::Ceiling, Some(key));

    // Without a ceiling it goes on to the filter, which is none.
    let fits = plan(within);
    let paths = [group.as_path(), usr, init.as_path(), usr];
    assert_eq!(answer(&fits, &paths, &bytes, "").0, Step::FilterDigest);
    // What the plan says.
    let over = plan(CgroupLimits { memory: MEMORY + 1, ..within });
    assert_eq!(answer(&over, &paths, &bytes, PUT), refused(CeilingKey::Memory));
    // What the kernel says: the cgroup is without limits, whatever the plan claims of it.
    assert_eq!(answer(&fits, &paths, &bytes, PUT), refused(CeilingKey::Memory));
    // A folder that only has the files of a cgroup is none.
    let fake = rig.folder("group");
    for (name, text) in [("memory.max", "1"), ("pids.max", "1"), ("cpu.max", "1 1000")] {
        fs::write(fake.join(name), text).unwrap();
    }
    let paths_of = |group, source, program| [group, source, program, usr];
    assert_eq!(answer(&fits, &paths_of(&fake, usr, &init), &bytes, PUT), refused(CeilingKey::Memory));
    // Another tree under an allowed name, and a program that is not ours.
    assert_eq!(answer(&fits, &paths_of(&group, tmp, &init), &bytes, PUT), refused(CeilingKey::Read));
    let other = Path::new("/usr/bin/env");
    assert_eq!(answer(&fits, &paths_of(&group, usr, other), &bytes, PUT), refused(CeilingKey::Program));
    let copy = rig.path("stockade-init");
    fs::copy(&init, &copy).unwrap();
    assert_eq!(answer(&fits, &paths_of(&group, usr, &copy), &bytes, PUT), refused(CeilingKey::Program));
    // Who says to be the shim is asked for no limits, and so must be it.
    let mut shim = plan(within);
    (shim.role, shim.limits) = (Role::Shim, None);
    assert_eq!(answer(&shim, &paths, &bytes, PUT), refused(CeilingKey::Program));
    // A ceiling that cannot be trusted.
    let file = refused(CeilingKey::File);
    for setup in [
        format!("{PUT}; chown 65534 /etc/stockade/ceiling.bin"),
        "cp \"$2\" /etc/stockade/ceiling.toml".into(),
        "echo garbage > /etc/stockade/ceiling.bin".into(),
        "head -c 70000 /dev/zero > /etc/stockade/ceiling.bin".into(),
        format!("{PUT}; echo >> /etc/stockade/ceiling.toml"),
        "chmod 0777 /etc/stockade".into(),
    ] {
        assert_eq!(answer(&fits, &paths, &bytes, &setup), file, "{setup}");
    }
    let linked = answer(&fits, &paths, &bytes, "cp \"$1\" /etc/stockade/x; ln -s x /etc/stockade/ceiling.bin");
    assert_eq!(linked.0, Step::Ceiling);
    rig.clean("plans of somebody else");
}

/// The root of the v2 hierarchy: a cgroup without limits.
fn groups() -> std::path::PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let v2 = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2")).unwrap();
    v2.split(' ').nth(1).unwrap().into()
}
