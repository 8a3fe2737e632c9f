//! Stockade.
fn main() {}
