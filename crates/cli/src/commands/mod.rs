//! The commands.

pub mod doctor;
pub mod generate;
pub mod journal;
pub mod mcp;
pub mod notary;
pub mod operator;
pub mod policy;
pub mod replay;
pub mod resume;
pub mod run;
