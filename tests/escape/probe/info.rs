//! Learning about the host what a jail should not show.

use crate::attack::{Attack, Attempt, Stop, attack, no_effect};
use crate::fs_read::entries;
use crate::kit::{hostname, open, read_all};
use crate::sys;
use crate::sys::at_mut;

const CLASS: &str = "information";
const MASKED: &[&str] = &["masked-proc", "mount-ns", "landlock", "pid-ns", "seccomp"];

/// The table.
pub const ATTACKS: &[Attack] = &[
    attack("info-host-pid", CLASS, "see a process of the host in /proc", |p| {
        let text = read_all(&format!("/proc/{}/cmdline", p.number("HOST_PID")?))?;
        if text.contains("victim") { Ok("the victim's command line".into()) } else { Err(no_effect("another process")) }
    })
    .needs(&["HOST_PID"])
    .native(MASKED),
    attack("info-kallsyms", CLASS, "read kernel addresses from /proc/kallsyms", |_| {
        let text = read_all("/proc/kallsyms")?;
        let address = text.lines().filter(|l| !l.starts_with("0000000000000000")).count();
        if address > 0 { Ok(format!("{address} addresses")) } else { Err(no_effect("zeros")) }
    })
    .native(MASKED),
    attack("info-cmdline", CLASS, "read the kernel's command line", |_| nonempty("/proc/cmdline")).native(MASKED),
    attack("info-proc-stat", CLASS, "read the host's CPU use from /proc/stat", |_| nonempty("/proc/stat"))
        .native(MASKED),
    attack("info-meminfo", CLASS, "read the host's memory use from /proc/meminfo", |_| nonempty("/proc/meminfo"))
        .native(MASKED),
    attack("info-proc-mounts", CLASS, "find the workspace's host path in /proc/self/mountinfo", |p| {
        let marker = p.get("HOST_DIR")?;
        let text = read_all("/proc/self/mountinfo")?;
        match text.lines().find(|l| l.contains(marker)) {
            Some(line) => Ok(line.to_owned()),
            None => Err(no_effect("no host path in it")),
        }
    })
    .needs(&["HOST_DIR"])
    .outside("--unshare mount --ro HOST_DIR")
    .native_open("a bind mount shows its source's path in mountinfo; a name is no access, see docs/threat-model.md"),
    attack("info-modules", CLASS, "read /proc/modules or /proc/config.gz", |_| {
        nonempty("/proc/config.gz").or_else(|_| nonempty("/proc/modules"))
    })
    .excuse(&[libc::ENOENT], "neither is there")
    .native(MASKED),
    attack("info-sys", CLASS, "list /sys", |_| {
        let names = entries(open("/sys/class", libc::O_RDONLY | libc::O_DIRECTORY)?)?;
        Ok(format!("{} classes of devices", names.len()))
    })
    .native(MASKED),
    attack("info-cgroup-files", CLASS, "read the host's cgroup tree", |_| {
        let names = entries(open("/sys/fs/cgroup", libc::O_RDONLY | libc::O_DIRECTORY)?)?;
        Ok(names.join(" "))
    })
    .native(MASKED),
    attack("info-cgroup-path", CLASS, "learn the own cgroup's path on the host", |_| {
        let text = read_all("/proc/self/cgroup")?;
        match text.lines().find(|l| !l.ends_with(":/")) {
            Some(line) => Ok(line.to_owned()),
            None => Err(no_effect("only roots")),
        }
    })
    .excuse(&[0], "the test runs in the root cgroup")
    .native(&["cgroup-ns", "masked-proc", "landlock", "seccomp"]),
    attack("info-boot-id", CLASS, "read the host's boot id", |p| {
        let id = read_all("/proc/sys/kernel/random/boot_id")?;
        if id.trim() == p.get("BOOT_ID")? { Ok(id.trim().to_owned()) } else { Err(no_effect("another id")) }
    })
    .needs(&["BOOT_ID"])
    .native(MASKED),
    attack("info-hostname", CLASS, "learn the host's name", |p| {
        let (name, wanted) = (hostname()?, p.get("HOSTNAME")?);
        if name == wanted { Ok(name) } else { Err(no_effect(format!("the name is {name}"))) }
    })
    .needs(&["HOSTNAME"])
    .native(&["uts-ns"])
    .wasm(&["uts-ns", "seccomp"]),
    attack("info-boottime", CLASS, "learn how long the host is up by CLOCK_BOOTTIME", |p| {
        let mut time = [0i64; 2];
        sys!(SYS_clock_gettime, libc::CLOCK_BOOTTIME, at_mut(&mut time))?;
        near(time[0], p.number("UPTIME")?)
    })
    .needs(&["UPTIME"])
    .native(&["time-ns"])
    .wasm(&["time-ns", "seccomp"]),
    attack("info-monotonic", CLASS, "the same by CLOCK_MONOTONIC", |p| {
        let mut time = [0i64; 2];
        sys!(SYS_clock_gettime, libc::CLOCK_MONOTONIC, at_mut(&mut time))?;
        near(time[0], p.number("UPTIME")?)
    })
    .needs(&["UPTIME"])
    .native(&["time-ns"])
    .wasm(&["time-ns", "seccomp"]),
    attack("info-environment", CLASS, "find a secret of the launcher's environment in the own", |_| {
        crate::kit::expect_secret(std::env::vars().map(|(k, v)| format!("{k}={v}\n")).collect::<String>().as_bytes())
    })
    .native(&["environment"])
    .wasm(&["environment"]),
    attack("info-etc-passwd", CLASS, "read the host's list of users", |_| {
        let text = read_all("/etc/passwd")?;
        if text.contains("root:x:0:0:") {
            Ok(format!("{} lines", text.lines().count()))
        } else {
            Err(no_effect("not the host's"))
        }
    })
    .native(&["mount-ns", "landlock", "seccomp"]),
    attack("info-machine-id", CLASS, "read the host's machine id", |_| nonempty("/etc/machine-id"))
        .excuse(&[libc::ENOENT, 0], "no machine id here")
        .native(&["mount-ns", "landlock", "seccomp"]),
    attack("info-disks", CLASS, "see the host's disks in /proc/partitions", |_| nonempty("/proc/partitions"))
        .native(MASKED),
    attack("info-net-proc", CLASS, "see the host's connections in /proc/net/tcp", |p| {
        let port = format!(":{:04X} ", p.number("TCP")?);
        let text = read_all("/proc/net/tcp")?;
        if text.contains(&port) {
            Ok("the driver's listener is in the list".into())
        } else {
            Err(no_effect("it is not in the list"))
        }
    })
    .needs(&["TCP"])
    .native(&["net-ns", "masked-proc", "mount-ns", "landlock", "seccomp"]),
];

fn nonempty(path: &str) -> Attempt {
    let text = read_all(path)?;
    if text.is_empty() { Err(no_effect("empty")) } else { Ok(format!("{} bytes", text.len())) }
}

fn near(seconds: i64, host: i64) -> Result<String, Stop> {
    if (seconds - host).abs() < 120 {
        Ok(format!("{seconds} s"))
    } else {
        Err(no_effect(format!("{seconds} s, not {host}")))
    }
}
