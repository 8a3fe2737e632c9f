//! The launch contract: what is encoded is what is decoded, and nothing else is accepted.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use stockade_plan::report::{MESSAGE, Report};
use stockade_plan::step::Step;
use stockade_plan::{
    Access, Addition, AdditionAction, CgroupLimits, Cgroups, CheckError, DecodeError, Descriptor, Entry, Exec, Ids,
    Landlock, Listener, MIN_HOST_ID, Owner, Plan, Rlimit, Role, Rule, Seccomp, Slot, Transport, What,
};

fn added(nr: u32, action: AdditionAction) -> Addition {
    Addition { nr, action }
}

/// A plan with one of everything; its highest slot is 5.
fn plan() -> Plan {
    let bind = What::Bind {
        source: Slot(1),
        read_only: false,
        no_exec: true,
        device: false,
        file: false,
        idmap: Some(Owner { uid: 1000, gid: 100 }),
    };
    let entry = |dest: &str, what| Entry { dest: dest.into(), what };
    Plan {
        role: Role::Native,
        hostname: "cell".into(),
        ids: Ids { host: 1_900_000_000, count: 65_536, uid: 1000, gid: 1000 },
        cgroups: Cgroups { v2: Slot(0), v1: vec![Slot(5)] },
        limits: Some(CgroupLimits { memory: 1 << 28, pids: 32, cpu_millis: 500 }),
        root: vec![
            entry("/workspace", bind),
            entry("/tmp", What::Tmpfs { size: 1 << 20, inodes: 64 }),
            entry("/bin", What::Symlink { target: "usr/bin".into() }),
            entry("/etc/passwd", What::File { content: b"x".to_vec() }),
            entry("/a", What::Dir),
            entry("/proc", What::Proc),
            entry("/workspace/.git", What::Pin),
            entry("/workspace/.git/hooks", What::Mask),
        ],
        rlimits: vec![Rlimit { resource: 7, value: 256 }],
        landlock: Landlock {
            abi: 6,
            rules: vec![Rule { path: "/workspace".into(), access: Access::ReadWrite }],
            connect: vec![443],
        },
        seccomp: Seccomp {
            filter: Slot(2),
            digest: [7; 32],
            listener: true,
            // sched_setscheduler, ioprio_set
            additions: vec![added(144, AdditionAction::Allow), added(251, AdditionAction::Deny)],
        },
        listeners: vec![
            Listener { transport: Transport::Tcp, any: true, port: 443 },
            Listener { transport: Transport::Udp, any: true, port: 53 },
        ],
        descriptors: vec![Descriptor { slot: Slot(3), target: 0 }],
        exec: Exec { program: Slot(4), argv: vec!["p".into()], env: vec!["A=b".into()], cwd: "/workspace".into() },
    }
}

#[test]
fn a_plan_survives_its_bytes_and_passes() {
    let plan = plan();
    assert_eq!(Plan::decode(&plan.encode()).unwrap(), plan);
    assert_eq!(plan.check(6), Ok(()));
}

#[test]
fn every_cut_and_every_addition_is_refused() {
    let bytes = plan().encode();
    for len in 0..bytes.len() {
        assert!(Plan::decode(&bytes[..len]).is_err(), "cut at {len}");
    }
    let mut longer = bytes;
    longer.push(0);
    assert_eq!(Plan::decode(&longer), Err(DecodeError::Trailing(1)));
    assert!(matches!(Plan::decode(&vec![0; 70_000]), Err(DecodeError::TooLong(70_000))));
}

#[test]
fn no_flipped_bit_panics_and_what_decodes_encodes_the_same() {
    let bytes = plan().encode();
    for at in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[at / 8] ^= 1 << (at % 8);
        if let Ok(plan) = Plan::decode(&flipped) {
            assert_eq!(plan.encode(), flipped, "bit {at} has a second spelling");
            let _verdict = plan.check(6);
        }
    }
}

/// One way to fall below the floor.
type Change = fn(&mut Plan);

#[test]
fn nothing_below_the_floor_passes() {
    let below: [(&str, Change); 25] = [
        ("root of the host", |p| p.ids.host = 0),
        ("a person's id", |p| p.ids.host = MIN_HOST_ID - 1),
        ("ids that wrap", |p| p.ids.host = u32::MAX - 10),
        ("an empty range", |p| p.ids.count = 0),
        ("root inside", |p| p.ids.uid = 0),
        ("root's group inside", |p| p.ids.gid = 0),
        ("a user outside the range", |p| p.ids.uid = 70_000),
        ("no listener", |p| p.seccomp.listener = false),
        ("no limits", |p| p.limits = None),
        ("a mount by addition", |p| p.seccomp.additions[0].nr = 165),
        ("a socket by addition", |p| p.seccomp.additions[0].nr = 41),
        ("a clone3 by addition", |p| p.seccomp.additions[1] = added(435, AdditionAction::Allow)),
        ("a number nobody judged", |p| p.seccomp.additions[1] = added(470, AdditionAction::Allow)),
        ("an x32 number", |p| p.seccomp.additions[1].nr = 251 | 0x4000_0000),
        ("one syscall twice", |p| p.seccomp.additions[1].nr = 144),
        ("more additions than may be", |p| {
            p.seccomp.additions = (0..65).map(|nr| added(nr, AdditionAction::Deny)).collect();
        }),
        ("additions to a wasm cell's filter", |p| p.role = Role::Wasm),
        ("no Landlock", |p| p.landlock.abi = 0),
        ("a missing descriptor", |p| p.exec.program = Slot(6)),
        ("two descriptors of one number", |p| p.descriptors.push(Descriptor { slot: Slot(1), target: 0 })),
        ("a path upwards", |p| p.root[0].dest = "/a/../b".into()),
        ("a relative working directory", |p| p.exec.cwd = "work".into()),
        ("a host name with a dot", |p| p.hostname = "a.b".into()),
        ("no arguments", |p| p.exec.argv.clear()),
        ("a writable bind of the host as it is", |p| {
            if let What::Bind { idmap, .. } = &mut p.root[0].what {
                *idmap = None;
            }
        }),
    ];
    for (name, change) in below {
        let mut plan = plan();
        change(&mut plan);
        assert!(plan.check(6).is_err(), "{name} passed");
    }
    let mut device = plan();
    device.root[0].what =
        What::Bind { source: Slot(1), read_only: false, no_exec: true, device: true, file: false, idmap: None };
    assert!(matches!(device.check(6), Err(CheckError::Bind(_))));
}

#[test]
fn reports_survive_their_bytes() {
    let mut reports = vec![
        Report::Born { pid: 77 },
        Report::Listening,
        Report::Ready { landlock_abi: 6, canary_fs: 13, canary_net: 13 },
    ];
    reports.extend(Step::ALL.iter().map(|step| Report::Failed { step: *step, errno: 1, index: 3 }));
    for report in reports {
        assert_eq!(Report::decode(&report.encode()), Some(report));
    }
    assert_eq!(Report::decode(&[0; MESSAGE]), None);
    assert_eq!(Report::decode(&[1; 7]), None);
    let mut unknown_step = Report::Failed { step: Step::Go, errno: 0, index: 0 }.encode();
    unknown_step[12] = 0xff;
    assert_eq!(Report::decode(&unknown_step), None);
}

#[test]
fn steps_have_names_of_their_own_and_advice() {
    let mut names: Vec<_> = Step::ALL.iter().map(|s| s.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Step::ALL.len());
    assert!(Step::ALL.iter().all(|s| s.advice().len() > 20 && Step::from_number(*s as u16) == Some(*s)));
}
