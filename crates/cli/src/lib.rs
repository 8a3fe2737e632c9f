//! What the `stockade` command is made of.

pub mod args;
pub mod atomic;
pub mod bundle;
pub mod commands;
pub mod evidence;
pub mod exit;
pub mod failure;
pub mod moment;
pub mod output;
mod regular;
pub mod runs;
pub mod say;
pub mod screen;
pub mod show;
pub mod trail;
