//! `stockade journal export`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;
use stockade_journal::tiles::{CHECKPOINT, Folder, HostLog, ORIGIN, epoch_file};
use stockade_journal::{Reader, Record, Start};

use crate::args::journal::Export;
use crate::bundle::pack;
use crate::evidence::{PROOF, Proof, log_folder};
use crate::failure::Failure;
use crate::runs::{BROKEN, find, is_written, journal};
use crate::screen::plain;

/// Writes a run's evidence into one file, which appears when it is whole.
pub(super) fn export(args: &Export) -> Result<u8, Failure> {
    let state = &args.state.state;
    let run = find(state, &args.run)?;
    let dir = journal(state, &run);
    if is_written(&dir) {
        return Err(Failure::usage(format!("run {} still lives: export it when it has ended", plain(&run))));
    }
    let to = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{run}.tar")));
    let made = tempfile::tempdir().map_err(|error| Failure::file("use", &std::env::temp_dir(), &error))?;
    let (mut files, mut absent) = collect(state, &run, &dir, args.with_private)?;
    prove(&log_folder(state), &run, made.path(), &mut files, &mut absent)?;
    let folder = match to.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let failed = |error: &io::Error| Failure::file("write", &to, error);
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|error| failed(&error))?;
    let manifest = pack(&run, files, absent, &mut file)
        .map_err(|error| Failure { code: 1, message: plain(&error.to_string()) })?;
    file.as_file().sync_all().map_err(|error| failed(&error))?;
    file.persist_noclobber(&to).map_err(|error| failed(&error.error))?;
    crate::output::text(&format!(
        "{}: {} files of run {run}\n",
        plain(&to.display().to_string()),
        manifest.files.len()
    ))?;
    for absent in &manifest.absent {
        crate::output::text(&format!("not in it: {}\n", plain(absent)))?;
    }
    Ok(0)
}

/// Files of a bundle by name, and what there is none of.
type Collected = (Vec<(String, PathBuf)>, Vec<String>);

fn collect(state: &Path, run: &str, dir: &Path, private: bool) -> Result<Collected, Failure> {
    let (mut files, mut absent) = (Vec::new(), Vec::new());
    for name in list(dir)? {
        if name.ends_with(".jsonl") {
            files.push((format!("journal/{name}"), dir.join(&name)));
        }
    }
    if files.is_empty() {
        return Err(Failure::usage(format!("run {} has no journal: no agent code ran", plain(run))));
    }
    for folder in ["blobs", "private"] {
        let names = list(&dir.join(folder))?;
        if folder == "private" && !private {
            match names.len() {
                0 => {}
                count => absent.push(format!("{count} private values (--with-private)")),
            }
            continue;
        }
        files.extend(names.into_iter().map(|name| (format!("journal/{folder}/{name}"), dir.join(folder).join(&name))));
    }
    let folder = state.join("runs").join(run);
    for (name, what) in [("checkpoint", "a signed head"), ("launch.json", "what was launched, by path and name")] {
        match folder.join(name) {
            path if path.exists() => files.push((name.to_owned(), path)),
            _ => absent.push(what.to_owned()),
        }
    }
    match start(dir) {
        Some((start, settings)) => objects(state, &start, &settings, &mut files, &mut absent),
        None => absent.push("component and policy: the journal's start cannot be read".to_owned()),
    }
    Ok((files, absent))
}

/// The host's head, the last heads of its epochs, and the proof that the run's newest head is in its log. What is not a
/// copy is written to `made`: the log may grow meanwhile.
fn prove(
    folder: &Path,
    run: &str,
    made: &Path,
    files: &mut Vec<(String, PathBuf)>,
    absent: &mut Vec<String>,
) -> Result<(), Failure> {
    let none = "a proof from the host's log".to_owned();
    if !folder.join(ORIGIN).exists() {
        absent.push(none);
        return Ok(());
    }
    let refused = |error: &dyn std::fmt::Display| Failure { code: BROKEN, message: plain(&error.to_string()) };
    let log = Folder::open(folder).and_then(HostLog::open).map_err(|error| refused(&error))?;
    let Some((proof, note)) = Proof::of(&log, run).map_err(|error| refused(&error))? else {
        absent.push(none);
        return Ok(());
    };
    let text = serde_json::to_vec(&proof).map_err(|error| Failure::internal(&error))?;
    for (name, bytes) in [(PROOF, text), (CHECKPOINT, note)] {
        let path = made.join(name);
        fs::write(&path, bytes).map_err(|error| Failure::file("write", &path, &error))?;
        files.push((format!("notary/{name}"), path));
    }
    for epoch in &proof.epochs {
        let file = epoch_file(epoch.epoch);
        files.push((format!("notary/{file}"), folder.join(&file)));
    }
    Ok(())
}

/// The component and the policy that the journal's start names.
fn objects(
    state: &Path,
    start: &Start,
    settings: &Value,
    files: &mut Vec<(String, PathBuf)>,
    absent: &mut Vec<String>,
) {
    let bundle = settings.get("bundle").and_then(Value::as_str);
    let component = if start.kind == "wasm" { "the component" } else { "the program" };
    for (digest, what) in [(Some(start.component_digest.as_str()), component), (bundle, "the policy bundle")] {
        let named = digest.filter(|digest| digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()));
        match named.map(|digest| (digest, stockade_supervisor::objects::folder(state).join(digest))) {
            Some((digest, path)) if path.exists() => {
                let name = format!("objects/{digest}");
                if !files.iter().any(|(known, _)| *known == name) {
                    files.push((name, path));
                }
            }
            _ => absent.push(what.to_owned()),
        }
    }
}

/// The start, and its settings, which are in a blob if they are long.
fn start(dir: &Path) -> Option<(Box<Start>, Value)> {
    let mut reader = Reader::open(dir).ok()?;
    match reader.read().ok()??.entry.record {
        Record::Start(start) => {
            let settings = reader.whole(start.settings.clone()).ok()?;
            Some((start, settings))
        }
        _ => None,
    }
}

/// Names in a folder, sorted; none if it is not there. What an unfinished write left is not one of them.
fn list(dir: &Path) -> Result<Vec<String>, Failure> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|error| Failure::file("list", dir, &error))?,
    };
    let names = entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<io::Result<Vec<_>>>().map_err(|error| Failure::file("list", dir, &error))?;
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    Ok(names)
}
