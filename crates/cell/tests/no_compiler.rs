//! The cell has no compiler: features unify within one cargo invocation, so that a careless build
//! would put Cranelift into it.
#![cfg(feature = "run")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

fn holds(name: &str, what: &[u8]) -> bool {
    let bytes = std::fs::read(common::program(name).unwrap()).unwrap();
    bytes.windows(what.len()).any(|w| w == what)
}

#[test]
fn the_cells_program_holds_no_compiler() {
    need!("stockade-cell", "stockade-compile");
    // Source paths in panic messages, and symbols, name the crate.
    for name in [&b"cranelift-codegen-"[..], b"cranelift_codegen", b"regalloc2"] {
        assert!(holds("stockade-compile", name), "the oracle: the compiler's program has {}", name.escape_ascii());
        assert!(!holds("stockade-cell", name), "{} is in the cell", name.escape_ascii());
    }
}
