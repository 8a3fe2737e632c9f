//! Standard output, written at once. A reader that has gone is no failure: the exit code says the same.

use std::io::{self, Write};

use serde::Serialize;

use crate::failure::Failure;
use crate::screen;
use crate::show::{Page, Style};

/// Writes text that is fit for a screen.
///
/// # Errors
/// If the output takes no more, unless its reader closed it.
pub fn text(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Writes a value as JSON in which nothing acts on a terminal.
///
/// # Errors
/// As [`text`].
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(value).map_err(|e| Failure::internal(&e))?;
    text(&(screen::json(&json) + "\n"))
}

/// Writes a page for standard output as it is.
pub(crate) fn page(write: impl FnOnce(&mut Page<'_>) -> io::Result<()>) -> Result<(), Failure> {
    let mut out = Vec::new();
    write(&mut Page::new(&mut out, Style::of_stdout()))?;
    text(&String::from_utf8_lossy(&out))
}
