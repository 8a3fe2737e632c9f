//! Is this a component, and if not, what is it?

use wasmparser::types::Types;
use wasmparser::{BinaryReaderError, Validator, WasmFeatures};

/// What was given in place of a valid component.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum InvalidInput {
    /// No bytes.
    Empty,
    /// Fewer bytes than the header has.
    Header(usize),
    /// A core module.
    CoreModule,
    /// Header of another version.
    Version([u8; 4]),
    /// An ELF file: a native program, or an artifact that is compiled already.
    Elf,
    /// Text.
    Text,
    /// Something else.
    Unknown([u8; 4]),
    /// A component's header, and then not a valid component.
    Damaged {
        /// Where, in bytes from the start.
        offset: usize,
        /// The validator's words.
        message: String,
        /// The end of the file was reached inside something.
        cut: bool,
    },
}

impl std::fmt::Display for InvalidInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => write!(f, "the component is empty (0 bytes)"),
            Self::Header(n) => write!(f, "the component is cut short: {n} bytes, and the header alone has 8"),
            Self::CoreModule => write!(
                f,
                "this is a core WebAssembly module, not a component; build it for wasm32-wasip2, or wrap it with `wasm-tools component new`"
            ),
            Self::Version(v) => write!(
                f,
                "this is WebAssembly of an unknown version ({v:02x?}); Stockade runs components (version 0d 00 01 00)"
            ),
            Self::Elf => write!(
                f,
                "this is an ELF file, not a component; a native program is run with `stockade run -- /path/to/program`, and precompiled artifacts are made by Stockade alone"
            ),
            Self::Text => {
                write!(f, "this is text, not a binary component; convert WebAssembly text with `wasm-tools parse`")
            }
            Self::Unknown(m) => {
                write!(f, "this is not WebAssembly: it starts with {m:02x?}, a component with [00, 61, 73, 6d]")
            }
            Self::Damaged { offset, message, cut: true } => {
                write!(f, "the component is cut short: at byte {offset}: {message}")
            }
            Self::Damaged { offset, message, cut: false } => {
                write!(f, "the component is not valid: at byte {offset}: {message}")
            }
        }
    }
}

/// Validates a component with the features that the engine has.
pub(super) fn validate(bytes: &[u8]) -> Result<Types, InvalidInput> {
    classify(bytes)?;
    Validator::new_with_features(features()).validate_all(bytes).map_err(|e: BinaryReaderError| InvalidInput::Damaged {
        offset: e.offset(),
        message: e.message().to_owned(),
        cut: e.offset() >= bytes.len() || e.message().contains("unexpected end"),
    })
}

fn features() -> WasmFeatures {
    // What `engine::config` leaves on; a feature too many here would only move the refusal into
    // the compiler.
    let off = WasmFeatures::GC
        | WasmFeatures::GC_TYPES
        | WasmFeatures::THREADS
        | WasmFeatures::EXCEPTIONS
        | WasmFeatures::MEMORY64;
    (WasmFeatures::WASM3 | WasmFeatures::COMPONENT_MODEL).difference(off)
}

fn classify(bytes: &[u8]) -> Result<(), InvalidInput> {
    let Some(magic) = bytes.first_chunk::<4>() else {
        return Err(if bytes.is_empty() { InvalidInput::Empty } else { InvalidInput::Header(bytes.len()) });
    };
    if magic == b"\x7fELF" {
        return Err(InvalidInput::Elf);
    }
    if magic != b"\0asm" {
        let head = bytes.get(..bytes.len().min(512)).unwrap_or_default();
        let text = head.utf8_chunks().all(|c| c.invalid().len() < 4 && !c.valid().contains('\0')) && head.is_ascii();
        return Err(if text { InvalidInput::Text } else { InvalidInput::Unknown(*magic) });
    }
    match bytes.get(4..8) {
        Some([0x0d, 0, 1, 0]) => Ok(()),
        Some([1, 0, 0, 0]) => Err(InvalidInput::CoreModule),
        Some(&[a, b, c, d]) => Err(InvalidInput::Version([a, b, c, d])),
        _ => Err(InvalidInput::Header(bytes.len())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn what_is_not_a_component_is_named() {
        let core = wat::parse_str("(module)").unwrap();
        for (bytes, expected) in [
            (&b""[..], InvalidInput::Empty),
            (b"\0as", InvalidInput::Header(3)),
            (b"\0asm\x0d\0", InvalidInput::Header(6)),
            (&core, InvalidInput::CoreModule),
            (b"\0asm\x07\0\0\0", InvalidInput::Version([7, 0, 0, 0])),
            (b"\x7fELF\x02\x01", InvalidInput::Elf),
            (b"(component)", InvalidInput::Text),
            (b"\x89PNG\x0d\x0a", InvalidInput::Unknown(*b"\x89PNG")),
        ] {
            assert_eq!(validate(bytes).err().unwrap(), expected);
        }
    }

    #[test]
    fn features_that_the_engine_lacks_are_refused() {
        for text in [
            "(component (core module (memory 1 1 shared)))",
            "(component (core module (memory i64 1)))",
            "(component (core module (type (struct))))",
            "(component (core module (tag)))",
            "(component (type (stream u8)))",
        ] {
            let bytes = wat::parse_str(text).unwrap();
            assert!(matches!(validate(&bytes), Err(InvalidInput::Damaged { cut: false, .. })), "{text}");
        }
    }
}
