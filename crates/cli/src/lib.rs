//! What the `stockade` command is made of.

pub mod screen;
pub mod show;
