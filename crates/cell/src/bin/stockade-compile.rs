//! `stockade-compile`: see [`stockade_cell::compile`].

fn main() -> std::process::ExitCode {
    stockade_cell::compile::main()
}
