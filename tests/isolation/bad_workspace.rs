//! Workspaces that cannot be one: exit code 12, the folder's name, and nothing ran. And state folders that
//! cannot keep a journal: 15.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::rig::{Ran, Rig};

/// A tmpfs that goes with the test.
struct Tmpfs(PathBuf);

impl Tmpfs {
    fn new(path: PathBuf, options: &str) -> Self {
        fs::create_dir_all(&path).unwrap();
        mount(Some("none"), &path, Some("tmpfs"), MsFlags::empty(), Some(options)).unwrap();
        Self(path)
    }

    fn read_only(&self) {
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        let deadline = std::time::Instant::now() + crate::rig::PATIENCE;
        // A dead process that nobody has waited for keeps its Landlock domain, and that the folders it names.
        while mount(None::<&str>, &self.0, None::<&str>, flags, None::<&str>) == Err(nix::errno::Errno::EBUSY) {
            assert!(std::time::Instant::now() < deadline, "{} stays busy", self.0.display());
            crate::rig::reap();
            std::thread::yield_now();
        }
    }

    fn fill(&self) {
        let mut file = fs::File::create(self.0.join("ballast")).unwrap();
        let full = std::io::copy(&mut std::io::repeat(0), &mut file).unwrap_err();
        assert_eq!(full.raw_os_error(), Some(libc::ENOSPC));
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        umount2(&self.0, MntFlags::MNT_DETACH).unwrap();
    }
}

fn touch_in(rig: &Rig, workspace: &Path) -> Ran {
    let policy = rig.native_policy("");
    rig.end(rig.bare(&policy).arg("--workspace").arg(workspace).args(["--", "/usr/bin/touch", "/workspace/ran"]))
}

#[test]
fn what_is_no_workspace_is_refused() {
    let Some(rig) = Rig::new("what_is_no_workspace_is_refused", &[]) else { return };
    symlink(rig.path("work"), rig.path("link")).unwrap();
    let file = rig.file("file", "");
    let read_only = Tmpfs::new(rig.path("read-only"), "size=64k");
    read_only.read_only();
    let ramfs = rig.folder("ramfs");
    mount(Some("none"), &ramfs, Some("ramfs"), MsFlags::empty(), None::<&str>).unwrap();
    let ramfs = Tmpfs(ramfs);
    let cases: [(&str, PathBuf, &str); 15] = [
        ("a file system without idmapped mounts", ramfs.0.clone(), "idmapped"),
        ("missing", rig.path("missing"), "missing: it does not exist; create it"),
        ("a link", rig.path("link"), "symbolic link"),
        ("a file", file, "not a directory"),
        ("/", "/".into(), "a folder of the system"),
        ("/etc", "/etc".into(), "a folder of the system"),
        ("/usr through dots", "/var/../usr".into(), "a folder of the system"),
        ("/proc/self", "/proc/self".into(), "symbolic link"),
        ("/proc/self/root", "/proc/self/root".into(), "/proc/self/root"),
        ("a cgroup", "/sys/fs/cgroup".into(), "a folder of the system"),
        ("/dev/shm", "/dev/shm".into(), "a folder of the system"),
        ("a read-only file system", read_only.0.clone(), "read-only"),
        ("the state folder", rig.path("state"), "Stockade's own folder"),
        ("a folder above it", rig.path(""), "Stockade's own folder"),
        ("a folder in it", rig.path("state/runs"), "Stockade's own folder"),
    ];
    for (what, path, says) in cases {
        touch_in(&rig, &path).expect(what, 12, &["workspace", says]);
        assert!(!path.join("ran").exists(), "{what}");
    }
    for (what, name) in [("a newline", "a\nb"), ("an escape", "a\x1b[2Jb"), ("a bidi override", "a\u{202e}b")] {
        let ran = touch_in(&rig, &rig.path(name));
        ran.expect(what, 12, &["does not exist"]);
        assert!(!ran.stderr.contains(['\x1b', '\u{202e}']) && !ran.stderr.contains("a\nb"), "{what}: {:?}", ran.stderr);
    }
    drop((read_only, ramfs));
    rig.clean("refused workspaces");
}

#[test]
fn odd_names_of_a_workspace_work() {
    let Some(rig) = Rig::new("odd_names_of_a_workspace_work", &[]) else { return };
    for name in ["with a newline\nin it", "with \x1b[31mred", "ünïcødé \u{202e}", "-dash", "quote'\"$(x)"] {
        let folder = rig.folder(name);
        let ran = touch_in(&rig, &folder);
        ran.expect(name, 0, &["finished"]);
        assert!(!ran.stderr.contains(['\x1b', '\u{202e}']), "{name:?}: {:?}", ran.stderr);
        assert!(folder.join("ran").exists(), "{name:?}");
    }
    rig.clean("odd names");
}

#[test]
fn a_full_workspace_is_the_agents_problem() {
    let Some(rig) = Rig::new("a_full_workspace_is_the_agents_problem", &["python3"]) else { return };
    let full = Tmpfs::new(rig.path("full"), "size=64k,uid=1000,gid=1000");
    full.fill();
    let policy = rig.native_policy("");
    let write = "f = open('/workspace/new', 'w'); f.write('x' * 5000); f.close()";
    let mut command = rig.bare(&policy);
    let ran = rig.end(command.arg("--workspace").arg(&full.0).args(["--", "/usr/bin/python3", "-c", write]));
    ran.expect("native", 20, &["No space left on device", "exit code 1"]);
    drop(full);
    rig.clean("a full workspace");
}

#[test]
fn a_journal_that_cannot_be_written_is_no_run() {
    let Some(rig) = Rig::new("a_journal_that_cannot_be_written_is_no_run", &[]) else { return };
    let policy = rig.native_policy("");
    let run = |state: &Path| {
        let mut command = rig.stockade();
        command
            .arg("run")
            .arg("--policy")
            .arg(&policy)
            .arg("--state")
            .arg(state)
            .arg("--workspace")
            .arg(rig.path("work"));
        rig.end(command.args(["--", "/usr/bin/touch", "/workspace/ran"]))
    };
    let tiny = Tmpfs::new(rig.path("tiny"), "size=64k,mode=700");
    // There would be no room for the end of it.
    run(&tiny.0).expect("a file system that is too small", 15, &["disk full", "for the last records"]);
    drop(tiny);
    let tiny = Tmpfs::new(rig.path("tiny"), "size=512k,mode=700");
    run(&tiny.0).expect("a tiny file system", 0, &["finished"]);
    fs::remove_file(rig.path("work/ran")).unwrap();
    tiny.fill();
    run(&tiny.0).expect("a full file system", 15, &["a run is recorded or does not happen", "No space left on device"]);
    fs::remove_file(tiny.0.join("ballast")).unwrap();
    tiny.read_only();
    run(&tiny.0).expect("a read-only file system", 15, &["Read-only file system"]);
    drop(tiny);
    let few = Tmpfs::new(rig.path("few"), "size=1m,nr_inodes=5,mode=700");
    run(&few.0).expect("a file system without inodes", 15, &["No space left on device"]);
    drop(few);
    let file = rig.file("state-file", "");
    run(&file).expect("a file for a state folder", 13, &["state-file", "must be a directory"]);
    symlink(rig.path("state"), rig.path("state-link")).unwrap();
    run(&rig.path("state-link")).expect("a link for a state folder", 13, &["state-link"]);
    assert!(!rig.path("work/ran").exists());
    rig.clean("journals that cannot be");
}
