//! `stockade-cell`: see [`stockade_cell::run`].

fn main() -> std::process::ExitCode {
    stockade_cell::run::main()
}
