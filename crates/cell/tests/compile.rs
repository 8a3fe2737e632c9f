//! `stockade-compile` as the supervisor runs it: what it accepts, and what it says of the rest.
#![cfg(feature = "compile")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use std::fmt::Write as _;

use common::text::{self, NOTHING};
use common::{compile, compile_with, killed_by};
use stockade_wire::cell::compile_exit;

fn component() -> Vec<u8> {
    wat::parse_str(text::body(NOTHING)).unwrap()
}

fn refused(bytes: &[u8], code: i32, said: &str) {
    let done = compile(bytes);
    assert_eq!(done.status.code(), Some(code), "{done:?}");
    assert!(done.artifact.is_empty(), "{said}");
    assert!(done.message.contains(said), "{said}: {}", done.message);
    assert!(done.message.len() <= 4096 && done.message.ends_with('\n'), "{}", done.message);
    assert!(!done.message.trim_end_matches('\n').contains(|c: char| c.is_control()), "{}", done.message);
}

#[test]
fn a_component_becomes_an_artifact_the_same_each_time() {
    need!("stockade-compile");
    let [first, second] = [compile(&component()), compile(&component())];
    assert_eq!(first.status.code(), Some(compile_exit::OK), "{}", first.message);
    assert!(first.message.is_empty() && first.artifact.starts_with(b"\x7fELF"));
    assert_eq!(first.artifact, second.artifact);
}

#[test]
fn what_is_no_component_is_named() {
    need!("stockade-compile");
    refused(b"", compile_exit::INVALID, "empty");
    refused(&wat::parse_str("(module)").unwrap(), compile_exit::INVALID, "core WebAssembly module, not a component");
    refused(text::body(NOTHING).as_bytes(), compile_exit::INVALID, "text");
    refused(b"\x7fELF\x02\x01\x01", compile_exit::INVALID, "ELF");
    refused(&[0x80; 100], compile_exit::INVALID, "not WebAssembly");
    refused(b"\0asm\xff\xff\xff\xff", compile_exit::INVALID, "unknown version");
}

#[test]
fn a_component_cut_short_anywhere_is_refused_and_never_crashes_the_compiler() {
    need!("stockade-compile");
    let whole = component();
    for cut in (1..whole.len()).step_by(whole.len() / 60 + 1).chain([whole.len() - 1]) {
        let done = compile(&whole[..cut]);
        let code = done.status.code();
        // Cut between sections it may be a whole component, but of another world.
        assert!(matches!(code, Some(compile_exit::INVALID | compile_exit::WORLD)), "{cut}: {done:?}");
        assert!(done.artifact.is_empty());
    }
}

#[test]
fn a_component_with_flipped_bytes_never_crashes_the_compiler() {
    need!("stockade-compile");
    let whole = component();
    for at in (8..whole.len()).step_by(whole.len() / 100 + 1) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        let done = compile(&bytes);
        let code = done.status.code();
        assert!(matches!(code, Some(compile_exit::OK | compile_exit::INVALID | compile_exit::WORLD)), "{at}: {done:?}");
    }
}

#[test]
fn another_world_is_refused_with_names() {
    need!("stockade-compile");
    let parse = |text: &str| wat::parse_str(text).unwrap();
    refused(&parse("(component)"), compile_exit::WORLD, "does not export `run");
    refused(
        &parse(r#"(component (import "wasi:http/outgoing-handler@0.2.0" (instance)) (import "host-exec" (func)))"#),
        compile_exit::WORLD,
        "imports what no agent is given: `wasi:http/outgoing-handler@0.2.0`, `host-exec`",
    );
    // Many names, or long ones, do not make a long message.
    let mut many = String::from("(component");
    for n in 0..2000 {
        let _ = write!(many, r#"(import "a{n}-{}" (func))"#, "x".repeat(60));
    }
    many.push(')');
    refused(&parse(&many), compile_exit::WORLD, "and 1988 more");
    let long = format!(r#"(component (import "a-{}" (func)))"#, "x".repeat(50_000));
    refused(&parse(&long), compile_exit::WORLD, "[cut]");
}

#[test]
fn a_component_that_could_still_be_changed_is_refused() {
    need!("stockade-compile");
    let done = compile_with(&component(), false, None);
    assert_eq!(done.status.code(), Some(compile_exit::INTERNAL));
    assert!(done.message.contains("not a sealed memfd"), "{}", done.message);
}

#[test]
fn a_compile_bomb_ends_at_the_cells_limit() {
    need!("stockade-compile");
    // 3,000 functions of 300 steps each: seconds of work. The cell's limits are the outer
    // layers'; here one of them, processor time, stands in.
    let mut body = String::new();
    for n in 0..300 {
        let _ = write!(body, "(local.set 0 (i64.add (i64.mul (local.get 0) (local.get 0)) (i64.const {n})))");
    }
    let mut module = String::new();
    for _ in 0..3_000 {
        let _ = write!(module, "(func (param i64) {body})");
    }
    let bomb = wat::parse_str(text::module(&module, NOTHING)).unwrap();
    let done = compile_with(&bomb, true, Some(1));
    assert!(matches!(killed_by(done.status), Some(nix::libc::SIGKILL | nix::libc::SIGXCPU)), "{:?}", done.status);
    assert!(done.artifact.is_empty());
}

#[test]
fn deep_nesting_is_refused_or_compiled_but_never_a_crash() {
    need!("stockade-compile");
    let blocks = format!("{}{}", "(block ".repeat(2_000), ")".repeat(2_000));
    let deep = wat::parse_str(text::module(&format!("(func {blocks})"), NOTHING)).unwrap();
    let code = compile(&deep).status.code();
    assert!(matches!(code, Some(compile_exit::OK | compile_exit::INVALID)), "{code:?}");
    // Components in components, made by hand: the text parser has a limit of its own.
    let header = b"\0asm\x0d\0\x01\0";
    let mut nested = header.to_vec();
    for _ in 0..5_000 {
        let mut outer = header.to_vec();
        outer.push(4);
        let mut size = nested.len();
        while size >= 0x80 {
            outer.push((size & 0x7f) as u8 | 0x80);
            size >>= 7;
        }
        outer.push(size as u8);
        outer.extend(nested);
        nested = outer;
    }
    let done = compile(&nested);
    assert!(matches!(done.status.code(), Some(compile_exit::INVALID | compile_exit::WORLD)), "{done:?}");
}
