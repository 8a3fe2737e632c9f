//! Records of many runs as a stream: chosen, told in one line each, or as events of another schema.

mod filter;
mod glob;
pub mod ocsf;
pub mod otlp;
mod printer;
mod scan;
mod scene;
pub mod told;

pub use filter::{Filter, kind};
pub use glob::Glob;
pub use printer::{Format, Printer, host};
pub use scan::scan;
pub use scene::{Scene, Under};
