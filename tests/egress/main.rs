//! Connections to the outside, between real servers and real cells: a network of the test's own, in which a whole
//! `stockade run` runs. What is refused inside is first shown to work outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod refusals;
mod secrets;
mod ways;
mod world;
