//! Profile → classic BPF, by libseccomp.

use crate::profile::{Action, Arg, Op, Outcome, Profile, Rule, Values};
use libseccomp::{ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall, set_api};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

/// First number no kernel of this decade has.
const BEYOND: i32 = 600;

pub fn compile(profile: &Profile, newer: &BTreeMap<String, i32>, scratch: &Path) -> crate::Result<Vec<u8>> {
    // The filter is for the machines it will run on: what the build machine's kernel offers does not count.
    set_api(6)?;
    let default = action(profile.default.as_ref().ok_or("the profile has no default")?)?;
    let mut filter = ScmpFilterContext::new(default)?;
    // i386 by `int 0x80` and x32 have other numbers; nothing here uses them, so they end the process.
    filter.set_act_badarch(ScmpAction::KillProcess)?;
    filter.set_ctl_optimize(2)?;
    filter.set_ctl_nnp(false)?;
    one_meaning(profile)?;
    for rule in &profile.rules {
        let outcome = action(&Outcome { action: rule.action, errno: rule.errno.clone() })?;
        for name in &rule.names {
            let syscall = number(name, newer)?;
            if outcome == default {
                // Stated for its `why`; the filter needs no instruction for it.
                continue;
            }
            for comparators in alternatives(&rule.args)? {
                let added = if comparators.is_empty() {
                    filter.add_rule_exact(outcome, syscall)
                } else {
                    filter.add_rule_conditional_exact(outcome, syscall, &comparators)
                };
                added.map_err(|e| format!("{name}: {e}"))?;
            }
        }
    }
    let file = scratch.join("scratch.bpf");
    filter.export_bpf(File::create(&file)?)?;
    Ok(std::fs::read(&file)?)
}

/// Two rules that could both match one call would leave the order to libseccomp. So the rules of one
/// syscall share their action, or differ in distinct values of the same bits of one argument.
fn one_meaning(profile: &Profile) -> crate::Result<()> {
    let mut seen: BTreeMap<&str, Vec<&Rule>> = BTreeMap::new();
    for rule in &profile.rules {
        for name in &rule.names {
            let others = seen.entry(name).or_default();
            if let Some(other) = others.iter().find(|other| !compatible(rule, other)) {
                return Err(format!("{name} has two rules that overlap: {:?} and {:?}", other.why, rule.why).into());
            }
            others.push(rule);
        }
    }
    Ok(())
}

fn compatible(a: &Rule, b: &Rule) -> bool {
    if a.args.is_empty() || b.args.is_empty() {
        return false;
    }
    if a.action == b.action && a.errno == b.errno {
        return true;
    }
    a.args.iter().any(|x| {
        b.args.iter().any(|y| {
            let exact = |arg: &Arg| matches!(arg.op, Op::Eq | Op::MaskedEq);
            let same_bits = exact(x) && exact(y) && x.index == y.index && x.mask == y.mask;
            same_bits && !values(x).iter().any(|v| values(y).contains(v))
        })
    })
}

fn action(outcome: &Outcome) -> crate::Result<ScmpAction> {
    Ok(match outcome.action {
        Action::Allow => ScmpAction::Allow,
        Action::Notify => ScmpAction::Notify,
        Action::Kill => ScmpAction::KillProcess,
        Action::Errno => ScmpAction::Errno(match outcome.errno.as_deref() {
            Some("EPERM") => 1,
            Some("ENOSYS") => 38,
            Some("EACCES") => 13,
            Some("EAFNOSUPPORT") => 97,
            Some("ENOTTY") => 25,
            Some("EINVAL") => 22,
            Some("EOPNOTSUPP") => 95,
            other => return Err(format!("errno {other:?} is not one of those profiles use").into()),
        }),
    })
}

/// An unknown name is a typing error or newer than this libseccomp: never a rule to skip.
pub fn number(name: &str, newer: &BTreeMap<String, i32>) -> crate::Result<ScmpSyscall> {
    if let Some(&nr) = newer.get(name) {
        return Ok(ScmpSyscall::from_raw_syscall(nr));
    }
    match ScmpSyscall::from_name_by_arch(name, ScmpArch::X8664) {
        Ok(syscall) if syscall.as_raw_syscall() >= 0 => Ok(syscall),
        _ => Err(format!(
            "{name}: this libseccomp knows no such syscall on this architecture; if it is newer, add it to seccomp-profiles/newer.*.toml"
        )
        .into()),
    }
}

fn values(arg: &Arg) -> Vec<u64> {
    match &arg.value {
        Values::One(v) => vec![*v],
        Values::Any(vs) => vs.clone(),
    }
}

/// One list of comparisons for each way the arguments can match.
fn alternatives(args: &[Arg]) -> crate::Result<Vec<Vec<ScmpArgCompare>>> {
    let mut ways: Vec<Vec<ScmpArgCompare>> = vec![Vec::new()];
    for arg in args {
        let mut longer = Vec::new();
        for value in values(arg) {
            let op = match (arg.op, arg.mask) {
                (Op::Eq, None) => ScmpCompareOp::Equal,
                (Op::Le, None) => ScmpCompareOp::LessOrEqual,
                (Op::MaskedEq, Some(mask)) if value & !mask == 0 => ScmpCompareOp::MaskedEqual(mask),
                _ => return Err(format!("argument {}: value {value:#x} has bits outside its mask", arg.index).into()),
            };
            longer.extend(ways.iter().map(|way| {
                let mut way = way.clone();
                way.push(ScmpArgCompare::new(arg.index, op, value));
                way
            }));
        }
        ways = longer;
    }
    Ok(ways)
}

/// Every number with a name, in order.
pub fn names(newer: &BTreeMap<String, i32>) -> BTreeMap<i32, String> {
    let known = (0..BEYOND).filter_map(|nr| {
        let name = ScmpSyscall::from_raw_syscall(nr).get_name_by_arch(ScmpArch::X8664).ok()?;
        Some((nr, name))
    });
    known.chain(newer.iter().map(|(name, nr)| (*nr, name.clone()))).collect()
}
