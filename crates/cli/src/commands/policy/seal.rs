//! `stockade policy seal`.

use std::io;
use std::path::Path;

use nix::sys::stat::FileStat;
use serde_json::json;
use stockade_policy::seal::sealed;

use super::load::ended;
use crate::args::policy::Seal;
use crate::atomic::{Folder, owned};
use crate::failure::Failure;
use crate::output;
use crate::screen::plain;

pub(super) fn seal(args: &Seal) -> Result<u8, Failure> {
    let path = args.file.as_path();
    let cannot = |error: &io::Error| Failure::file("seal", path, error);
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| cannot(&io::Error::other("it has no plain name")))?;
    let folder = Folder::open(path.parent().unwrap_or(Path::new("."))).map_err(|e| cannot(&e))?;
    let before = folder.file(name).map_err(|e| cannot(&e))?;
    let text = match sealed(path) {
        Ok(text) => text,
        Err(found) => return ended(args.json, &found),
    };
    let now = folder.file(name).map_err(|e| cannot(&e))?;
    let stat = match (before, now) {
        (Some(before), Some(now)) if same(&before, &now) => now,
        _ => return Err(cannot(&io::Error::other("it changed while it was read; try again"))),
    };
    let changed = std::fs::read(path).map_err(|e| cannot(&e))? != text.as_bytes();
    if changed {
        folder.put(name, text.as_bytes(), owned(&stat)).map_err(|e| cannot(&e))?;
    }
    let shown = path.display().to_string();
    if args.json {
        output::json(&json!({ "ok": true, "file": shown, "changed": changed }))?;
    } else if changed {
        output::text(&format!("sealed {}\n", plain(&shown)))?;
    } else {
        output::text(&format!("{} is sealed already\n", plain(&shown)))?;
    }
    Ok(0)
}

/// Whether nobody wrote to it in between.
fn same(a: &FileStat, b: &FileStat) -> bool {
    let of = |s: &FileStat| (s.st_dev, s.st_ino, s.st_size, s.st_mtime, s.st_mtime_nsec, s.st_ctime, s.st_ctime_nsec);
    of(a) == of(b)
}
