//! The run journal.

pub mod record;
