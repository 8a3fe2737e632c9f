//! Settings that no layer of a cell rests on, but that an operator should know.

use super::{Check, read_line};

const GROUP: &str = "settings";

pub(super) fn checks() -> Vec<Check> {
    vec![userns_limit(), unprivileged_userns(), ptrace_scope(), lockdown(), file_limit()]
}

fn userns_limit() -> Check {
    let name = "user.max_user_namespaces";
    match read_line("/proc/sys/user/max_user_namespaces") {
        Ok(n) if n == "0" => Check::missing(GROUP, name, "0", "raise it: each cell takes one user namespace"),
        Ok(n) => Check::ok(GROUP, name, n),
        Err(e) => Check::missing(GROUP, name, e.to_string(), "boot a kernel with CONFIG_USER_NS"),
    }
}

/// A cell's filter refuses new user namespaces whatever this says; the launcher is root's.
fn unprivileged_userns() -> Check {
    let name = "kernel.unprivileged_userns_clone";
    let said = match read_line("/proc/sys/kernel/unprivileged_userns_clone") {
        Ok(v) => v,
        Err(_) => "not on this kernel".to_owned(),
    };
    let note = format!("{said} (either value will do: the launcher is root's)");
    Check { required: false, ..Check::ok(GROUP, name, note) }
}

fn ptrace_scope() -> Check {
    let name = "kernel.yama.ptrace_scope";
    let advice = "set it to 1 or more (needs yama in lsm=): a second wall between processes of one uid";
    match read_line("/proc/sys/kernel/yama/ptrace_scope") {
        Ok(v) if v != "0" => Check { required: false, ..Check::ok(GROUP, name, v) },
        Ok(v) => Check::missing(GROUP, name, v, advice).advisory(),
        Err(_) => Check::missing(GROUP, name, "yama is not enabled", advice).advisory(),
    }
}

fn lockdown() -> Check {
    let name = "lockdown";
    let advice = "boot with lockdown=integrity: root then cannot rewrite the kernel that holds the cells";
    match read_line("/sys/kernel/security/lockdown") {
        Ok(v) if !v.contains("[none]") => Check { required: false, ..Check::ok(GROUP, name, v) },
        Ok(v) => Check::missing(GROUP, name, v, advice).advisory(),
        Err(_) => {
            let advice = "mount -t securityfs securityfs /sys/kernel/security to see; then lockdown=integrity";
            Check::missing(GROUP, name, "unknown: securityfs is not mounted", advice).advisory()
        }
    }
}

/// Limits can be lowered for a cell but not raised without CAP_SYS_RESOURCE (getrlimit(2)).
fn file_limit() -> Check {
    const WANTED: u64 = 1024;
    let name = "rlimit.nofile";
    let hard = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    match hard {
        Some(n) if n < WANTED => {
            let advice = format!("raise the hard limit to {WANTED} or more (ulimit -Hn, LimitNOFILE=)");
            Check::missing(GROUP, name, format!("hard limit {n}"), advice).advisory()
        }
        Some(n) => Check { required: false, ..Check::ok(GROUP, name, format!("hard limit {n}")) },
        None => Check { required: false, ..Check::ok(GROUP, name, "unlimited") },
    }
}
