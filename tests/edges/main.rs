//! The shape of the house, checked: who may link whom, where `unsafe` may stand, how large a file
//! may grow, that every seccomp rule says why, and that nothing built is committed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod binaries;
mod lexer;
mod links;
mod profiles;
mod quarantine;
mod size;
mod sources;
