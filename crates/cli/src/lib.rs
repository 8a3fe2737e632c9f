//! What the `stockade` command is made of.

pub mod args;
pub mod atomic;
pub mod commands;
pub mod exit;
pub mod failure;
pub mod moment;
pub mod output;
pub mod runs;
pub mod say;
pub mod screen;
pub mod show;
pub mod trail;
