//! A policy to start from.

/// A commented policy on a preset, by its name with or without version; `None` if there is no such preset.
#[must_use]
pub fn starter(_preset: &str) -> Option<String> {
    None
}
