//! Escapes that work outside and fail in both kinds of cell.
//!
//! Each attack of `stockade-escape-probe` is run three times: outside, where it must succeed or
//! the test proves nothing; in a native cell; and in a wasm cell where the probe stands in the
//! place of `stockade-cell`, as if wasmtime had fallen. What stopped it must be a layer that the
//! attack's table names, by evidence: the filter's verdict on the very syscall, the journal's
//! record of it, the errno, the exit code. Independent of what the probe says, tripwires on
//! the host (a victim process, services, files, a terminal) must not have moved.
//!
//! `cargo test --release -p stockade-tests --test escape -- [--oracle-only] [--kind native|wasm] [NAME…]`
//! as root. The other binaries are taken from beside the probe, or from `STOCKADE_BIN_DIR`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod driver;

use driver::{Options, Verdict};

fn main() {
    let options = Options::parse(std::env::args().skip(1));
    if options.list {
        return;
    }
    if !nix::unistd::geteuid().is_root() {
        println!("SKIPPED escape: cells are made by root, and most attacks only work for root outside");
        println!("test result: ok. 0 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s");
        return;
    }
    let start = std::time::Instant::now();
    let rows = driver::run(&options);
    driver::table::print(&rows, &options);
    let count = |wanted: fn(&Verdict) -> bool| rows.iter().flat_map(|r| r.verdicts()).filter(|v| wanted(v)).count();
    let (passed, failed, skipped) = (
        count(|v| matches!(v, Verdict::Pass(_))),
        count(|v| matches!(v, Verdict::Fail(_))),
        count(|v| matches!(v, Verdict::Skip(_))),
    );
    println!("escape: {} attacks; {passed} passed, {failed} failed, {skipped} skipped", rows.len());
    // libtest's own words, for what reads the results of all suites.
    println!(
        "\ntest result: {}. {passed} passed; {failed} failed; {skipped} ignored; 0 measured; 0 filtered out; finished in {:.2}s",
        if failed == 0 { "ok" } else { "FAILED" },
        start.elapsed().as_secs_f64()
    );
    std::process::exit(i32::from(failed > 0));
}
