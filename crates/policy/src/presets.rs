//! The presets of `policies/presets/`, inside the program: no file on a host can change them.

use crate::extends::Presets;

const TABLE: [(&str, &str); 3] = [
    ("base", include_str!("../../../policies/presets/base.toml")),
    ("wasm-pure", include_str!("../../../policies/presets/wasm-pure.toml")),
    ("python", include_str!("../../../policies/presets/python.toml")),
];

/// Text of a preset, by its name without `preset:`.
#[must_use]
pub fn preset(name: &str) -> Option<&'static str> {
    TABLE.iter().find(|(n, _)| *n == name).map(|(_, text)| *text)
}

/// Names of all presets, without `preset:`.
pub fn preset_names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|(name, _)| *name)
}

pub(crate) fn shipped() -> Presets {
    Presets { names: preset_names().collect(), text: preset }
}
