//! What a policy may add to a profile, and why not.

use super::{Profile, syscall_name};
use crate::model::SyscallAction;
use stockade_plan::{filter, never};

/// Why a rule cannot be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAddable {
    /// A sentence, with the reason of the profile or of the floor.
    pub why: String,
}

impl std::fmt::Display for NotAddable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for NotAddable {}

/// Whether a policy may have the syscall `nr` get `action` before `profile` is asked.
///
/// Allowed can be what no rule of the profile speaks of, and the launcher's floor does not name
/// ([`stockade_plan::never`]); refused can be everything but what the profile ends a process for.
///
/// # Errors
/// [`NotAddable`].
pub fn addable(profile: &Profile, nr: u32, action: SyscallAction) -> Result<(), NotAddable> {
    let refuse = |why: String| Err(NotAddable { why });
    let Some(name) = syscall_name(nr.into()).filter(|_| nr < filter::X32_BIT) else {
        return refuse(format!("{nr} is no syscall that this version knows"));
    };
    let ruled = profile.rules.binary_search_by_key(&nr, |rule| rule.nr).ok().and_then(|at| profile.rules.get(at));
    match (action, ruled) {
        (SyscallAction::Allow, _) if never::why(nr).is_some() => {
            refuse(format!("{name} is never added: {}", never::why(nr).unwrap_or_default()))
        }
        (SyscallAction::Allow, Some(rule)) => {
            refuse(format!("the profile {} speaks of {name} already: it {}", profile.name, rule.says))
        }
        (SyscallAction::Deny | SyscallAction::Notify, Some(rule)) if rule.kills => refuse(format!(
            "the profile {} ends the process for {name}, which is stricter: it {}",
            profile.name, rule.says
        )),
        _ => Ok(()),
    }
}
