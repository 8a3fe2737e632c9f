//! Policy and host to plans: what each kind of process set gets.

mod draft;
mod egress;
mod native;
mod ours;

pub(crate) use draft::USER;
pub(crate) use egress::{EgressInputs, Inside, egress, reaches_out};
pub(crate) use native::{NativeInputs, host_gaps, native};
pub(crate) use ours::{ShimInputs, WasmInputs, compile, shim, wasm};
