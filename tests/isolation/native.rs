//! What a native agent sees and does: its workspace as the owner's, and of the host only what is listed.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use crate::rig::{OWNER, Rig, list};
use crate::victims::Victim;

const CREATE: &str = r"
import os
os.mkdir('/workspace/dir')
open('/workspace/dir/file', 'w').write('x')
os.symlink('file', '/workspace/dir/link')
os.link('/workspace/dir/file', '/workspace/dir/hard')
os.mkfifo('/workspace/fifo')
for mode in (0o4777, 0o2777):
    try: os.chmod('/workspace/dir/file', mode)
    except OSError: pass
print(os.getuid(), os.stat('/workspace/dir/file').st_uid == os.getuid(), open('/workspace/mine').read())
try: print(open('/workspace/others').read())
except PermissionError: print('refused')
try: os.chown('/workspace/mine', 0, 0); print('given away')
except OSError: print('kept')
";

#[test]
fn what_an_agent_makes_is_the_workspace_owners() {
    let Some(rig) = Rig::new("what_an_agent_makes_is_the_workspace_owners", &["python3"]) else { return };
    let policy = rig.native_policy("");
    for (name, owner) in [("users", OWNER), ("roots", 0), ("nobodys", 65534)] {
        let work = rig.folder(name);
        for (file, uid) in [("mine", owner), ("others", 4321)] {
            fs::write(work.join(file), "content").unwrap();
            fs::set_permissions(work.join(file), Permissions::from_mode(0o600)).unwrap();
            chown(work.join(file), Some(uid), Some(uid)).unwrap();
        }
        chown(&work, Some(owner), Some(owner)).unwrap();
        let ran =
            rig.end(rig.bare(&policy).arg("--workspace").arg(&work).args(["--", "/usr/bin/python3", "-c", CREATE]));
        ran.expect(name, 0, &[]);
        assert_eq!(ran.text(), "1000 True content\nrefused\nkept\n", "{name}");
        for made in ["dir", "dir/file", "dir/link", "dir/hard", "fifo"] {
            let meta = fs::symlink_metadata(work.join(made)).unwrap();
            assert_eq!((meta.uid(), meta.gid()), (owner, owner), "{name}/{made}");
            assert_eq!(meta.mode() & 0o6000, 0, "{name}/{made}: a set-id bit on the host's disk");
        }
        assert_eq!(fs::metadata(work.join("mine")).unwrap().uid(), owner);
    }
    rig.clean("workspaces of several owners");
}

#[test]
fn what_is_denied_cannot_be_reached_or_moved_away() {
    let Some(rig) = Rig::new("what_is_denied_cannot_be_reached_or_moved_away", &["python3"]) else { return };
    let work = rig.path("work");
    fs::create_dir_all(work.join("a/b/.git")).unwrap();
    fs::write(work.join("a/b/.git/config"), "secret").unwrap();
    fs::write(work.join("key"), "secret").unwrap();
    fs::write(work.join("open"), "public").unwrap();
    for path in ["a", "a/b", "a/b/.git", "a/b/.git/config", "key", "open"] {
        chown(work.join(path), Some(OWNER), Some(OWNER)).unwrap();
    }
    let policy = rig.native_policy("[fs]\nread = [\"@workspace\"]\nwrite = [\"@workspace\"]\ndeny = [\"@workspace/a/b/.git\", \"@workspace/key\"]\n");
    let program = r"
import os
def tried(what, call, *args):
    try: print(what, repr(call(*args)))
    except OSError as e: pass
read = lambda p: open(p).read()
tried('read', read, '/workspace/a/b/.git/config')
tried('read', read, '/workspace/key')
tried('write', lambda: open('/workspace/key', 'w').write('mine'))
tried('write', lambda: open('/workspace/a/b/.git/hook', 'w').write('mine'))
for path in ('a', 'a/b', 'a/b/.git', 'key'):
    tried('rename ' + path, os.rename, '/workspace/' + path, '/workspace/moved')
for path in ('a/b/.git', 'a/b', 'a'):
    tried('rmdir ' + path, os.rmdir, '/workspace/' + path)
tried('unlink', os.unlink, '/workspace/key')
tried('link', os.link, '/workspace/key', '/workspace/again')
tried('chmod', os.chmod, '/workspace/key', 0o777)
print(read('/workspace/open'), os.path.exists('/workspace/a/b'))
open('/workspace/a/b/new', 'w').close()
";
    let ran = rig.python(&policy, program);
    ran.expect("denied paths", 0, &[]);
    assert_eq!(ran.text(), "public True\n");
    assert_eq!(fs::read_to_string(work.join("key")).unwrap(), "secret");
    assert_eq!(fs::read_to_string(work.join("a/b/.git/config")).unwrap(), "secret");
    assert_eq!(list(&work.join("a/b/.git")).len(), 1);
    assert!(work.join("a/b/new").exists());
    rig.clean("denied paths");
}

#[test]
fn of_the_host_only_what_is_listed_is_there() {
    let Some(rig) = Rig::new("of_the_host_only_what_is_listed_is_there", &["python3"]) else { return };
    let policy = rig.native_policy("[env.set]\nGREETING = \"hello\"\n");
    let program = r"
import os
print(sorted(os.environ.items()))
def names(place):
    try: return sorted(os.listdir(place))
    except PermissionError: return []
print(names('/'))
print(names('/etc'))
made = []
for place in ('/', '/usr', '/usr/bin', '/usr/local', '/etc', '/dev', '/proc', '/bin', '/lib', '/etc/ssl'):
    try:
        open(place + '/made', 'w').close()
        made.append(place)
    except OSError: pass
for place in ('/usr/bin/python3', '/etc/passwd', '/etc/ld.so.cache'):
    try:
        open(place, 'r+').close()
        made.append(place)
    except OSError: pass
print(made)
print([p for p in ('/root', '/home', '/var', '/run', '/sys', '/etc/shadow', '/proc/sys', '/proc/kcore', '/proc/keys', '/boot') if os.path.exists(p)])
print([int(p) for p in os.listdir('/proc') if p.isdigit()], os.getpid(), os.uname().nodename)
print(os.getgroups(), os.getgid(), [l for l in open('/proc/self/status') if l.startswith(('Cap', 'NoNew', 'Seccomp:'))])
";
    let mut command = rig.command(&policy);
    command.env("STOCKADE_TEST_SECRET", "secret").env("LD_PRELOAD", "").env("PYTHONPATH", "/nowhere");
    let ran = rig.end(command.args(["--", "/usr/bin/python3", "-c", program]));
    ran.expect("a look around", 0, &[]);
    let text = ran.text();
    println!("{text}");
    let line: Vec<&str> = text.lines().collect();
    let env = "[('GREETING', 'hello'), ('HOME', '/tmp'), ('LANG', 'C.UTF-8'), ('PATH', '/usr/bin:/bin'), ('PYTHONDONTWRITEBYTECODE', '1'), ('PYTHONUNBUFFERED', '1')]";
    assert_eq!(line[0], env);
    for name in ["root", "home", "var", "run", "sys", "boot", "srv", "mnt", "opt"] {
        assert!(!line[1].contains(&format!("'{name}'")), "/{name} is there: {}", line[1]);
    }
    assert!(!line[2].contains("shadow"), "{}", line[2]);
    assert_eq!(line[3], "[]", "what could be written");
    assert_eq!(line[4], "[]", "what is there of the host");
    assert_eq!(line[5], "[2] 2 cell", "the reaper is hidden");
    assert_eq!(line[6].matches("0000000000000000").count(), 5, "{}", line[6]);
    assert!(line[6].contains("NoNewPrivs:\\t1") && line[6].contains("Seccomp:\\t2"), "{}", line[6]);
    rig.clean("a look around");
}

#[test]
fn two_runs_are_strangers() {
    let Some(rig) = Rig::new("two_runs_are_strangers", &["python3"]) else { return };
    let policy = rig.native_policy("");
    let stay = "import os, signal\nopen('/tmp/of-this-run', 'w').close()\nprint(sorted(p for p in os.listdir('/proc') if p.isdigit()), os.listdir('/tmp'), flush=True)\nsignal.pause()";
    let begin = || {
        let mut running = rig.begin(rig.command(&policy).args(["--", "/usr/bin/python3", "-c", stay]));
        running.until("the agent", |r| r.wrote().ends_with('\n'));
        running
    };
    let both = [begin(), begin()];
    let uids = both.each_ref().map(|running| {
        assert_eq!(running.wrote(), "['2'] ['of-this-run']\n");
        let status = |victim: Victim| {
            let status = fs::read_to_string(format!("/proc/{}/status", victim.pid(running).unwrap())).unwrap();
            let uid = status.lines().find_map(|l| l.strip_prefix("Uid:")).unwrap().split_whitespace().next().unwrap();
            uid.parse::<u32>().unwrap()
        };
        [status(Victim::Cell), status(Victim::Shim)]
    });
    let mut ranges: Vec<u32> = uids.iter().flatten().map(|uid| (uid - 1_900_000_000) / 65_536).collect();
    ranges.sort_unstable();
    ranges.dedup();
    assert_eq!(ranges.len(), 4, "cells and shims share ranges: {uids:?}");
    for running in both {
        nix::sys::signal::kill(Victim::Stockade.pid(&running).unwrap(), nix::sys::signal::Signal::SIGINT).unwrap();
        running.end().expect("its end", 130, &[]);
    }
    rig.clean("two runs");
}
