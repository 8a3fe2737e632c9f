//! Names: those that the cell asks for, and those that are looked up outside.

mod answers;
mod book;
mod resolver;
mod service;

pub use book::Book;
pub use resolver::Resolver;
pub use service::{serve_datagrams, serve_stream};
