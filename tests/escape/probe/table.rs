//! All attacks.

use crate::attack::Attack;

/// Every table, in the order of the report.
pub fn all() -> impl Iterator<Item = &'static Attack> {
    [
        crate::fs_read::ATTACKS,
        crate::fs_mount::ATTACKS,
        crate::fs_write::ATTACKS,
        crate::fds::ATTACKS,
        crate::procs::ATTACKS,
        crate::privs::ATTACKS,
        crate::filter::ATTACKS,
        crate::net_ip::ATTACKS,
        crate::net_unix::ATTACKS,
        crate::net_family::ATTACKS,
        crate::memory::ATTACKS,
        crate::limits::ATTACKS,
        crate::kernel::ATTACKS,
        crate::terminal::ATTACKS,
        crate::ipc::ATTACKS,
        crate::info::ATTACKS,
        crate::mediator::ATTACKS,
    ]
    .into_iter()
    .flatten()
}

/// By name.
pub fn find(name: &str) -> Option<&'static Attack> {
    all().find(|a| a.name == name)
}
