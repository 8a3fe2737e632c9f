//! The shim's end of the conversation with `stockade-egress` (`stockade_wire::egress`): what it asked, and what is owed.

mod desk;
mod door;
mod question;

pub use desk::{Desk, Flight};
pub use question::{Question, Unclear};
