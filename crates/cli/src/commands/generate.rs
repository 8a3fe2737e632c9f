//! Man pages and completions, from the definitions that parse the command line.

use std::io::Write;
use std::path::Path;

use clap::CommandFactory;

use crate::args::Args;
use crate::failure::Failure;

/// `stockade completions SHELL`.
///
/// # Errors
/// If the output takes no more.
pub fn completions(shell: clap_complete::Shell) -> Result<u8, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "stockade", &mut text);
    std::io::stdout().lock().write_all(&text)?;
    Ok(0)
}

/// `stockade man DIR`: one page a command.
///
/// # Errors
/// If a page cannot be written.
pub fn man(dir: &Path) -> Result<u8, Failure> {
    clap_mangen::generate_to(Args::command(), dir).map_err(|e| Failure::file("write man pages to", dir, &e))?;
    Ok(0)
}
