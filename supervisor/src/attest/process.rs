//! Namespaces, identity, privileges, filters and descriptors (proc(5)).

use std::fs;

use serde_json::{Map, Value, json};
use stockade_plan::{Addition, AdditionAction, Plan};

use super::{Layer, Moment, Subject};

/// The eight kinds (namespaces(7)), by their names under /proc/PID/ns.
const NAMESPACES: [&str; 8] = ["user", "pid", "mnt", "net", "ipc", "uts", "cgroup", "time"];
/// Descriptors of the launcher itself that close at the exec.
const UNTIL_EXEC: [u8; 2] = [16, 17];

pub(super) fn namespaces(subject: &Subject) -> Layer {
    let mut layer = Layer::new("namespaces");
    let mut details = Map::new();
    for name in NAMESPACES {
        let theirs = subject.link(&format!("ns/{name}"));
        let ours = fs::read_link(format!("/proc/self/ns/{name}")).map(|p| p.to_string_lossy().into_owned());
        if !theirs.starts_with(&format!("{name}:[")) || ours.is_ok_and(|ours| ours == theirs) {
            layer.mismatches.push(format!("namespaces: {name} is {theirs:?}, the host's own or unknown"));
        }
        details.insert(name.into(), theirs.into());
    }
    // Pid 1 inside: the last number of NSpid.
    let inside = subject.status("NSpid");
    layer.expect("pid inside", inside.rsplit(' ').next().unwrap_or_default(), "1");
    layer.summary = format!("{}: each its own", NAMESPACES.join(" "));
    layer.details = details.into();
    layer
}

pub(super) fn uid_map(subject: &Subject, plan: &Plan) -> Layer {
    let mut layer = Layer::new("uid_map");
    let squeeze = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let planned = format!("0 {} {}", plan.ids.host, plan.ids.count);
    let (uids, gids) = (squeeze(subject.read("uid_map")), squeeze(subject.read("gid_map")));
    layer.expect("uid_map", &uids, &planned);
    layer.expect("gid_map", &gids, &planned);
    layer.expect("setgroups", subject.read("setgroups").trim(), "deny");
    layer.summary =
        format!("inside 0-{} is host {}-{}", plan.ids.count - 1, plan.ids.host, plan.ids.host + plan.ids.count - 1);
    layer.details = json!({"uid_map": uids, "gid_map": gids, "setgroups": "deny"});
    layer
}

pub(super) fn credentials(subject: &Subject, plan: &Plan, moment: Moment) -> Layer {
    let mut layer = Layer::new("credentials");
    let host = |id: u32| [plan.ids.host + id; 4].map(|v| v.to_string()).join(" ");
    let (uid, gid, groups) = (subject.status("Uid"), subject.status("Gid"), subject.status("Groups"));
    layer.expect("Uid", &uid, &host(plan.ids.uid));
    layer.expect("Gid", &gid, &host(plan.ids.gid));
    layer.expect("Groups", &groups, "");
    // Fields after the command name, which is in parentheses: state ppid pgrp session tty_nr.
    let stat = subject.read("stat");
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let field = |i: usize| (*fields.get(i).unwrap_or(&"absent")).to_owned();
    layer.expect("session", &field(3), &subject.pid.to_string());
    layer.expect("controlling terminal", &field(4), "0");
    layer.expect("oom_score_adj", subject.read("oom_score_adj").trim(), "500");
    let threads = subject.status("Threads");
    if moment == Moment::BeforeExec {
        layer.expect("Threads", &threads, "1");
    }
    layer.summary = format!(
        "host uid {} gid {}, no groups, own session, no terminal",
        plan.ids.host + plan.ids.uid,
        plan.ids.host + plan.ids.gid
    );
    layer.details = json!({"uid": uid, "gid": gid, "groups": groups, "threads": threads});
    layer
}

pub(super) fn capabilities(subject: &Subject) -> Layer {
    let mut layer = Layer::new("capabilities");
    let mut details = Map::new();
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        let value = subject.status(set);
        layer.expect(set, &value, "0000000000000000");
        details.insert(set.into(), value.into());
    }
    layer.summary = "inheritable, permitted, effective, bounding, ambient: all empty".into();
    layer.details = details.into();
    layer
}

pub(super) fn no_new_privs(subject: &Subject) -> Layer {
    let mut layer = Layer::new("no_new_privs");
    let value = subject.status("NoNewPrivs");
    layer.expect("NoNewPrivs", &value, "1");
    layer.summary = "set".into();
    layer.details = json!({"NoNewPrivs": value});
    layer
}

pub(super) fn seccomp(subject: &Subject, plan: &Plan, moment: Moment) -> Layer {
    let mut layer = Layer::new("seccomp");
    let planned = match moment {
        Moment::BeforeExec => "1",
        Moment::Sealed => "2",
    };
    let (mode, filters) = (subject.status("Seccomp"), subject.status("Seccomp_filters"));
    layer.expect("Seccomp", &mode, "2");
    // Host filters (a container's, say) add to the count and only narrow; the supervisor's own are known.
    let own = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let inherited: u32 = own.lines().find_map(|l| l.strip_prefix("Seccomp_filters:")?.trim().parse().ok()).unwrap_or(0);
    let expected = planned.parse::<u32>().unwrap_or(0) + inherited;
    layer.expect("Seccomp_filters", &filters, &expected.to_string());
    let digest: String = plan.seccomp.digest.iter().map(|b| format!("{b:02x}")).collect();
    let short = digest.get(..12).unwrap_or_default();
    let additions: Vec<_> = plan.seccomp.additions.iter().map(|a| addition(*a)).collect();
    let added = match additions.len() {
        0 => String::new(),
        count => format!(", {count} added by the policy"),
    };
    let listener = if plan.seccomp.listener { ", the rest to the shim" } else { "" };
    layer.summary = format!("mode 2, {filters} filter(s), allow-list {short}{added}{listener}");
    layer.details = json!({"mode": mode, "filters": filters, "sha256": digest, "listener": plan.seccomp.listener});
    // Only what is there: records of runs without additions stay as they were.
    if let (false, Some(details)) = (additions.is_empty(), layer.details.as_object_mut()) {
        details.insert("additions".into(), additions.into());
    }
    layer
}

fn addition(addition: Addition) -> Value {
    let name = stockade_policy::seccomp::syscall_name(addition.nr.into());
    let action = match addition.action {
        AdditionAction::Allow => "allow",
        AdditionAction::Deny => "deny",
        AdditionAction::Notify => "notify",
    };
    json!({"name": name, "nr": addition.nr, "action": action})
}

pub(super) fn descriptors(subject: &Subject, plan: &Plan, moment: Moment) -> Layer {
    let mut layer = Layer::new("descriptors");
    let mut found: Vec<(u8, String)> = Vec::new();
    match fs::read_dir(format!("/proc/{}/fd", subject.pid)) {
        Ok(entries) => {
            for entry in entries.flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let number = name.parse().unwrap_or(u8::MAX);
                found.push((number, subject.link(&format!("fd/{name}"))));
            }
        }
        Err(e) => layer.mismatches.push(format!("descriptors: unreadable: {e}")),
    }
    found.sort();
    let mut planned: Vec<u8> = plan.descriptors.iter().map(|d| d.target).collect();
    if moment == Moment::BeforeExec {
        planned.extend(UNTIL_EXEC);
    }
    planned.sort_unstable();
    let numbers: Vec<u8> = found.iter().map(|(n, _)| *n).collect();
    // A program of ours has made pollers and pipes of its own since; nothing that names a file or a socket.
    let own = |link: &str| moment == Moment::Sealed && (link.starts_with("anon_inode:") || link.starts_with("pipe:"));
    let unexpected = found.iter().filter(|(n, link)| !planned.contains(n) && !own(link));
    for (number, link) in unexpected {
        layer.mismatches.push(format!("descriptors: {number} is open ({link}) and not planned"));
    }
    if moment == Moment::BeforeExec {
        layer.expect("list", &format!("{numbers:?}"), &format!("{planned:?}"));
    }
    layer.summary = format!("{} open, each as planned; all else closed", found.len());
    layer.details = found.into_iter().map(|(n, link)| (n.to_string(), link.into())).collect::<Map<_, _>>().into();
    layer
}
