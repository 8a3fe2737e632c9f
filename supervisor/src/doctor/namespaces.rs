//! The eight namespaces (namespaces(7)).
//!
//! Seven are unshared in a thread that ends at once: all of them belong to a thread, not to a
//! process. The user namespace cannot be (a process with threads is refused), so unshare(1) of
//! util-linux makes one, and is held while the map that a cell would get is written from outside.

use super::{Check, ID_BASE, read_line};
use nix::sched::CloneFlags;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};

const GROUP: &str = "namespaces";
const IDS_A_CELL: u32 = 65_536;

/// Missing from nix on some targets (clone(2), since Linux 5.6).
const CLONE_NEWTIME: CloneFlags = CloneFlags::from_bits_retain(0x80);

pub(super) fn checks() -> Vec<Check> {
    let probes = [
        ("ns.pid", "pid", "pid_for_children", CloneFlags::CLONE_NEWPID),
        ("ns.mount", "mnt", "mnt", CloneFlags::CLONE_NEWNS),
        ("ns.net", "net", "net", CloneFlags::CLONE_NEWNET),
        ("ns.ipc", "ipc", "ipc", CloneFlags::CLONE_NEWIPC),
        ("ns.uts", "uts", "uts", CloneFlags::CLONE_NEWUTS),
        ("ns.cgroup", "cgroup", "cgroup", CloneFlags::CLONE_NEWCGROUP),
        ("ns.time", "time", "time_for_children", CLONE_NEWTIME),
    ];
    let rest = probes.map(|(name, kind, link, flag)| unshared(name, kind, link, flag));
    std::iter::once(user()).chain(rest).collect()
}

fn advice(kind: &str) -> String {
    let file = format!("/proc/sys/user/max_{kind}_namespaces");
    match read_line(&file) {
        Ok(limit) if limit == "0" => format!("{file} is 0: raise it with sysctl"),
        Ok(_) => "run as root on the host, outside of containers that refuse unshare(2)".to_owned(),
        Err(_) => format!("the kernel has no {kind} namespaces; boot one that does"),
    }
}

fn unshared(name: &'static str, kind: &str, link: &str, flag: CloneFlags) -> Check {
    let link = format!("/proc/thread-self/ns/{link}");
    let probe = std::thread::Builder::new().spawn(move || {
        let before = std::fs::read_link(&link).map_err(|e| format!("{link}: {e}"))?;
        nix::sched::unshare(flag).map_err(|e| format!("unshare: {e}"))?;
        // pid_for_children dangles until the namespace has its first process, which it never gets.
        match std::fs::read_link(&link) {
            Ok(after) if after == before => Err(format!("unshare succeeded, but {link} did not change")),
            Ok(after) => Ok(format!("unshared: {}", after.display())),
            Err(_) => Ok("unshared".to_owned()),
        }
    });
    let said = probe
        .map_err(|e| format!("no thread to try in: {e}"))
        .and_then(|thread| thread.join().unwrap_or_else(|_| Err("the probe's thread died".to_owned())));
    match said {
        Ok(evidence) => Check::ok(GROUP, name, evidence),
        Err(evidence) => Check::missing(GROUP, name, evidence, advice(kind)),
    }
}

fn user() -> Check {
    match mapped() {
        Ok(evidence) => Check::ok(GROUP, "ns.user", evidence),
        Err(evidence) => Check::missing(GROUP, "ns.user", evidence, user_advice()),
    }
}

fn user_advice() -> String {
    match read_line("/proc/sys/kernel/unprivileged_userns_clone") {
        Ok(v) if v == "0" && !rustix::process::geteuid().is_root() => "run as root".to_owned(),
        _ => advice("user"),
    }
}

/// Ends and reaps the helper whatever happens in between.
struct Held(Child);

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn mapped() -> Result<String, String> {
    let child = Command::new("/usr/bin/unshare")
        .args(["--user", "--", "/bin/cat"])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("/usr/bin/unshare (util-linux): {e}"))?;
    let mut child = Held(child);
    let (Some(mut to), Some(mut from)) = (child.0.stdin.take(), child.0.stdout.take()) else {
        return Err("no pipes to the helper".to_owned());
    };
    // cat echoes once it runs, and it runs only after unshare(2) has succeeded.
    let mut byte = [0u8; 1];
    if to.write_all(b"x").and_then(|()| from.read_exact(&mut byte)).is_err() {
        let mut said = String::new();
        if let Some(stderr) = child.0.stderr.take() {
            let _ = stderr.take(512).read_to_string(&mut said);
        }
        return Err(format!("no user namespace: {}", said.trim()));
    }
    let pid = child.0.id();
    for file in ["uid_map", "gid_map"] {
        let path = format!("/proc/{pid}/{file}");
        std::fs::write(&path, format!("0 {ID_BASE} {IDS_A_CELL}\n")).map_err(|e| format!("{file}: {e}"))?;
        let back = read_line(&path).map_err(|e| format!("{file}: {e}"))?;
        let wanted = ["0".to_owned(), ID_BASE.to_string(), IDS_A_CELL.to_string()];
        if back.split_whitespace().ne(wanted.iter().map(String::as_str)) {
            return Err(format!("{file} reads back as {back:?}"));
        }
    }
    Ok(format!("created and mapped to {IDS_A_CELL} ids from {ID_BASE}"))
}
