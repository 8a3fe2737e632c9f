//! `stockade doctor`.

use std::io::Write;

use stockade_supervisor::doctor::{examine, render_text};

use crate::args::Doctor;
use crate::failure::Failure;

/// Examines the host; the exit code says whether a run can be had.
///
/// # Errors
/// If the output takes no more.
pub fn doctor(args: &Doctor) -> Result<u8, Failure> {
    let report = examine();
    let text = if args.json {
        serde_json::to_string_pretty(&report).map_err(|e| Failure::internal(&e))? + "\n"
    } else {
        render_text(&report)
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(report.exit_code())
}
