//! The presets of `policies/presets/`, inside the program: no file on a host can change them.

use crate::extends::Presets;

const TABLE: [(&str, &str); 6] = [
    ("base@1", include_str!("../../../policies/presets/base@1.toml")),
    ("wasm-pure@1", include_str!("../../../policies/presets/wasm-pure@1.toml")),
    ("python@1", include_str!("../../../policies/presets/python@1.toml")),
    ("node@1", include_str!("../../../policies/presets/node@1.toml")),
    ("coding-agent@1", include_str!("../../../policies/presets/coding-agent@1.toml")),
    ("mcp-readonly@1", include_str!("../../../policies/presets/mcp-readonly@1.toml")),
];

/// Text of a preset, by its name and version, without `preset:`.
#[must_use]
pub fn preset(name: &str) -> Option<&'static str> {
    TABLE.iter().find(|(n, _)| *n == name).map(|(_, text)| *text)
}

/// Names of all presets with their versions, without `preset:`.
pub fn preset_names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|(name, _)| *name)
}

pub(crate) fn shipped() -> Presets {
    Presets { names: preset_names().collect(), text: preset }
}
