//! What the `stockade` command is made of.

pub mod args;
pub mod commands;
pub mod failure;
pub mod say;
pub mod screen;
pub mod show;
