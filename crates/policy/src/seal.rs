//! The seal of a policy: a digest in the file over the file, so that a cut, a flipped bit or an edit after
//! review is refused. It says nothing of who wrote the file: that is what its owner and mode are for.

use crate::diagnostic::{Diagnostic, Diagnostics, SourceText};
use crate::load::{self, Options};
use crate::source::{self, Trust};
use crate::text::Located;
use crate::text::file::parse;
use sha2::{Digest, Sha256};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// First bytes of what is hashed; another form gets another line.
const DOMAIN: &str = "stockade seal v1\n";

/// Checks the seal that is written in the text. `beside` are names and texts of the files it names.
pub(crate) fn check(
    source: &Arc<SourceText>,
    written: &Located<String>,
    beside: &[(String, String)],
) -> Result<(), Diagnostic> {
    let digest = digest(&source.text, written.place.span.clone(), beside);
    if written.value == digest {
        return Ok(());
    }
    Err(Diagnostic::at(
        &written.place,
        "the seal does not match: the policy, or a file it names, was changed since it was sealed",
    )
    .help("if the change is yours, review it and seal again: stockade policy seal FILE; else fetch the file anew"))
}

/// The digest of a text whose seal's value, quotes included, lies at `span`.
fn digest(text: &str, span: Range<usize>, beside: &[(String, String)]) -> String {
    let mut hash = Sha256::new();
    hash.update(DOMAIN);
    let mut part = |bytes: &str| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(text.get(..span.start).unwrap_or(text));
    part(text.get(span.end..).unwrap_or_default());
    let mut beside: Vec<&(String, String)> = beside.iter().collect();
    beside.sort();
    for (name, text) in beside {
        part(name);
        part(text);
    }
    let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// The text with its seal, new or renewed.
///
/// # Errors
/// What is wrong with the text.
fn seal(source: &Arc<SourceText>, beside: &[(String, String)]) -> Result<String, Vec<Diagnostic>> {
    let file = parse(source)?;
    let (text, span) = match &file.seal {
        Some(seal) => (source.text.clone(), seal.place.span.clone()),
        None => with_place(source)?,
    };
    let digest = digest(&text, span.clone(), beside);
    let (before, after) = (text.get(..span.start).unwrap_or_default(), text.get(span.end..).unwrap_or_default());
    Ok(format!("{before}\"{digest}\"{after}"))
}

/// Makes a place for a seal before the version, which every policy has at its top.
fn with_place(source: &Arc<SourceText>) -> Result<(String, Range<usize>), Vec<Diagnostic>> {
    let json = source.name.ends_with(".json");
    let text = &source.text;
    let lost = || {
        vec![
            Diagnostic::of(&source.name, "no place for a seal")
                .help("add a line of its own above version: seal = \"\""),
        ]
    };
    let (at, head, tail) = if json {
        (text.find('{').ok_or_else(lost)? + 1, "\n  \"seal\": ", ",")
    } else {
        let mut at = 0;
        let line = text.split_inclusive('\n').find(|line| {
            let found = line.trim_start().starts_with("version");
            at += if found { 0 } else { line.len() };
            found
        });
        line.ok_or_else(lost)?;
        (at, "seal    = ", "\n")
    };
    let (before, after) = text.split_at_checked(at).ok_or_else(lost)?;
    let start = at + head.len();
    let sealed = format!("{before}{head}\"\"{tail}{after}");
    // What was put in must be read as the seal, or the text was stranger than it looked.
    let reread = Arc::new(SourceText { name: source.name.clone(), text: sealed.clone() });
    match parse(&reread)?.seal {
        Some(seal) if seal.place.span == (start..start + 2) => Ok((sealed, start..start + 2)),
        _ => Err(lost()),
    }
}

/// The text of the policy at `path` with its seal, new or renewed. Nothing is written.
///
/// # Errors
/// If it is no policy that loads; a seal says that somebody looked, so what does not load is not sealed.
pub fn sealed(path: &Path) -> Result<String, Diagnostics> {
    let opened = source::read(path, Trust::Inspect)?;
    let options = Options { trust: Trust::Inspect, seal: false, ..Options::default() };
    let beside = load::beside(path, &options)?;
    seal(&Arc::new(opened.source), &beside).map_err(Diagnostics)
}
