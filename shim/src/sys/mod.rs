//! The only `unsafe` code of the shim: adopting descriptors, ignoring signals, the last
//! filter, and the notification ioctls. Each block names the invariant it stands on.
#![allow(unsafe_code)]

pub mod fds;
pub mod seal;
pub mod signals;
pub mod unotify;
