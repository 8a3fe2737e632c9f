//! `stockade policy schema`.

use crate::{Place, policy};

#[test]
fn json_schemas_name_every_section() {
    let place = Place::new();
    let json = place.policy(&["schema"]).ends(0).json();
    assert_eq!(json["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert!(json["properties"]["egress"].is_object() && json["additionalProperties"] == false);
    assert!(place.policy(&["schema", "--ceiling"]).ends(0).json()["properties"]["secrets"].is_object());
    assert!(place.policy(&["schema", "--tests"]).ends(0).json()["properties"]["test"].is_object());
    place.policy(&["schema", "--tests", "--ceiling"]).ends(2);
    place.policy(&["schema", "--tests", "--cedar"]).ends(2);
}

#[test]
fn the_cedar_schema_has_the_tools_of_servers() {
    let mcp = "\n[[mcp]]\nname = \"git\"\ncommand = [\"/usr/bin/mcp-git\"]\npolicy = \"preset:mcp-readonly\"\ntools = \"git.json\"\n";
    let list = r#"{"tools": [{"name": "status", "description": "d", "inputSchema": {"type": "object", "properties": {"path": {"type": "string"}}}}]}"#;
    let place = Place::with(&[("a.toml", &(policy() + mcp)), ("git.json", list)]);
    let house = place.policy(&["schema", "--cedar"]).ends(0);
    assert!(house.out.contains("action \"workspace.read\"") && !house.out.contains("mcp.git"));
    let own = place.policy(&["schema", "--cedar", "a.toml"]).ends(0);
    assert!(own.out.contains("action \"mcp.git.status\""), "{}", own.out);
    assert_eq!(place.policy(&["schema", "--json", "--cedar", "a.toml"]).ends(0).json()["cedar"], own.out);
    place.put("git.json", "{");
    place.policy(&["schema", "--cedar", "a.toml"]).ends(10);
}
