//! `stockade policy ceiling …`.

use std::fs;
use std::io;
use std::path::Path;

use nix::unistd::{getegid, geteuid};
use serde_json::json;
use stockade_plan::ceiling::{COMPILED, FOLDER, SOURCE};
use stockade_policy::{Trust, compile_ceiling};

use super::load::ended;
use crate::args::policy::Ceiling;
use crate::atomic::{Folder, Owned};
use crate::failure::Failure;
use crate::output;
use crate::screen::plain;

pub(super) fn ceiling(args: &Ceiling) -> Result<u8, Failure> {
    match args {
        Ceiling::Check { file, json } => check(file, *json),
        Ceiling::Install { file, output, json } => install(file, output, *json),
    }
}

fn check(file: &Path, json: bool) -> Result<u8, Failure> {
    let ceiling = match stockade_policy::Ceiling::load(file, Trust::Inspect) {
        Ok(ceiling) => ceiling,
        Err(found) => return ended(json, &found),
    };
    let shown = file.display().to_string();
    let digest = hex(&compile_ceiling(&ceiling).source_digest);
    if json {
        output::json(&json!({ "ok": true, "file": shown, "digest": digest, "diagnostics": [] }))?;
    } else {
        output::text(&format!("{}: fine, digest {digest}\n", plain(&shown)))?;
    }
    Ok(0)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn install(file: &Path, dir: &Path, json: bool) -> Result<u8, Failure> {
    let ceiling = match stockade_policy::Ceiling::load(file, Trust::Enforce) {
        Ok(ceiling) => ceiling,
        Err(found) => return ended(json, &found),
    };
    let compiled = compile_ceiling(&ceiling);
    let cannot = |name: &str| {
        let path = dir.join(name);
        move |error: io::Error| Failure::file("write", &path, &error)
    };
    let folder = Folder::open(dir).map_err(cannot(""))?;
    let whose = allowed(&folder, dir).map_err(cannot(""))?;
    let text = ceiling.text();
    // A run reads both files, and is refused while they do not agree: the text is written first.
    let source = folder.file(SOURCE).map_err(cannot(SOURCE))?;
    match source {
        None => folder.put(SOURCE, text.as_bytes(), whose).map_err(cannot(SOURCE))?,
        Some(_) if fs::read(dir.join(SOURCE)).map_err(cannot(SOURCE))? == text.as_bytes() => {}
        Some(_) => {
            let (place, file) = (plain(&dir.join(SOURCE).display().to_string()), plain(&file.display().to_string()));
            return Err(Failure::usage(format!(
                "{place} says something else than {file}, and is not written over; copy it there and install it: stockade policy ceiling install {place}"
            )));
        }
    }
    folder.file(COMPILED).map_err(cannot(COMPILED))?;
    folder.put(COMPILED, &compiled.encode(), whose).map_err(cannot(COMPILED))?;
    let (shown, digest) = (dir.join(COMPILED).display().to_string(), hex(&compiled.source_digest));
    if json {
        output::json(&json!({ "ok": true, "file": shown, "digest": digest }))?;
    } else {
        output::text(&format!("wrote {}, of {SOURCE} with digest {digest}\n", plain(&shown)))?;
    }
    Ok(0)
}

/// Who owns what is written. In the host's own folder that is root, and nobody else may write there.
fn allowed(folder: &Folder, dir: &Path) -> io::Result<Owned> {
    let found = folder.owned()?;
    if fs::canonicalize(dir)? != Path::new(FOLDER) {
        return Ok(Owned { uid: geteuid().as_raw(), gid: getegid().as_raw(), mode: 0o644 });
    }
    if found.uid != 0 || found.mode & 0o022 != 0 {
        return Err(io::Error::other("the folder must be root's and writable by root alone"));
    }
    Ok(Owned { uid: 0, gid: 0, mode: 0o644 })
}
