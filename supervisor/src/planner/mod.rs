//! Policy and host to plans: what each kind of process set gets.

mod draft;
mod native;
mod ours;

pub(crate) use draft::USER;
pub(crate) use native::{NativeInputs, host_gaps, native};
pub(crate) use ours::{ShimInputs, WasmInputs, compile, shim, wasm};
