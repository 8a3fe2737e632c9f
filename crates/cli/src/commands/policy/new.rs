//! `stockade policy new`.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::{Value, json};
use stockade_policy::starter::starter;
use stockade_policy::{preset, preset_names};

use crate::args::policy::New;
use crate::failure::Failure;
use crate::output;
use crate::screen::plain;

/// Longest id (policy language, `id`).
const ID: usize = 64;

pub(super) fn new(args: &New) -> Result<u8, Failure> {
    let Some(name) = args.preset.as_deref().filter(|_| !args.list) else { return list(args.json) };
    let first = args.id.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    let rest = args.id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if !first || !rest || args.id.len() > ID {
        return Err(Failure::usage(format!(
            "--id {:?}: a name is 1 to {ID} of a-z A-Z 0-9 - _ . and begins with a letter or digit",
            plain(&args.id)
        )));
    }
    let text = starter(name.strip_prefix("preset:").unwrap_or(name), &args.id).ok_or_else(|| {
        let known: Vec<&str> = preset_names().collect();
        Failure::usage(format!("there is no preset {:?}; known: {}", plain(name), known.join(", ")))
    })?;
    match &args.output {
        Some(path) => {
            write(path, &text)?;
            let shown = path.display().to_string();
            if args.json {
                output::json(&json!({ "file": shown, "id": args.id, "preset": name }))?;
            } else {
                let shown = plain(&shown);
                output::text(&format!("wrote {shown}; look at it with: stockade policy check {shown}\n"))?;
            }
        }
        None if args.json => output::json(&json!({ "text": text, "id": args.id, "preset": name }))?,
        None => output::text(&text)?,
    }
    Ok(0)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    // Neither a file nor a link that is there already is opened.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path);
    match file.and_then(|mut file| file.write_all(text.as_bytes())) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Err(Failure::usage(format!("{} exists and is not written over", plain(&path.display().to_string()))))
        }
        done => done.map_err(|error| Failure::file("write", path, &error)),
    }
}

/// The first sentence of what a preset says of itself.
fn about(text: &str) -> String {
    let lines = text.lines().take_while(|line| line.starts_with('#')).map(|line| line.trim_start_matches(['#', ' ']));
    let whole = lines.collect::<Vec<_>>().join(" ");
    whole.split_once(". ").map_or(whole.as_str(), |(first, _)| first).trim_end_matches('.').to_owned()
}

fn list(json: bool) -> Result<u8, Failure> {
    let all: Vec<(&str, String)> = preset_names().map(|name| (name, about(preset(name).unwrap_or_default()))).collect();
    if json {
        let one = |(name, about): &(&str, String)| json!({ "preset": name, "about": about });
        output::json(&json!({ "presets": all.iter().map(one).collect::<Vec<Value>>() }))?;
        return Ok(0);
    }
    let column = all.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 2;
    output::page(|page| {
        for (name, about) in &all {
            page.bold(name).wrapped(column, crate::show::Tone::Plain, about)?;
        }
        Ok(())
    })?;
    Ok(0)
}
