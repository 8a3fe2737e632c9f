//! What the tests against the real kernel share.

pub mod host;
