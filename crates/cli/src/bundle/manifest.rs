//! What a bundle says of itself.

use serde::{Deserialize, Serialize};
use stockade_journal::is_digest;

use super::BundleError;

/// Format of bundles that this program writes; it reads no other.
pub const FORMAT: u64 = 1;

/// Name of the manifest, the first file.
pub const MANIFEST: &str = "manifest.json";

/// Longest manifest in bytes: some 400,000 files.
pub(super) const LONGEST: u64 = 64 * 1024 * 1024;

/// Longest file in bytes: what the size field of a ustar header holds.
pub(super) const LARGEST: u64 = 0o777_7777_7777;

/// The manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u64,
    /// Format of the journal.
    pub journal_version: u32,
    /// The run's id.
    pub run: String,
    /// What the run had and the bundle has not, in words.
    pub absent: Vec<String>,
    /// The files after the manifest, in the order of their names' bytes.
    pub files: Vec<Item>,
}

/// A file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// With `/` between its parts.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of its bytes, hex.
    pub sha256: String,
}

/// The format alone, of a manifest that may be another's.
#[derive(Deserialize)]
struct Versioned {
    format: u64,
}

impl Manifest {
    /// Its bytes.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, BundleError> {
        let form = |what: String| BundleError::Form { at: 0, what };
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|error| form(error.to_string()))?;
        bytes.push(b'\n');
        if bytes.len() as u64 > LONGEST {
            return Err(form(format!("the manifest has {} bytes, at most {LONGEST} are written", bytes.len())));
        }
        Ok(bytes)
    }

    /// Reads one, and refuses what [`Self::to_bytes`] would not have written.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        let bad = |what: String| BundleError::Content { file: MANIFEST.to_owned(), what };
        let versioned: Versioned = serde_json::from_slice(bytes).map_err(|error| bad(error.to_string()))?;
        if versioned.format != FORMAT {
            return Err(BundleError::Version { found: versioned.format });
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| bad(error.to_string()))?;
        if manifest.to_bytes()? != bytes {
            return Err(bad("not the bytes that would be written".to_owned()));
        }
        if manifest.journal_version != stockade_journal::VERSION {
            let (found, known) = (manifest.journal_version, stockade_journal::VERSION);
            return Err(bad(format!("journal version {found}, this program reads {known}")));
        }
        if !manifest.run.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') || manifest.run.is_empty() {
            return Err(bad(format!("{:?} is not a run's id", shown(&manifest.run))));
        }
        let mut before = "";
        for item in &manifest.files {
            if !is_known(&item.name) {
                return Err(bad(format!("{:?} is not a file of a bundle", shown(&item.name))));
            }
            if item.name.as_str() <= before {
                return Err(bad(format!("{:?} is named twice or out of order", shown(&item.name))));
            }
            if item.size > LARGEST {
                return Err(bad(format!("{}: {} bytes, a bundle's file has at most {LARGEST}", item.name, item.size)));
            }
            // Nobody else looks at these: a record names them, and verify does not need them.
            if item.name.strip_prefix("objects/").is_some_and(|digest| digest != item.sha256) {
                return Err(bad(format!("{}: its digest is {}", item.name, item.sha256)));
            }
            before = &item.name;
        }
        Ok(manifest)
    }
}

/// A name that somebody else wrote, for a message.
fn shown(name: &str) -> String {
    name.chars().take(80).collect()
}

/// Whether a bundle may have a file of this name. None of them leads out of a folder.
pub(super) fn is_known(name: &str) -> bool {
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    match name.split('/').collect::<Vec<_>>().as_slice() {
        ["checkpoint" | "launch.json"] => true,
        ["journal", segment] => segment.strip_suffix(".jsonl").is_some_and(|number| digits(number, 8)),
        ["journal", "blobs" | "private", digest] | ["objects", digest] => is_digest(digest),
        ["notary", "checkpoint" | "proof.json"] => true,
        ["notary", "epochs", number] => digits(number, 6),
        _ => false,
    }
}
