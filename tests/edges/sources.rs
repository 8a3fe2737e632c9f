//! The repository's own files.

use std::path::{Path, PathBuf};

/// The repository's root: this package is a folder of it.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent").to_path_buf()
}

/// Every file with this extension, outside of build output and hidden folders, relative to the root.
pub fn with_extension(extension: &str) -> Vec<PathBuf> {
    let root = root();
    let mut found = Vec::new();
    let mut pending = vec![root.clone()];
    while let Some(dir) = pending.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let entry = entry.unwrap();
            let (name, kind) = (entry.file_name(), entry.file_type().unwrap());
            if kind.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
                pending.push(entry.path());
            } else if kind.is_file() && entry.path().extension().is_some_and(|e| e == extension) {
                found.push(entry.path().strip_prefix(&root).unwrap().to_path_buf());
            }
        }
    }
    found.sort();
    found
}

/// A file's text by its path relative to the root.
pub fn text(relative: &Path) -> String {
    std::fs::read_to_string(root().join(relative)).unwrap_or_else(|e| panic!("{}: {e}", relative.display()))
}
