//! What a policy adds to a profile: everything else is decided as before, by the bytes that are loaded.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use stockade_plan::never;
use stockade_policy::seccomp::{
    AUDIT_ARCH_X86_64, Action, Call, Profile, addable, additions, profile, syscall_name, syscall_number,
};
use stockade_policy::{Origin, SyscallAction, SyscallRule};

const X32: i32 = 0x4000_0000;

fn native() -> Profile {
    profile("cell-native").unwrap()
}

fn nr(name: &str) -> u32 {
    u32::try_from(syscall_number(name).unwrap_or_else(|| panic!("no syscall {name}"))).unwrap()
}

fn rule(action: SyscallAction, names: &[&str]) -> SyscallRule {
    SyscallRule {
        calls: names.iter().map(|name| (nr(name), (*name).to_owned())).collect(),
        action,
        why: "for the test".into(),
        origin: Origin { file: "test.toml".into(), line: 1 },
    }
}

fn rules() -> Vec<SyscallRule> {
    vec![
        rule(SyscallAction::Allow, &["ioprio_set", "sched_setscheduler"]),
        rule(SyscallAction::Deny, &["symlink", "symlinkat", "read"]),
        rule(SyscallAction::Notify, &["fork", "vfork"]),
    ]
}

#[test]
fn only_what_is_added_differs() {
    let (base, with) = (native(), native().with(&rules()));
    let added = additions(&rules());
    assert_eq!(added.len(), 7);
    let wanted = |nr: i32| {
        let rule = rules().into_iter().find(|r| r.calls.iter().any(|(n, _)| i64::from(*n) == i64::from(nr)))?;
        Some(match rule.action {
            SyscallAction::Allow => Action::Allow,
            SyscallAction::Deny => Action::Errno(1),
            SyscallAction::Notify => Action::Notify,
        })
    };
    let arguments = [[0; 6], [u64::MAX; 6], [1, 1, 0, 0, 0, 0], [0x1000_0000, 0x5401, 0o4777, 0, 0, 0]];
    for args in arguments {
        for number in (-2..2048).chain([i32::MAX, i32::MIN]) {
            for nr in [number, number | X32] {
                let call = |arch| Call { nr, arch, instruction_pointer: 0, args };
                let before = base.decide_call(&call(AUDIT_ARCH_X86_64)).unwrap();
                let after = with.decide_call(&call(AUDIT_ARCH_X86_64)).unwrap();
                assert_eq!(after, wanted(nr).unwrap_or(before), "{nr:#x} {args:x?}");
                // i386, arm, and nothing: killed as ever, whatever the number.
                for arch in [0x4000_0003, 0x4000_0028, 0xc000_00b7, 0] {
                    assert_eq!(with.decide_call(&call(arch)).unwrap(), Action::KillProcess, "{nr:#x} of {arch:#x}");
                }
            }
        }
    }
    // An x32 number is not the addition with bit 30 taken away.
    let x32 = |name| with.decide((nr(name) | 0x4000_0000).into(), [0; 6]).unwrap();
    assert_eq!((x32("ioprio_set"), x32("read")), (Action::KillProcess, Action::KillProcess));
}

#[test]
fn without_additions_the_filter_is_the_profile() {
    assert_eq!(native().with(&[]).bpf, native().bpf);
}

#[test]
fn as_many_as_may_be_still_fall_through() {
    let many = SyscallRule { calls: (0..64).map(|nr| (nr, String::new())).collect(), ..rule(SyscallAction::Deny, &[]) };
    let with = native().with(&[many]);
    for nr in 0..600 {
        let wanted = if nr < 64 { Action::Errno(1) } else { native().decide(nr, [0; 6]).unwrap() };
        assert_eq!(with.decide(nr, [0; 6]).unwrap(), wanted, "{nr}");
    }
    assert_eq!(
        with.decide_call(&Call { nr: 3, arch: 0x4000_0003, instruction_pointer: 0, args: [0; 6] }),
        Ok(Action::KillProcess)
    );
}

#[test]
fn the_stricter_of_two_rules_holds() {
    let two = [rule(SyscallAction::Allow, &["ioprio_set"]), rule(SyscallAction::Notify, &["ioprio_set"])];
    assert_eq!(native().with(&two).decide(nr("ioprio_set").into(), [0; 6]).unwrap(), Action::Notify);
    let three = [two[1].clone(), rule(SyscallAction::Deny, &["ioprio_set"]), two[0].clone()];
    assert_eq!(native().with(&three).decide(nr("ioprio_set").into(), [0; 6]).unwrap(), Action::Errno(1));
}

#[test]
fn what_a_rule_speaks_of_is_not_for_a_policy_to_allow() {
    let allow = |name: &str| addable(&native(), nr(name), SyscallAction::Allow).map_err(|e| e.why);
    for name in ["ioprio_set", "sched_setscheduler", "sched_setattr", "file_getattr"] {
        allow(name).unwrap_or_else(|why| panic!("{name}: {why}"));
    }
    for (name, why) in [
        ("read", "allows it"),
        ("clone3", "namespaces"),
        ("get_mempolicy", "refuses it: libnuma"),
        ("sync", "has the shim refuse it"),
        ("socket", "arguments decide"),
        ("mount", "never added"),
        ("io_uring_setup", "never added"),
    ] {
        let said = allow(name).expect_err(name);
        assert!(said.contains(why), "{name}: {said}");
    }
    for action in [SyscallAction::Allow, SyscallAction::Deny, SyscallAction::Notify] {
        for nr in [335, 400, 5000, 0x4000_0000] {
            assert!(addable(&native(), nr, action).is_err(), "{nr}");
        }
    }
    for name in ["read", "socket", "mount", "clone3"] {
        addable(&native(), nr(name), SyscallAction::Deny).unwrap();
        addable(&native(), nr(name), SyscallAction::Notify).unwrap();
    }
}

#[test]
fn the_floor_names_its_numbers_right_and_covers_the_profiles_reasons() {
    for (why, calls) in never::GROUPS {
        assert!(why.len() > 20, "{why}");
        for (number, name) in *calls {
            assert_eq!(syscall_name((*number).into()), Some(*name), "{number}");
            assert_eq!(never::why(*number), Some(*why), "{name} is in two groups");
        }
    }
    // Whatever the profile allows for some arguments only would be allowed for all of them by number.
    let native = native();
    for rule in native.rules.iter().filter(|rule| rule.says.contains("for some arguments")) {
        assert!(never::why(rule.nr).is_some(), "{:?} is not on the floor", syscall_name(rule.nr.into()));
    }
}
