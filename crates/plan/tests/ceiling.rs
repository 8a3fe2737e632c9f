//! The ceiling: what is encoded is what is decoded, nothing else is accepted, and no plan over it passes.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use stockade_plan::ceiling::{MAX_CEILING, WORKSPACE};
use stockade_plan::{
    Access, Addition, AdditionAction, Ceiling, CeilingKey, CgroupLimits, Cgroups, DecodeError, Entry, Exec, Ids,
    Landlock, Owner, Plan, Rlimit, Role, Rule, Seccomp, Slot, What,
};

const LIBEXEC: &str = "/usr/libexec/stockade";

fn ceiling() -> Ceiling {
    Ceiling {
        source_digest: [9; 32],
        memory: 1 << 30,
        pids: 64,
        cpu_millis: 1000,
        files: 256,
        file_size: Some(1 << 20),
        read: Some(vec!["/usr".into(), "/etc/ssl".into()]),
        write_workspaces: Some(vec!["/srv/work".into()]),
        execute: Some(vec!["/usr/bin".into(), WORKSPACE.into()]),
        syscalls: Some(vec![144]),
        filters: Some(vec![[7; 32]]),
        landlock_abi: 4,
    }
}

fn bind(source: u8, no_exec: bool, idmap: Option<Owner>) -> What {
    What::Bind { source: Slot(source), read_only: idmap.is_none(), no_exec, device: false, file: false, idmap }
}

/// Fits the ceiling exactly.
fn plan() -> Plan {
    let entry = |dest: &str, what| Entry { dest: dest.into(), what };
    let rule = |path: &str, access| Rule { path: path.into(), access };
    Plan {
        role: Role::Native,
        hostname: "cell".into(),
        ids: Ids { host: 1_900_000_000, count: 65_536, uid: 1000, gid: 1000 },
        cgroups: Cgroups { v2: Slot(0), v1: vec![] },
        limits: Some(CgroupLimits { memory: 1 << 30, pids: 64, cpu_millis: 1000 }),
        root: vec![
            entry("/usr", bind(1, false, None)),
            entry("/etc/ssl", bind(2, true, None)),
            entry("/workspace", bind(3, false, Some(Owner { uid: 1000, gid: 1000 }))),
            entry(
                "/dev/null",
                What::Bind { source: Slot(4), read_only: false, no_exec: true, device: true, file: true, idmap: None },
            ),
        ],
        rlimits: vec![Rlimit { resource: 7, value: 256 }, Rlimit { resource: 1, value: 1 << 20 }],
        landlock: Landlock {
            abi: 4,
            rules: vec![
                rule("/usr", Access::Read),
                rule("/usr/bin", Access::ReadExecute),
                rule("/workspace/bin", Access::ReadWriteExecute),
                rule("/etc/ssl", Access::Read),
            ],
            connect: vec![],
        },
        seccomp: Seccomp {
            filter: Slot(5),
            digest: [7; 32],
            listener: true,
            additions: vec![
                Addition { nr: 144, action: AdditionAction::Allow },
                Addition { nr: 251, action: AdditionAction::Deny },
            ],
        },
        listeners: vec![],
        descriptors: vec![],
        exec: Exec { program: Slot(6), argv: vec!["p".into()], env: vec![], cwd: "/workspace".into() },
    }
}

fn sources() -> Vec<(Slot, String)> {
    let program = format!("{LIBEXEC}/stockade-init");
    [(1, "/usr"), (2, "/etc/ssl"), (3, "/srv/work/a"), (4, "/dev/null"), (6, program.as_str())]
        .map(|(slot, path)| (Slot(slot), path.to_owned()))
        .into()
}

type Change = fn(&mut Plan, &mut Ceiling, &mut Vec<(Slot, String)>);

#[test]
fn a_plan_that_fits_passes_and_each_excess_is_named() {
    plan().check(7).unwrap();
    ceiling().check(&plan(), &sources(), LIBEXEC).unwrap();
    let over: [(CeilingKey, &str, Change); 26] = [
        (CeilingKey::Memory, "memory", |p, _, _| p.limits.as_mut().unwrap().memory += 1),
        (CeilingKey::Memory, "no limits", |p, _, _| p.limits = None),
        (CeilingKey::Pids, "pids", |p, _, _| p.limits.as_mut().unwrap().pids += 1),
        (CeilingKey::Cpu, "cpu", |p, _, _| p.limits.as_mut().unwrap().cpu_millis += 1),
        (CeilingKey::Files, "files", |p, _, _| p.rlimits[0].value += 1),
        (CeilingKey::Files, "files twice", |p, _, _| p.rlimits.push(Rlimit { resource: 7, value: 999 })),
        (CeilingKey::Files, "no limit of files", |p, _, _| p.rlimits[0].resource = 2),
        (CeilingKey::FileSize, "file size", |p, _, _| p.rlimits[1].value += 1),
        (CeilingKey::FileSize, "no limit of file size", |p, _, _| p.rlimits.truncate(1)),
        (CeilingKey::Read, "another tree", |p, _, s| {
            p.root[1].dest = "/etc".into();
            s[1].1 = "/etc".into();
        }),
        (CeilingKey::Read, "a neighbour by prefix", |p, _, s| {
            p.root[1].dest = "/etc/ssl2".into();
            s[1].1 = "/etc/ssl2".into();
        }),
        (CeilingKey::Read, "a tree under another's name", |_, _, s| s[1].1 = "/etc/shadow".into()),
        (CeilingKey::Read, "a tree without a name", |_, _, s| s[1].0 = Slot(99)),
        (CeilingKey::Read, "nothing is allowed", |_, c, _| c.read = Some(vec![])),
        (CeilingKey::Read, "another device", |_, _, s| s[3].1 = "/dev/sda".into()),
        (CeilingKey::Read, "a device in its own place", |p, _, s| {
            p.root[3].dest = "/dev/sda".into();
            s[3].1 = "/dev/sda".into();
        }),
        (CeilingKey::Read, "a journal that is not the shim's", |p, _, _| p.root[1].dest = "/journal".into()),
        (CeilingKey::Workspaces, "another workspace", |_, _, s| s[2].1 = "/home/a".into()),
        (CeilingKey::Workspaces, "a neighbour of the workspaces", |_, _, s| s[2].1 = "/srv/workshop".into()),
        (CeilingKey::Execute, "all of /usr", |p, _, _| p.landlock.rules[0].access = Access::ReadExecute),
        (CeilingKey::Execute, "a file", |p, _, _| p.landlock.rules[3].access = Access::ReadExecuteFile),
        (CeilingKey::Execute, "the workspace", |_, c, _| c.execute = Some(vec!["/usr/bin".into()])),
        (CeilingKey::Execute, "a mount", |p, _, _| p.root[1].what = bind(2, false, None)),
        (CeilingKey::Syscalls, "a syscall", |p, _, _| p.seccomp.additions[0].nr = 142),
        (CeilingKey::Filters, "a filter", |p, _, _| p.seccomp.digest = [8; 32]),
        (CeilingKey::Landlock, "landlock", |p, _, _| p.landlock.abi = 3),
    ];
    for (key, what, change) in over {
        let (mut plan, mut ceiling, mut sources) = (plan(), ceiling(), sources());
        change(&mut plan, &mut ceiling, &mut sources);
        let error = ceiling.check(&plan, &sources, LIBEXEC).expect_err(what);
        assert_eq!(error.key, key, "{what}: {error}");
        assert!(error.to_string().starts_with(key.name()) && !error.allowed.is_empty(), "{what}: {error}");
    }
}

#[test]
fn who_claims_to_be_one_of_ours_is() {
    for role in [Role::Shim, Role::Compile, Role::Wasm] {
        let mut plan = plan();
        plan.role = role;
        let error = ceiling().check(&plan, &sources(), LIBEXEC).unwrap_err();
        assert_eq!(error.key, CeilingKey::Program, "{role:?} runs another's program");
    }
    let mut sources = sources();
    sources[4].1 = "/tmp/stockade-init".into();
    assert_eq!(ceiling().check(&plan(), &sources, LIBEXEC).unwrap_err().key, CeilingKey::Program);
}

#[test]
fn without_lists_everything_else_still_holds() {
    let open = Ceiling {
        file_size: None,
        read: None,
        write_workspaces: None,
        execute: None,
        syscalls: None,
        filters: None,
        landlock_abi: 1,
        ..ceiling()
    };
    let mut wide = plan();
    wide.landlock.rules[0].access = Access::ReadExecute;
    wide.root[1].what = bind(2, false, None);
    wide.seccomp.digest = [1; 32];
    open.check(&wide, &sources(), LIBEXEC).unwrap();
    let mut sources = sources();
    sources[0].1 = "/root".into();
    assert_eq!(open.check(&wide, &sources, LIBEXEC).unwrap_err().key, CeilingKey::Read);
}

#[test]
fn what_the_kernel_says_of_the_cgroup_counts() {
    let limits = plan().limits.unwrap();
    let kept = |files: &[(&str, &str)]| {
        limits.kept_by(|name| files.iter().find(|(n, _)| *n == name).map(|(_, text)| (*text).to_owned()))
    };
    kept(&[("memory.max", "1073741824\n"), ("pids.max", "64\n"), ("cpu.max", "100000 100000\n")]).unwrap();
    let v1 = [("memory.limit_in_bytes", "1073741824\n"), ("pids.max", "64\n"), ("cpu.cfs_quota_us", "50000\n")];
    kept(&[&v1[..], &[("cpu.cfs_period_us", "100000\n")]].concat()).unwrap();
    for (key, files) in [
        (CeilingKey::Memory, vec![]),
        (CeilingKey::Memory, vec![("memory.max", "max\n")]),
        (CeilingKey::Memory, vec![("memory.max", "1073741825\n")]),
        (CeilingKey::Pids, vec![("memory.max", "1")]),
        (CeilingKey::Pids, vec![("memory.max", "1"), ("pids.max", "max")]),
        (CeilingKey::Cpu, vec![("memory.max", "1"), ("pids.max", "1")]),
        (CeilingKey::Cpu, vec![("memory.max", "1"), ("pids.max", "1"), ("cpu.max", "max 100000")]),
        (CeilingKey::Cpu, vec![("memory.max", "1"), ("pids.max", "1"), ("cpu.max", "100000 99000")]),
        (CeilingKey::Cpu, vec![("memory.max", "1"), ("pids.max", "1"), ("cpu.max", "1 0")]),
        (CeilingKey::Cpu, [&v1[..2], &[("cpu.cfs_quota_us", "-1"), ("cpu.cfs_period_us", "100000")]].concat()),
    ] {
        assert_eq!(kept(&files).unwrap_err().key, key, "{files:?}");
    }
}

#[test]
fn a_ceiling_survives_its_bytes_and_nothing_else_is_one() {
    let bytes = ceiling().encode();
    assert_eq!(Ceiling::decode(&bytes).unwrap(), ceiling());
    for len in 0..bytes.len() {
        assert!(Ceiling::decode(&bytes[..len]).is_err(), "cut at {len}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(Ceiling::decode(&longer), Err(DecodeError::Trailing(1)));
    assert!(matches!(Ceiling::decode(&vec![0; MAX_CEILING + 1]), Err(DecodeError::TooLong(_))));
    for at in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[at / 8] ^= 1 << (at % 8);
        if let Ok(ceiling) = Ceiling::decode(&flipped) {
            assert_eq!(ceiling.encode(), flipped, "bit {at} has a second spelling");
        }
    }
    for path in ["usr", "/usr/", "/a/../b", "", "@workspace/x"] {
        let odd = Ceiling { read: Some(vec![path.into()]), ..ceiling() };
        assert_eq!(Ceiling::decode(&odd.encode()), Err(DecodeError::Text("ceiling path")), "{path:?}");
    }
}

#[test]
fn keys_have_numbers_and_names_of_their_own() {
    for key in CeilingKey::ALL {
        assert_eq!(CeilingKey::from_number((*key as u8).into()), Some(*key));
        assert_eq!(CeilingKey::ALL.iter().filter(|other| other.name() == key.name()).count(), 1, "{key}");
    }
}
