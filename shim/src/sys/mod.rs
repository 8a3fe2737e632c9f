//! The only `unsafe` code of the shim: adopting descriptors, ignoring signals, and the
//! notification ioctls. Each block names the invariant it stands on.
#![allow(unsafe_code)]

pub mod fds;
pub mod signals;
pub mod unotify;
