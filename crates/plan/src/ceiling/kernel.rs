//! What the kernel says of a cgroup, held against what the plan says it was given.

use alloc::format;
use alloc::string::{String, ToString};

use super::{CeilingError, CeilingKey};
use crate::CgroupLimits;

impl CgroupLimits {
    /// Whether the cgroup's own files hold it to these limits. `read` gives the text of a file of the group's
    /// folders, v2 first, then v1 (cgroups(7)).
    ///
    /// # Errors
    /// The first limit that the kernel does not keep.
    pub fn kept_by(&self, read: impl Fn(&str) -> Option<String>) -> Result<(), CeilingError> {
        let number = |file: &str| read(file).and_then(|text| text.trim().parse::<u64>().ok());
        let memory = number("memory.max").or_else(|| number("memory.limit_in_bytes"));
        kept(CeilingKey::Memory, memory, self.memory)?;
        kept(CeilingKey::Pids, number("pids.max"), self.pids.into())?;
        let (quota, period) = match read("cpu.max") {
            Some(text) => {
                let mut parts = text.split_whitespace().map(|part| part.parse::<u64>().ok());
                (parts.next().flatten(), parts.next().flatten())
            }
            // Without a quota it is -1, which is no number here.
            None => (number("cpu.cfs_quota_us"), number("cpu.cfs_period_us")),
        };
        let millis = quota.zip(period).and_then(|(quota, period)| quota.checked_mul(1000)?.checked_div(period));
        kept(CeilingKey::Cpu, millis, self.cpu_millis.into())
    }
}

fn kept(key: CeilingKey, found: Option<u64>, planned: u64) -> Result<(), CeilingError> {
    match found {
        Some(found) if found <= planned => Ok(()),
        found => Err(CeilingError {
            key,
            asked: found.map_or_else(|| "a cgroup without this limit".to_string(), |n| format!("a cgroup with {n}")),
            allowed: format!("the plan's {planned}"),
        }),
    }
}
