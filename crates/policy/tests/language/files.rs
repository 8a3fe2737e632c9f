//! A policy is read only from where nobody else can have put it.

use crate::support::lines;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use stockade_policy::load;
use tempfile::TempDir;

const GOOD: &str = "version = 1\nid = \"t\"\nextends = [\"preset:base\"]\n[tools]\nallow = [\"clock\"]\n";

/// A directory only we can write, with a good policy in it.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("p.toml"), GOOD).unwrap();
    mode(&folder.path().join("p.toml"), 0o644);
    folder
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// The one finding, with the folder's name taken out.
fn finding(folder: &TempDir, name: &str) -> String {
    let findings = load(&folder.path().join(name)).expect_err("accepted");
    let found = lines(&findings);
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].replace(folder.path().to_str().unwrap(), "DIR")
}

#[test]
fn a_good_file_is_read() {
    let folder = folder();
    let policy = load(&folder.path().join("p.toml")).unwrap();
    assert_eq!(policy.id, "t");
    // By way of a link to its directory, too: the link is ours.
    symlink(folder.path(), folder.path().join("here")).unwrap();
    // One further down, so that what `..` leads to is this folder's own.
    fs::create_dir(folder.path().join("deep")).unwrap();
    symlink(folder.path().join("deep"), folder.path().join("down")).unwrap();
    assert_eq!(load(&folder.path().join("down/../p.toml")).unwrap().digest, policy.digest);
    symlink("/usr", folder.path().join("out")).unwrap();
    assert_eq!(
        load(&folder.path().join("out/../p.toml")).unwrap_err().iter().count(),
        1,
        "`..` is resolved, not removed"
    );
    assert_eq!(load(&folder.path().join("here/p.toml")).unwrap().digest, policy.digest);
}

#[test]
fn what_is_not_a_plain_readable_file_is_refused() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    assert_eq!(
        finding(&folder, "none.toml"),
        "DIR/none.toml does not exist | name a policy file; policies/examples has some to start from"
    );
    nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    assert_eq!(finding(&folder, "fifo"), "is a FIFO, not a regular file | name a policy file");
    fs::create_dir(at("dir")).unwrap();
    assert_eq!(finding(&folder, "dir"), "is a directory, not a regular file | name a policy file");
    assert_eq!(finding(&folder, "dir/.."), "is a directory, not a regular file | name a policy file");
    symlink("p.toml", at("link")).unwrap();
    assert_eq!(finding(&folder, "link"), "is a symbolic link | name the file it points to");
    symlink("loop", at("loop")).unwrap();
    assert_eq!(finding(&folder, "loop/p.toml"), "too many symbolic links on the way | name the file by its real path");
    assert_eq!(finding(&folder, "p.toml/x"), "DIR/p.toml cannot be opened: Not a directory | check the path");
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    assert_eq!(finding(&folder, "socket"), "is a socket or a device, not a regular file | name a policy file");
    assert!(
        lines(&load(Path::new("/dev/null")).unwrap_err())[0].contains("not a regular file")
            || !nix::unistd::geteuid().is_root()
    );
    assert_eq!(lines(&load(Path::new("/")).unwrap_err()), ["is a directory, not a regular file | name a policy file"]);
    assert_eq!(lines(&load(Path::new("")).unwrap_err()), ["is a directory, not a regular file | name a policy file"]);
}

#[test]
fn what_others_can_write_is_refused() {
    let folder = folder();
    let file = folder.path().join("p.toml");
    for bad in [0o666, 0o664, 0o646, 0o602] {
        mode(&file, bad);
        assert_eq!(
            finding(&folder, "p.toml"),
            format!("DIR/p.toml has mode {bad:04o}: others could change the policy | chmod go-w DIR/p.toml")
        );
    }
    mode(&file, 0o644);
    mode(folder.path(), 0o777);
    assert_eq!(finding(&folder, "p.toml"), "DIR has mode 0777: others could change the policy | chmod go-w DIR");
    // In a sticky directory others can add names but not take ours.
    mode(folder.path(), 0o1777);
    assert!(load(&file).is_ok());
}

#[test]
fn what_belongs_to_others_is_refused() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can give a file away");
        return;
    }
    let folder = folder();
    let file = folder.path().join("p.toml");
    let help = "install it where only root writes: sudo install -D -o root -m 0644 FILE /etc/stockade/policies/FILE";
    chown(&file, Some(4242), None).unwrap();
    assert_eq!(
        finding(&folder, "p.toml"),
        format!("DIR/p.toml belongs to uid 4242, who could change the policy | {help}")
    );
    chown(&file, Some(0), None).unwrap();
    // The owner of a link chooses what it names.
    symlink(folder.path(), folder.path().join("theirs")).unwrap();
    std::os::unix::fs::lchown(folder.path().join("theirs"), Some(4242), None).unwrap();
    assert_eq!(
        finding(&folder, "theirs/p.toml"),
        format!("DIR/theirs belongs to uid 4242, who could change the policy | {help}")
    );
    // The owner of a directory can rename what is in it, sticky or not.
    chown(folder.path(), Some(4242), None).unwrap();
    mode(folder.path(), 0o1755);
    assert_eq!(finding(&folder, "p.toml"), format!("DIR belongs to uid 4242, who could change the policy | {help}"));
    chown(folder.path(), Some(0), None).unwrap();
}

#[test]
fn contents_that_are_no_text_are_refused() {
    let folder = folder();
    let file = folder.path().join("p.toml");
    let write = |bytes: &[u8]| fs::write(&file, bytes).unwrap();
    write(b"\xef\xbb\xbfversion = 1");
    assert_eq!(finding(&folder, "p.toml"), "starts with a byte order mark | save it as UTF-8 without one");
    write(b"version = 1\n\xff\xfe");
    assert_eq!(finding(&folder, "p.toml"), "is not UTF-8: byte 12 | save it as UTF-8");
    write(&vec![b'#'; 1024 * 1024 + 1]);
    assert_eq!(
        finding(&folder, "p.toml"),
        "is larger than 1048576 bytes | a policy this large is a mistake; split it or generate less"
    );
    let mut largest = GOOD.as_bytes().to_vec();
    largest.resize(1024 * 1024, b'\n');
    write(&largest);
    assert!(load(&file).is_ok());
}

#[test]
fn cedar_files_pass_the_same_door() {
    let folder = folder();
    let file = folder.path().join("p.toml");
    let cedar = folder.path().join("t.cedar");
    fs::write(&file, format!("{GOOD}cedar = [\"t.cedar\"]\n")).unwrap();
    fs::write(&cedar, "permit (principal, action == Action::\"random\", resource);\n").unwrap();
    mode(&cedar, 0o644);
    assert!(load(&file).is_ok());
    mode(&cedar, 0o666);
    assert_eq!(
        finding(&folder, "p.toml"),
        "t.cedar has mode 0666: others could change the policy | chmod go-w t.cedar"
    );
    fs::remove_file(&cedar).unwrap();
    symlink("/etc/passwd", &cedar).unwrap();
    assert_eq!(finding(&folder, "p.toml"), "is a symbolic link | name the file it points to");
    for name in ["../t.cedar", "/etc/passwd", ".", "..", "", "a\\u0000b"] {
        fs::write(&file, format!("{GOOD}cedar = [\"{name}\"]\n")).unwrap();
        assert_eq!(
            finding(&folder, "p.toml"),
            "is not a plain file name | Cedar files lie in the policy's own directory",
            "{name}"
        );
    }
}

#[test]
fn a_command_has_a_cell_of_its_own_that_gives_no_more_than_its_caller_has() {
    let folder = folder();
    let put = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).unwrap();
        mode(&folder.path().join(name), 0o644);
    };
    let own =
        |more: &str| put("own.toml", &format!("version = 1\nid = \"own\"\nextends = [\"preset:base@1\"]\n{more}"));
    let caller = "version = 1\nid = \"t\"\nextends = [\"preset:base@1\"]\n[fs]\nread = [\"/usr\", \"@workspace\"]\nexecute = [\"/usr\"]\n\
                  [tools]\nallow = [\"exec\"]\n[[exec]]\nid = \"git\"\ncommand = [\"/usr/bin/git\"]\nwall = \"1s\"\npolicy = \"own.toml\"\n";
    put("p.toml", caller);
    own("[fs]\nread = [\"/usr\", \"@workspace/src\"]\nexecute = [\"/usr\"]\n[env.set]\nHOME = \"/tmp\"\n");
    let policy = load(&folder.path().join("p.toml")).unwrap();
    assert_eq!((policy.of_exec("git").id.as_str(), policy.of_exec("other").id.as_str()), ("own", "t"));
    for (more, what) in [
        ("[limits]\nmemory = \"300MiB\"\n", "limits.memory"),
        ("[limits]\nfiles = 1000\n", "limits.files"),
        ("[fs]\nread = [\"/usr\", \"/etc/ssl\"]\n", "fs.read"),
        ("[fs]\nread = [\"@workspace\"]\nwrite = [\"@workspace/out\"]\n", "fs.write"),
        (
            "[[syscalls.add]]\nnames = [\"sched_setscheduler\"]\naction = \"allow\"\nwhy = \"batch jobs\"\n",
            "syscall sched_setscheduler",
        ),
        ("[require]\ndegrade_ok = [\"landlock.net\"]\n", "require.degrade_ok"),
    ] {
        own(more);
        let found = lines(&load(&folder.path().join("p.toml")).expect_err(what)).join("\n");
        assert!(found.contains("gives its cell more than this one") && found.contains(what), "{what}: {found}");
    }
    let digest = policy.digest;
    own("[fs]\nread = [\"/usr\"]\nexecute = [\"/usr\"]\n");
    assert_ne!(load(&folder.path().join("p.toml")).unwrap().digest, digest, "what the cell gets is part of the policy");
}
