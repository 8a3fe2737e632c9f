//! Seccomp user notifications: recorded, refused, never lost.
//!
//! What a cell's filter neither allows nor plainly refuses arrives here. Every such syscall fails
//! with `EPERM`; there is no way to let one through. A flood is folded into counts.

mod fold;
mod names;
mod watch;

pub use fold::{Fold, SHOWN};
pub use names::{arch_name, syscall_name};
pub use watch::{Watch, deny_unrecorded};
