//! `stockade-compile`: untrusted component in, artifact out.
//!
//! It runs in a cell of its own, which bounds its memory, its time and what a hole in the
//! compiler would be worth. What it says to the operator is one message of bounded length.

mod input;
mod world;

use std::fs::File;
use std::io::Write;
use std::process::ExitCode;

use stockade_wire::cell::{compile_exit, compile_fd};

use crate::inherited::{self, InheritedError};

/// Longest component in bytes. A Python interpreter is 18 MB.
const MAX_COMPONENT: u64 = 256 << 20;
/// Longest message in bytes.
const MAX_MESSAGE: usize = 4096;

/// Why there is no artifact.
#[derive(Debug)]
enum CompileError {
    /// A descriptor that should be there is not.
    Inherited(InheritedError),
    /// Not a valid component.
    Invalid(input::InvalidInput),
    /// A component of another world.
    World(world::WorldMismatch),
    /// The engine can't be built.
    Engine(wasmtime::Error),
    /// The compiler gave up.
    Compiler(wasmtime::Error),
    /// The artifact can't be written.
    Write(std::io::Error),
}

impl CompileError {
    fn exit_code(&self) -> i32 {
        match self {
            Self::Invalid(_) => compile_exit::INVALID,
            Self::World(_) => compile_exit::WORLD,
            Self::Inherited(InheritedError::TooLong(..)) => compile_exit::INVALID,
            Self::Inherited(_) | Self::Engine(_) | Self::Compiler(_) | Self::Write(_) => compile_exit::INTERNAL,
        }
    }
}

impl std::fmt::Display for CompileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Inherited(InheritedError::TooLong(_, max)) => {
                write!(f, "the component is larger than {max} bytes; make it smaller (wasm-opt, wasm-tools strip)")
            }
            Self::Inherited(e) => write!(f, "{e}"),
            Self::Invalid(e) => write!(f, "{e}"),
            Self::World(e) => write!(f, "{e}"),
            Self::Engine(e) => write!(f, "this machine's processor can't run agents: {e:#}"),
            Self::Compiler(e) => write!(f, "the compiler gave up on this component: {e:#}"),
            Self::Write(e) => write!(f, "the artifact can't be written: {e}"),
        }
    }
}

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    let code = match compile() {
        Ok(()) => compile_exit::OK,
        Err(e) => {
            // One write of at most PIPE_BUF bytes (pipe(7)): it can't block nor be torn. If nobody
            // reads it the exit code still tells.
            let text = crate::message::clean(&e.to_string(), MAX_MESSAGE - 1) + "\n";
            let _ = std::io::stderr().write_all(text.as_bytes());
            e.exit_code()
        }
    };
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

fn compile() -> Result<(), CompileError> {
    let component = inherited::take_sealed(compile_fd::COMPONENT).map_err(CompileError::Inherited)?;
    let mut artifact = inherited::take(compile_fd::ARTIFACT).map(File::from).map_err(CompileError::Inherited)?;
    let bytes =
        inherited::read_all(&component, compile_fd::COMPONENT, MAX_COMPONENT).map_err(CompileError::Inherited)?;
    let types = input::validate(&bytes).map_err(CompileError::Invalid)?;
    world::check(&bytes, &types).map_err(CompileError::World)?;
    let engine = crate::engine::engine().map_err(CompileError::Engine)?;
    let code = engine.precompile_component(&bytes).map_err(CompileError::Compiler)?;
    artifact.write_all(&code).map_err(CompileError::Write)
}
