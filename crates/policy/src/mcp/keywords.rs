//! Keywords of JSON Schema that constrain nothing here: which are harmless, and which must be named.

/// What to do with a keyword.
pub(super) enum Duty {
    /// It only describes.
    Silent,
    /// It constrains, or may; said to the author of a policy.
    NotEnforced(&'static str),
    /// It changes what other keywords mean.
    Refused(&'static str),
}

/// Annotations (JSON Schema Validation 2020-12, 9) and what is said for people.
const SILENT: [&str; 9] =
    ["title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment", "$schema"];

/// Keywords of JSON Schema that are known and not enforced.
const KNOWN: [&str; 15] = [
    "propertyNames",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
    "if",
    "then",
    "else",
    "contains",
    "minContains",
    "maxContains",
    "unevaluatedProperties",
    "unevaluatedItems",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
];

/// For a keyword that is neither enforced nor `$defs` at the top.
pub(super) fn duty(key: &str, root: bool) -> Duty {
    match key {
        _ if SILENT.contains(&key) => Duty::Silent,
        "$id" if root => Duty::Silent,
        "id" => Duty::NotEnforced("not enforced; this keyword is of an older JSON Schema"),
        "$id" | "$anchor" | "$dynamicAnchor" | "$dynamicRef" | "$recursiveRef" | "$recursiveAnchor" => {
            Duty::Refused("refer with `$ref` to `#/$defs/NAME`")
        }
        "format" => Duty::NotEnforced("not enforced; a format only describes"),
        "$defs" | "definitions" => Duty::NotEnforced("not read; only `$defs` at the top can be referred to"),
        _ if KNOWN.contains(&key) => Duty::NotEnforced("not enforced; this keyword is known but not checked"),
        _ => Duty::NotEnforced("not enforced; this keyword is not known"),
    }
}
