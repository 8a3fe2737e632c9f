//! The language as a JSON Schema (draft 2020-12), for editors and for whoever generates policies.

use super::{Key, Kind, Section};
use serde_json::{Map, Value, json};

/// The schema of a file.
#[must_use]
pub fn json_schema(file: &'static Section, title: &str) -> Value {
    let mut schema = section(file);
    if let Some(map) = schema.as_object_mut() {
        map.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        map.insert("title".to_owned(), json!(title));
    }
    schema
}

fn section(section: &Section) -> Value {
    let properties: Map<String, Value> = section.keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    let required: Vec<&str> = section.keys.iter().filter(|key| key.required).map(|key| key.name).collect();
    json!({
        "type": "object",
        "description": section.about,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn property(key: &Key) -> Value {
    let mut value = kind(key.kind);
    if let Some(map) = value.as_object_mut().filter(|_| !key.meaning.is_empty()) {
        map.insert("description".to_owned(), json!(key.meaning));
        if !key.required && !key.default.is_empty() {
            map.insert("$comment".to_owned(), json!(format!("absent: {}", key.default)));
        }
    }
    value
}

fn kind(kind: Kind) -> Value {
    let texts = json!({ "type": "array", "items": { "type": "string" }, "maxItems": 1024 });
    match kind {
        Kind::Count(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Size(..) => json!({ "type": "string", "pattern": "^[0-9]+(B|KiB|MiB|GiB|TiB)$" }),
        Kind::Rate(..) => json!({ "type": "string", "pattern": "^[0-9]+(B|KiB|MiB|GiB|TiB)/s$" }),
        Kind::Time(..) => json!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$" }),
        Kind::Share(..) => json!({ "type": "string", "pattern": "^[0-9]+%$" }),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Choice(words) => json!({ "enum": words }),
        Kind::Name => json!({ "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$" }),
        Kind::Text => json!({ "type": "string", "maxLength": 32768 }),
        Kind::Strings | Kind::Tools => texts,
        Kind::Paths => json!({
            "type": "array",
            "items": { "type": "string", "pattern": "^(/|@workspace(/|$))" },
            "maxItems": 1024,
        }),
        Kind::Ports => {
            let port = json!({ "type": "integer", "minimum": 1, "maximum": 65535 });
            json!({ "oneOf": [port, { "type": "array", "items": port }] })
        }
        Kind::Object => json!({ "type": "object" }),
        Kind::Table(inner) => section(inner),
        Kind::Tables(inner) => json!({ "type": "array", "items": section(inner), "maxItems": 1024 }),
        Kind::Map => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        Kind::Counts(least, most) => {
            json!({ "type": "object", "additionalProperties": { "type": "integer", "minimum": least, "maximum": most } })
        }
        Kind::Times(least, most) => {
            json!({ "type": "object", "additionalProperties": self::kind(Kind::Time(least, most)) })
        }
    }
}
