//! Making a bundle.

use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use stockade_journal::hex;

use super::manifest::{LARGEST, MANIFEST, Manifest, is_known};
use super::{BLOCK, BundleError, FORMAT, Item, header, padding};

/// Writes a bundle of the files, each given by its name in the bundle and where it is, and gives the manifest. A file
/// that changes meanwhile is an error; what `to` has then is no bundle.
///
/// # Errors
/// [`BundleError`]
pub fn pack(
    run: &str,
    mut files: Vec<(String, PathBuf)>,
    absent: Vec<String>,
    to: &mut impl Write,
) -> Result<Manifest, BundleError> {
    files.sort();
    let mut items = Vec::new();
    for (name, path) in &files {
        if !is_known(name) {
            return Err(BundleError::Content { file: name.clone(), what: "not a file that a bundle has".to_owned() });
        }
        let (size, sha256) = copy(path, u64::MAX, &mut io::sink())?;
        if size > LARGEST {
            let what = format!("{size} bytes, a bundle's file has at most {LARGEST}");
            return Err(BundleError::Content { file: name.clone(), what });
        }
        items.push(Item { name: name.clone(), size, sha256 });
    }
    let journal_version = stockade_journal::VERSION;
    let manifest = Manifest { format: FORMAT, journal_version, run: run.to_owned(), absent, files: items };
    let bytes = manifest.to_bytes()?;
    let mut to = BufWriter::with_capacity(1 << 20, to);
    let failed = |error| BundleError::Io { file: "the bundle".to_owned(), error };
    to.write_all(header(MANIFEST, bytes.len() as u64)?.as_bytes()).map_err(failed)?;
    to.write_all(&bytes).map_err(failed)?;
    zeros(&mut to, padding(bytes.len() as u64)).map_err(failed)?;
    for (item, (_, path)) in manifest.files.iter().zip(&files) {
        to.write_all(header(&item.name, item.size)?.as_bytes()).map_err(failed)?;
        let (size, sha256) = copy(path, item.size, &mut to)?;
        if (size, &sha256) != (item.size, &item.sha256) {
            let what = "it changed while it was copied".to_owned();
            return Err(BundleError::Content { file: item.name.clone(), what });
        }
        zeros(&mut to, padding(item.size)).map_err(failed)?;
    }
    zeros(&mut to, 2 * BLOCK).map_err(failed)?;
    to.flush().map_err(failed)?;
    Ok(manifest)
}

fn zeros(to: &mut impl Write, count: u64) -> io::Result<()> {
    io::copy(&mut io::repeat(0).take(count), to).map(|_| ())
}

/// Copies at most `most` bytes of a regular file, and gives their number and digest.
fn copy(path: &Path, most: u64, to: &mut impl Write) -> Result<(u64, String), BundleError> {
    let failed = |error| BundleError::Io { file: path.display().to_string(), error };
    let mut file = crate::regular::open(path).map_err(failed)?.take(most);
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut size = 0;
    loop {
        let read = file.read(&mut buffer).map_err(failed)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return Ok((size, hex(&hash.finalize())));
        };
        hash.update(bytes);
        to.write_all(bytes).map_err(failed)?;
        size += read as u64;
    }
}
