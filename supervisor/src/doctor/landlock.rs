//! Landlock (landlock(7)): each layer is put into a rule set with a hard requirement, and a thread
//! is restricted for good to show that an open then fails.

use super::Check;
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, Ruleset, RulesetAttr, RulesetError,
    RulesetStatus, Scope,
};

const GROUP: &str = "landlock";
const CANARY: &str = "/proc/self/status";

/// Puts one layer into a rule set.
type Add = fn(Ruleset) -> Result<Ruleset, RulesetError>;

pub(super) fn checks() -> Vec<Check> {
    let base = restricted();
    let available = base.is_ok();
    let mut all = vec![match base {
        Ok(evidence) => Check::ok(GROUP, "landlock", evidence),
        Err(evidence) => Check::missing(
            GROUP,
            "landlock",
            evidence,
            "boot with landlock in the lsm= list (Debian: add `lsm=landlock,lockdown,yama,apparmor,bpf` to the command line)",
        ),
    }];
    let later: [(&'static str, &str, Add); 4] = [
        ("landlock.truncate", "ABI 3, Linux 6.2", |r| r.handle_access(AccessFs::Truncate)),
        ("landlock.net", "ABI 4, Linux 6.7", |r| r.handle_access(AccessNet::from_all(ABI::V4))),
        ("landlock.ioctl_dev", "ABI 5, Linux 6.10", |r| r.handle_access(AccessFs::IoctlDev)),
        ("landlock.scope", "ABI 6, Linux 6.12", |r| r.scope(Scope::from_all(ABI::V6))),
    ];
    all.extend(later.map(|(name, since, add)| layer(name, since, add, available)));
    all
}

fn layer(name: &'static str, since: &str, add: Add, available: bool) -> Check {
    let hard = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    match add(hard).and_then(Ruleset::create) {
        Ok(_) => Check::ok(GROUP, name, format!("the kernel took a rule set with it ({since})")),
        Err(_) if available => {
            let advice = format!("boot a newer kernel ({since}), or name \"{name}\" in [require] degrade_ok");
            Check::missing(GROUP, name, "the kernel refused a rule set with it", advice).degraded()
        }
        Err(_) => Check::missing(GROUP, name, "no Landlock", "see landlock above"),
    }
}

/// Restricts a thread that ends at once. Landlock has no read-back, so the canary is the proof.
fn restricted() -> Result<String, String> {
    let probe = || {
        std::fs::File::open(CANARY).map_err(|e| format!("{CANARY} before: {e}"))?;
        let status = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(ABI::V2))
            .and_then(Ruleset::create)
            .and_then(landlock::RulesetCreated::restrict_self)
            .map_err(|e| format!("restrict_self: {e}"))?;
        let abi = match status.landlock {
            LandlockStatus::Available { kernel_abi: Some(abi), .. } => abi.to_string(),
            LandlockStatus::Available { effective_abi, .. } => effective_abi.to_string(),
            LandlockStatus::NotEnabled => return Err("built in, but not enabled at boot".to_owned()),
            LandlockStatus::NotImplemented => return Err("not in this kernel".to_owned()),
        };
        if status.ruleset != RulesetStatus::FullyEnforced {
            return Err(format!("ABI {abi}, but {:?}", status.ruleset));
        }
        match std::fs::File::open(CANARY) {
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
                Ok(format!("ABI {abi}, fully enforced; an open in the restricted thread failed"))
            }
            Err(e) => Err(format!("the canary failed with {e}, expected EACCES")),
            Ok(_) => Err(format!("ABI {abi} says fully enforced, but an open succeeded")),
        }
    };
    let thread = std::thread::Builder::new().spawn(probe).map_err(|e| format!("no thread to try in: {e}"))?;
    thread.join().unwrap_or_else(|_| Err("the probe's thread died".to_owned()))
}
