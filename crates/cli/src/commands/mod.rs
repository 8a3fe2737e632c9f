//! The commands.

pub mod doctor;
pub mod generate;
pub mod journal;
pub mod policy;
pub mod run;
