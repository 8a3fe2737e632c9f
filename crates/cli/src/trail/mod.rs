//! Records of many runs as a stream: chosen, told in one line each, or as events of another schema.

mod filter;
mod glob;
mod printer;
mod scene;

pub use filter::{Filter, kind};
pub use glob::Glob;
pub use printer::{Format, Printer};
pub use scene::{Scene, Under};
