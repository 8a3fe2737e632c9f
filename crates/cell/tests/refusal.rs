//! A cell that can't be closed, or was given something else than it needs, runs no agent code.
#![cfg(feature = "run")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::text::{self, NOTHING};
use common::{Cell, Ended, artifact, config, filters, memfd};

fn code() -> Vec<u8> {
    artifact(&text::body(NOTHING))
}

fn json() -> Vec<u8> {
    serde_json::to_vec(&config()).unwrap()
}

fn sealed() -> Vec<u8> {
    filters::bytes(&filters::sealed())
}

fn start(artifact: &[u8], config: &[u8], filter: &[u8]) -> Ended {
    Cell::start_raw(&memfd(artifact, true), config, filter).serve(|_, _| panic!("agent code ran"))
}

fn refused(ended: &Ended, said: &str) {
    assert!(ended.ready.is_none(), "{ended:?}");
    assert!(ended.refused().contains(said), "{said}: {}", ended.stderr);
    assert!(
        ended.stderr.len() <= 4096 && !ended.stderr.trim_end().contains(|c: char| c.is_control()),
        "{}",
        ended.stderr
    );
}

#[test]
fn an_artifact_that_could_still_be_changed() {
    need!("stockade-cell", "stockade-compile");
    let ended = Cell::start_raw(&memfd(&code(), false), &json(), &sealed()).serve(|_, _| panic!("agent code ran"));
    refused(&ended, "descriptor 4 is not a sealed memfd");
}

#[test]
fn an_artifact_that_is_none() {
    need!("stockade-cell", "stockade-compile");
    let component = wat::parse_str(text::body(NOTHING)).unwrap();
    let program = std::fs::read(common::program("stockade-cell").unwrap()).unwrap();
    for bytes in [&b""[..], b"text", &component, &[0u8; 4096], &program] {
        let ended = start(bytes, &json(), &sealed());
        assert!(ended.ready.is_none() && ended.refused().contains("artifact"), "{}", ended.stderr);
    }
}

#[test]
fn an_artifact_cut_short_anywhere() {
    need!("stockade-cell", "stockade-compile");
    let code = code();
    // The sections the runtime needs are all before the section table at the file's end.
    for cut in (0..code.len()).step_by(code.len() / 40 + 1).chain([code.len() - 1]) {
        let ended = start(&code[..cut], &json(), &sealed());
        assert!(ended.ready.is_none(), "{cut} of {}: {ended:?}", code.len());
        assert!(ended.refused().contains("artifact"), "{cut}: {}", ended.stderr);
    }
}

#[test]
fn an_artifact_of_another_engine() {
    need!("stockade-cell", "stockade-compile");
    // The engine's version and settings stand in the artifact in their own section.
    let code = code();
    let at = code.windows(6).position(|w| w == b"48.0.8").or_else(|| code.windows(2).position(|w| w == b"48"));
    let Some(at) = at else { panic!("no version in the artifact") };
    let mut other = code.clone();
    other[at] = b'3';
    let ended = start(&other, &json(), &sealed());
    refused(&ended, "artifact");
}

#[test]
fn a_configuration_that_is_wrong() {
    need!("stockade-cell", "stockade-compile");
    let code = code();
    let mut extra: serde_json::Value = serde_json::from_slice(&json()).unwrap();
    extra["surprise"] = 1.into();
    let zero = |name: &str| {
        let mut v: serde_json::Value = serde_json::from_slice(&json()).unwrap();
        v[name] = 0.into();
        v.to_string().into_bytes()
    };
    for (config, said) in [
        (vec![], "configuration"),
        (b"{}".to_vec(), "configuration"),
        (vec![b'['; 100_000], "configuration"),
        (extra.to_string().into_bytes(), "surprise"),
        (zero("memory"), "`memory` is 0"),
        (zero("fuel"), "`fuel` is 0"),
        (zero("wall_ms"), "`wall_ms` is 0"),
        (vec![b' '; (1 << 20) + 1], "more than 1048576 bytes"),
    ] {
        refused(&start(&code, &config, &sealed()), said);
    }
}

#[test]
fn a_filter_that_is_none_or_lets_things_through() {
    need!("stockade-cell", "stockade-compile");
    let code = code();
    for (filter, said) in [
        (vec![], "0 bytes"),
        (vec![0; 7], "7 bytes"),
        (vec![0; 8 * 4097], "more than 32768 bytes"),
        // Instructions that the kernel does not know.
        (vec![0xff; 8], "can't be loaded"),
        // "Return ALLOW": the canary sings, because only the first filter stands before it.
        (vec![6, 0, 0, 0, 0, 0, 0xff, 0x7f], ""),
    ] {
        let ended = start(&code, &json(), &filter);
        if said.is_empty() {
            // openat and socket are still refused by the first filter here, so the cell is closed.
            assert!(ended.exit.is_some(), "{ended:?}");
        } else {
            refused(&ended, said);
        }
    }
}

#[test]
fn an_open_cell_is_noticed() {
    need!("stockade-cell", "stockade-compile");
    let code = code();
    // With no first filter, a root that opens is found before anything is loaded …
    let ended = Cell::start_open(&code, &config(), &[]).serve(|_, _| panic!("agent code ran"));
    refused(&ended, "`openat /` must be refused before the last layer and was not: succeeded");
    // … and sockets that the last filter forgot, after it.
    for (forgotten, said) in [(nix::libc::SYS_socket, "`socket AF_INET`"), (nix::libc::SYS_openat, "must be refused")] {
        let refuse =
            if forgotten == nix::libc::SYS_socket { vec![nix::libc::SYS_openat] } else { vec![nix::libc::SYS_socket] };
        let ended = Cell::start_open(&code, &config(), &refuse).serve(|_, _| panic!("agent code ran"));
        assert!(ended.ready.is_none() && ended.refused().contains(said), "{}", ended.stderr);
    }
}

#[test]
fn a_program_started_by_hand() {
    need!("stockade-cell", "stockade-compile");
    for (name, code) in [("stockade-cell", 3), ("stockade-compile", 12)] {
        let out = std::process::Command::new(common::program(name).unwrap()).output().unwrap();
        assert_eq!(out.status.code(), Some(code));
        let said = String::from_utf8(out.stderr).unwrap();
        assert!(said.contains("descriptor") && said.contains("Stockade"), "{said}");
    }
}

#[test]
fn a_channel_that_is_closed_before_ready() {
    need!("stockade-cell", "stockade-compile");
    let cell = Cell::start(&code(), &config());
    let ended = cell.finish(None, vec![], vec![], None);
    assert!(ended.refused().contains("channel to the shim"), "{ended:?}");
}

#[test]
fn a_component_whose_types_differ_from_the_worlds() {
    need!("stockade-cell", "stockade-compile");
    // The names fit, so it compiles; the linker in the cell sees that `log` takes something else.
    let text = text::body(NOTHING).replace(
        r#"(export "log" (func (param "level" $lt) (param "message" string)))"#,
        r#"(export "log" (func (param "level" $lt) (param "message" string) (param "more" u32)))"#,
    );
    let text = text.replace(
        "(import \"host\" \"log\" (func $log (param i32 i32 i32)))",
        "(import \"host\" \"log\" (func $log (param i32 i32 i32 i32)))",
    );
    let ended = start(&artifact(&text), &json(), &sealed());
    refused(&ended, "not of the world stockade:agent/agent@0.1.0");
}
