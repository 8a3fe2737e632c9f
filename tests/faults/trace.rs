//! What strace(1) wrote down: one file a process.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Calls by name, with the most that one process made.
pub fn calls(dir: &Path, prefix: &str) -> Vec<(String, usize)> {
    let mut most: BTreeMap<String, usize> = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(prefix) {
            continue;
        }
        let mut here: BTreeMap<String, usize> = BTreeMap::new();
        for line in fs::read_to_string(entry.path()).unwrap_or_default().lines() {
            let Some((name, _)) = line.split_once('(') else { continue };
            if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') || name.is_empty() {
                continue;
            }
            // From the exec on it is not the launcher any more.
            *here.entry(name.to_owned()).or_default() += 1;
            if name == "execveat" {
                break;
            }
        }
        for (name, count) in here {
            let known = most.entry(name).or_default();
            *known = (*known).max(count);
        }
    }
    most.into_iter().collect()
}
