//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

const USAGE: &str = "usage: stockade-bench [--rounds N] [--json] [--stockade PATH]; stockade-bench calls [--stockade PATH]; stockade-bench decide";

pub struct Options {
    /// Turns each contender takes.
    pub rounds: usize,
    /// Machine-readable output.
    pub json: bool,
    /// The program under test.
    pub stockade: PathBuf,
}

/// Everything has a default; `--stockade` is the sibling of this program.
pub fn parse(args: impl Iterator<Item = OsString>) -> Result<Options, String> {
    let sibling = std::env::current_exe().map_err(|e| format!("own path: {e}"))?.with_file_name("stockade");
    let mut options = Options { rounds: 100, json: false, stockade: sibling };
    let mut args = args;
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{} wants a value; {USAGE}", arg.to_string_lossy()));
        match arg.to_str() {
            Some("--rounds") => {
                let text = value()?;
                options.rounds = text.to_str().and_then(|t| t.parse().ok()).filter(|n| *n > 0).ok_or(USAGE)?;
            }
            Some("--json") => options.json = true,
            Some("--stockade") => options.stockade = value()?.into(),
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok(options)
}
