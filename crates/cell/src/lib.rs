//! The inner sandbox, in two programs that share one engine configuration.
//!
//! * `stockade-cell` (feature `run`) has wasmtime's runtime and no compiler. It is PID 1 of a wasm
//!   cell: it loads a precompiled component, closes its last layer, and runs the agent.
//! * `stockade-compile` (feature `compile`) has Cranelift. In a cell of its own it turns an
//!   untrusted component into such an artifact.
//!
//! Never build both features at once: that would put the compiler into the cell.

#[cfg(feature = "compile")]
pub mod compile;
#[cfg(any(feature = "run", feature = "compile"))]
pub mod engine;
#[cfg(any(feature = "run", feature = "compile"))]
mod inherited;
#[cfg(any(feature = "run", feature = "compile"))]
mod message;
#[cfg(feature = "run")]
pub mod run;
