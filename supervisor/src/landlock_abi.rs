//! Which Landlock ABI a run gets.

use landlock::{ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, Scope};
use stockade_policy::LAYERS;

use crate::error::RunError;

/// The newest ABI with rights that a plan uses; ABI 7 adds only log flags.
const NEWEST: u8 = 6;

/// The ABI to enforce, or the layers that this kernel lacks and the policy does not give up.
pub(crate) fn choose(degrade_ok: &[String]) -> Result<u8, RunError> {
    let Some(kernel) = (1..=NEWEST).rev().find(|abi| has(*abi)) else {
        return Err(RunError::Host(
            "this kernel has no Landlock; boot with lsm=landlock,… (see stockade doctor)".into(),
        ));
    };
    let given_up = |name: &str| degrade_ok.iter().any(|d| d == name);
    let missing: Vec<_> =
        LAYERS.iter().filter(|(name, abi)| *abi > kernel.into() && !given_up(name)).map(|(name, _)| *name).collect();
    if missing.is_empty() {
        return Ok(kernel);
    }
    Err(RunError::Host(format!(
        "this kernel's Landlock (ABI {kernel}) lacks {}; run a newer kernel, or accept it in the policy: require.degrade_ok = {missing:?}",
        missing.join(", ")
    )))
}

/// Whether the kernel takes everything of an ABI. Asked of the kernel by making a ruleset, never of a version.
fn has(abi: u8) -> bool {
    let known = ABI::from(i32::from(abi));
    let ask = || {
        let mut ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(known))?;
        if abi >= 4 {
            ruleset = ruleset.handle_access(AccessNet::from_all(known))?;
        }
        if abi >= 6 {
            ruleset = ruleset.scope(Scope::from_all(known))?;
        }
        ruleset.create()
    };
    ask().is_ok()
}
