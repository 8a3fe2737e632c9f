//! The Landlock layer and its canaries (landlock(7)).

use std::os::fd::OwnedFd;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, socket};
use stockade_plan::step::Step;
use stockade_plan::{Access, Landlock};

use crate::error::{At, HasErrno, StepError};
use crate::root;

/// A Landlock error has no errno of its own; the last one is that of its system call.
struct Refused;

impl HasErrno for Refused {
    fn errno(&self) -> i32 {
        Errno::last_raw()
    }
}

fn refused<E>(_: E) -> Refused {
    Refused
}

/// What the canaries said after the restriction.
pub struct Canaries {
    /// Errno of opening the canary file.
    pub file: i32,
    /// Errno of binding a TCP port, `0` where the ABI has no network rules.
    pub net: i32,
}

/// Restricts this process to the plan's rules and to executing `program`. Anything less than
/// `FullyEnforced` is an error, and so is a canary that still lives.
pub fn restrict(layer: &Landlock, program: &OwnedFd) -> Result<Canaries, StepError> {
    let abi = ABI::from(i32::from(layer.abi));
    root::open_canary().at(Step::CanaryBefore)?;
    if layer.abi >= 4 {
        bind_tcp().at(Step::CanaryBefore)?;
    }
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let mut ruleset = ruleset.handle_access(AccessFs::from_all(abi)).map_err(refused).at(Step::LandlockRules)?;
    if layer.abi >= 4 {
        ruleset = ruleset.handle_access(AccessNet::from_all(abi)).map_err(refused).at(Step::LandlockRules)?;
    }
    if layer.abi >= 6 {
        ruleset = ruleset.scope(Scope::from_all(abi)).map_err(refused).at(Step::LandlockRules)?;
    }
    let mut ruleset = ruleset.create().map_err(refused).at(Step::LandlockRules)?;
    let execute = AccessFs::Execute | AccessFs::ReadFile;
    ruleset = ruleset.add_rule(PathBeneath::new(program, execute)).map_err(refused).at(Step::LandlockRules)?;
    for (index, rule) in layer.rules.iter().enumerate() {
        let path = root::rule_path(&rule.path).at_index(Step::LandlockRules, index)?;
        let rule = PathBeneath::new(path, rights(rule.access, abi));
        ruleset = ruleset.add_rule(rule).map_err(refused).at_index(Step::LandlockRules, index)?;
    }
    // Ports, as the kernel counts them; which host answers there is for the network namespace to say.
    for port in layer.connect.iter().filter(|_| layer.abi >= 4) {
        let rule = NetPort::new(*port, AccessNet::ConnectTcp);
        ruleset = ruleset.add_rule(rule).map_err(refused).at(Step::LandlockRules)?;
    }
    let status = ruleset.no_new_privs(false).restrict_self().map_err(refused).at(Step::Landlock)?;
    if status.ruleset != RulesetStatus::FullyEnforced {
        return Err(crate::error::fault(Step::Landlock));
    }
    let file = must_fail(root::open_canary())?;
    let net = if layer.abi >= 4 { must_fail(bind_tcp())? } else { 0 };
    Ok(Canaries { file, net })
}

fn must_fail(result: Result<(), Errno>) -> Result<i32, StepError> {
    match result {
        Err(errno @ Errno::EACCES) => Ok(errno as i32),
        Err(other) => Err(other).at(Step::CanaryAfter),
        Ok(()) => Err(crate::error::fault(Step::CanaryAfter)),
    }
}

/// Binds a port in the cell's own network namespace, which nobody can reach.
fn bind_tcp() -> Result<(), Errno> {
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    bind(std::os::fd::AsRawFd::as_raw_fd(&socket), &SockaddrIn::new(0, 0, 0, 0, 49_151))
}

fn rights(access: Access, abi: ABI) -> BitFlags<AccessFs> {
    let everything = AccessFs::from_all(abi) & !(AccessFs::MakeChar | AccessFs::MakeBlock);
    match access {
        Access::Read => AccessFs::ReadFile | AccessFs::ReadDir,
        Access::ReadExecute => AccessFs::ReadFile | AccessFs::ReadDir | AccessFs::Execute,
        Access::ReadWriteExecute => everything,
        Access::ReadWrite => everything & !AccessFs::Execute,
        Access::ReadFile => AccessFs::ReadFile.into(),
        Access::ReadExecuteFile => AccessFs::ReadFile | AccessFs::Execute,
        Access::File => (AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::from_file(abi)) & !AccessFs::Execute,
    }
}
