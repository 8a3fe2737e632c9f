//! The profile format; `seccomp-profiles/README.md` describes it.

use serde::Deserialize;
use std::collections::BTreeMap;

/// One filter.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What it is for, in a sentence.
    pub about: String,
    /// The profile whose rules and default it has, too, but for the syscalls that it speaks of itself.
    pub extends: Option<String>,
    /// What a syscall gets that no rule speaks of; that of what it extends, if it does.
    pub default: Option<Outcome>,
    #[serde(rename = "rule")]
    pub rules: Vec<Rule>,
}

#[derive(Deserialize, Clone, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    pub action: Action,
    pub errno: Option<String>,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Allow,
    Errno,
    Kill,
    Notify,
}

/// What some syscalls get.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub names: Vec<String>,
    pub action: Action,
    pub errno: Option<String>,
    /// All must hold.
    #[serde(default)]
    pub args: Vec<Arg>,
    /// Why; nobody may leave it out.
    pub why: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arg {
    pub index: u32,
    pub op: Op,
    /// One value, or several of which one must match.
    pub value: Values,
    /// Bits to compare, for `masked_eq`.
    pub mask: Option<u64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub enum Values {
    One(u64),
    Any(Vec<u64>),
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    Eq,
    MaskedEq,
    Le,
}

impl Profile {
    /// Itself with all of `base` that it says nothing else of.
    pub fn over(mut self, base: Self) -> crate::Result<Self> {
        if base.extends.is_some() || self.default.is_some() {
            return Err("a profile extends one that extends none, and has its default".into());
        }
        let own: Vec<String> = self.rules.iter().flat_map(|rule| rule.names.iter().cloned()).collect();
        for mut rule in base.rules {
            rule.names.retain(|name| !own.contains(name));
            if !rule.names.is_empty() {
                self.rules.push(rule);
            }
        }
        Ok(Self { extends: None, default: base.default, ..self })
    }
}

/// Numbers by name of syscalls that the build machine's libseccomp may not know, from a file that groups
/// them by the kernel that brought them.
pub fn newer(text: &str) -> crate::Result<BTreeMap<String, i32>> {
    let by_kernel: BTreeMap<String, BTreeMap<String, i32>> = toml::from_str(text)?;
    Ok(by_kernel.into_values().flatten().collect())
}

pub fn parse(text: &str) -> crate::Result<Profile> {
    let profile: Profile = toml::from_str(text)?;
    for rule in &profile.rules {
        let name = rule.names.first().ok_or("a rule without names")?;
        if rule.why.trim().len() < 8 {
            return Err(format!("the rule of {name} gives no reason in `why`").into());
        }
        if (rule.action == Action::Errno) != rule.errno.is_some() {
            return Err(format!("the rule of {name}: `errno` goes with action = \"errno\" and only with it").into());
        }
        for arg in &rule.args {
            if (arg.op == Op::MaskedEq) != arg.mask.is_some() {
                return Err(format!("the rule of {name}: `mask` goes with op = \"masked_eq\" and only with it").into());
            }
            if arg.index > 5 {
                return Err(format!("the rule of {name}: a syscall has arguments 0 to 5").into());
            }
        }
    }
    Ok(profile)
}
