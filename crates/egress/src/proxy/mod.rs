//! The ways in which a program inside the cell gets out.

mod any;
mod http;
mod pass;
mod socks;

pub use any::any;
pub use http::http;
pub use socks::socks;
