//! Lists are read, types mapped, calls checked, and tools pinned.

use super::filesystem::LIST;
use super::*;
use crate::facts::Facts;
use crate::schema::{actions, request_conforms, schema_text};
use cedar_policy::{PolicySet, Schema, ValidationMode, Validator};
use serde_json::{Value, json};

pub(super) fn tool(input_schema: &Value) -> Result<McpTool, ReadError> {
    let list = json!({"tools": [{"name": "t", "inputSchema": input_schema}]});
    read_tools(list.to_string().as_bytes()).map(|page| page.tools.into_iter().next().unwrap())
}

fn one(property: &Value) -> McpTool {
    tool(&json!({"type": "object", "properties": {"a": property}, "required": ["a"]})).unwrap()
}

pub(super) fn schema_of(server: McpServer) -> Schema {
    let text = schema_text(&actions().copied().collect::<Vec<_>>(), &[server]);
    Schema::from_cedarschema_str(&text).unwrap_or_else(|e| panic!("{e:?}\n{text}")).0
}

/// Whether the context of a call conforms to the schema of its tool.
pub(super) fn conforms(server: &McpServer, schema: &Schema, tool: &McpTool, args: CedarArgs) {
    let action = server.action(tool);
    request_conforms(schema, "McpServer", &action, args.into_value(), &Facts::default(), None).unwrap();
}

fn filesystem() -> McpServer {
    McpServer::new("fs", read_tools(LIST.as_bytes()).unwrap().tools).unwrap()
}

#[test]
fn a_real_list_becomes_actions() {
    let server = filesystem();
    assert_eq!(server.tools().len(), 14);
    let types = |name: &str| server.tool(name).unwrap().args_type().to_string();
    assert_eq!(types("read_file"), "{ path: String }");
    assert_eq!(types("read_text_file"), "{ head?: Long, path: String, tail?: Long }");
    assert_eq!(types("read_multiple_files"), "{ paths: Set<String> }");
    assert_eq!(types("edit_file"), "{ dryRun?: Bool, edits: Set<{ newText: String, oldText: String }>, path: String }");
    assert_eq!(types("list_directory_with_sizes"), "{ path: String, sortBy?: String }");
    assert_eq!(types("list_allowed_directories"), "{}");
    let unseen: Vec<&str> = server.tool("read_file").unwrap().unmapped().iter().map(|r| r.at.as_str()).collect();
    assert_eq!(unseen, ["/head", "/tail"]);
    assert!(server.tools().iter().all(|t| t.unchecked().is_empty()));

    let schema = schema_of(server.clone());
    let policies: PolicySet = "forbid (principal, action == Action::\"mcp.fs.write_file\", resource == McpServer::\"fs\") \
        when { context.args.path like \"/etc/*\" || !context.approved || context.now.hour < 8 || context.calls.tool > 3 };"
        .parse()
        .unwrap();
    let result = Validator::new(schema.clone()).validate(&policies, ValidationMode::Strict);
    assert!(result.validation_passed(), "{result}");

    let call = |name: &str, args: Value| {
        let tool = server.tool(name).unwrap();
        check_args(tool, &args).map(|args| conforms(&server, &schema, tool, args)).map_err(|e| e.to_string())
    };
    call("read_file", json!({"path": "a", "head": 1.5})).unwrap();
    call("read_text_file", json!({"path": "a", "head": 3})).unwrap();
    call("read_multiple_files", json!({"paths": ["a", "b", "a"]})).unwrap();
    call("edit_file", json!({"path": "a", "edits": [{"oldText": "x", "newText": "y"}], "dryRun": true})).unwrap();
    call("edit_file", json!({"path": "a", "edits": []})).unwrap();
    call("list_allowed_directories", json!({})).unwrap();
    let refused = [
        ("read_file", json!({}), "/path: missing"),
        ("read_file", json!([]), "arguments: must be of type object, not an array"),
        ("read_file", json!({"path": 1}), "/path: must be of type string, not a number"),
        ("read_file", json!({"path": "a", "mode": 1}), "/mode: unknown argument; known: path, head, tail"),
        ("read_text_file", json!({"path": "a", "head": 0}), "/head: must be at least 1"),
        ("read_text_file", json!({"path": "a", "head": 1.0}), "/head: must be of type integer, not a number"),
        (
            "read_text_file",
            json!({"path": "a", "head": u64::MAX}),
            "/head: an integer over 2^63 - 1; send it as a string if the tool takes one",
        ),
        ("read_multiple_files", json!({"paths": []}), "/paths: has 0 items; at least 1 are asked for"),
        (
            "list_directory_with_sizes",
            json!({"path": "a", "sortBy": "x"}),
            "/sortBy: must be one of \"name\", \"size\"",
        ),
        ("edit_file", json!({"path": "a", "edits": [{"oldText": "x"}]}), "/edits/0/newText: missing"),
        (
            "edit_file",
            json!({"path": "a", "edits": [{"oldText": "x", "newText": "y", "__proto__": 1}]}),
            "/edits/0/__proto__: unknown argument; known: newText, oldText",
        ),
        ("list_allowed_directories", json!({"x": null}), "/x: unknown argument; known: none"),
    ];
    for (name, args, want) in refused {
        assert_eq!(call(name, args).unwrap_err(), want);
    }
}

#[test]
fn what_cedar_has_no_word_for_is_left_out_and_named() {
    let seen = [
        (json!({"type": "string", "format": "uri"}), "String"),
        (json!({"enum": ["a", "b"]}), "String"),
        (json!({"const": 1}), "Long"),
        (json!({"type": "boolean"}), "Bool"),
        (json!({"type": "array", "items": {"type": "array", "items": {"type": "integer"}}}), "Set<Set<Long>>"),
        (json!({"type": "object", "properties": {"if": {"type": "string"}}, "required": ["if"]}), "{ \"if\": String }"),
        (json!({"oneOf": [{"const": "a", "title": "A"}, {"const": "b"}]}), "String"),
    ];
    for (property, want) in seen {
        let tool = one(&property);
        assert_eq!(tool.args_type().to_string(), format!("{{ a: {want} }}"), "{property}");
        assert!(tool.unmapped().is_empty());
    }
    // `T or null` is an optional T.
    for nullable in
        [json!({"anyOf": [{"type": "string"}, {"type": "null"}], "default": null}), json!({"type": ["string", "null"]})]
    {
        let tool = one(&nullable);
        assert_eq!(tool.args_type().to_string(), "{ a?: String }");
        assert!(check_args(&tool, &json!({"a": null})).is_ok() && check_args(&tool, &json!({"a": "x"})).is_ok());
        assert!(check_args(&tool, &json!({})).is_err() && check_args(&tool, &json!({"a": 1})).is_err());
    }
    let unseen = [
        (json!({"type": "number"}), "/a: it is a number that need not be whole, which Cedar does not have"),
        (json!({"type": "null"}), "/a: it is null, which Cedar does not have"),
        (json!({"type": ["string", "integer"]}), "/a: it is of more than one type"),
        (json!({"anyOf": [{"type": "string"}, {"type": "integer"}]}), "/a: it is of more than one type"),
        (json!({"enum": ["a", 1]}), "/a: its values are of more than one type"),
        (json!({"enum": [1], "type": "string"}), "/a: its type and its values differ"),
        (json!({}), "/a: its schema does not say its type"),
        (json!(true), "/a: its schema does not say its type"),
        (json!({"type": "array"}), "/a: it is an array whose items are not all of one type"),
        (json!({"type": "array", "items": {"type": "number"}}), "/a: it is an array of what Cedar has no type for"),
        (json!({"allOf": [{"type": "string"}]}), "/a: it is a combination of schemas"),
    ];
    for (property, want) in unseen {
        let tool = one(&property);
        assert_eq!(tool.args_type().to_string(), "{}", "{property}");
        assert_eq!(tool.unmapped().iter().map(ToString::to_string).collect::<Vec<_>>(), [want]);
    }
    let open = one(&json!({"type": "object", "additionalProperties": {"type": "string"}}));
    assert_eq!(open.unmapped()[0].at, "/a/*");
    assert!(check_args(&open, &json!({"a": {"x": "y"}})).is_ok());
    assert!(check_args(&open, &json!({"a": {"x": 1}})).is_err());
    assert!(check_args(&one(&json!({"type": "object"})), &json!({"a": {"x": 1}})).is_err());
}

#[test]
fn references_are_local() {
    let defs = json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/x"}, "b": {"$ref": "#/$defs/tree"}},
        "$defs": {"x": {"type": "integer", "maximum": 3},
            "tree": {"type": "object", "properties": {"v": {"type": "string"}, "next": {"$ref": "#/$defs/tree"}}}}});
    let tool = tool(&defs).unwrap();
    assert_eq!(tool.args_type().to_string(), "{ a?: Long, b?: { v?: String } }");
    assert_eq!(tool.unmapped()[0].to_string(), "/b/next: it is recursive, and Cedar's types are not");
    assert!(check_args(&tool, &json!({"a": 3, "b": {"next": {"next": {"v": "x"}}}})).is_ok());
    assert_eq!(check_args(&tool, &json!({"a": 4})).unwrap_err().to_string(), "/a: must be at most 3");
    assert_eq!(check_args(&tool, &json!({"b": {"next": {"v": 1}}})).unwrap_err().at, "/b/next/v");
    for target in ["#", "#/properties/a", "#/$defs/none", "#/$defs/x/y", "http://e.test/s", "file:///etc/passwd", ""] {
        let schema =
            json!({"type": "object", "properties": {"a": {"$ref": target}}, "$defs": {"x": {"type": "string"}}});
        let error = super::tests::tool(&schema).unwrap_err();
        assert_eq!(error.at, "/tools/0/inputSchema/properties/a/$ref", "{target}");
    }
}

#[test]
fn keywords_that_are_not_enforced_are_named() {
    let tool = tool(&json!({"type": "object", "x-vendor": 1, "if": {}, "properties": {
        "a": {"type": "string", "format": "email", "pattern": "^(?=x)"},
        "b": {"type": "object", "patternProperties": {"^x": {}}, "additionalProperties": false}}}))
    .unwrap();
    let mut at: Vec<&str> = tool.unchecked().iter().map(|r| r.at.trim_start_matches("/tools/0/inputSchema")).collect();
    at.sort_unstable();
    assert_eq!(
        at,
        ["/if", "/properties/a/format", "/properties/a/pattern", "/properties/b/patternProperties", "/x-vendor"]
    );
    assert!(check_args(&tool, &json!({"b": {"xy": 1}})).is_ok());
    for key in ["$id", "$anchor", "$dynamicRef", "$recursiveRef"] {
        let schema = json!({"type": "object", "properties": {"a": {key: "x"}}});
        assert!(super::tests::tool(&schema).unwrap_err().message.contains("refused"), "{key}");
    }
}

#[test]
fn constraints_hold() {
    let yes_no = [
        (json!({"type": "string", "minLength": 2, "maxLength": 3}), json!("éé"), json!("éééé")),
        (json!({"type": "string", "pattern": "^[a-z]+$"}), json!("ab"), json!("ab1")),
        (json!({"type": "string", "pattern": "b"}), json!("abc"), json!("ac")),
        (json!({"type": "integer", "exclusiveMinimum": 1}), json!(2), json!(1)),
        (
            json!({"type": "integer", "maximum": 9_007_199_254_740_993_i64}),
            json!(9_007_199_254_740_993_i64),
            json!(9_007_199_254_740_994_i64),
        ),
        (json!({"type": "number", "exclusiveMaximum": 0.5}), json!(0.25), json!(0.5)),
        (json!({"type": "integer", "multipleOf": 5}), json!(-10), json!(7)),
        (json!({"type": "array", "uniqueItems": true}), json!([1, "1"]), json!([1, 1.0])),
        (json!({"type": "array", "maxItems": 1}), json!([1]), json!([1, 2])),
        (
            json!({"type": "array", "prefixItems": [{"type": "string"}], "items": false}),
            json!(["a"]),
            json!(["a", "b"]),
        ),
        (
            json!({"type": "object", "maxProperties": 1, "additionalProperties": true}),
            json!({"x": 1}),
            json!({"x": 1, "y": 1}),
        ),
        (json!({"not": {"type": "string"}}), json!(1), json!("x")),
        (json!({"allOf": [{"minimum": 1}, {"maximum": 2}]}), json!(2), json!(3)),
        (json!({"oneOf": [{"minimum": 1}, {"maximum": 2}]}), json!(3), json!(2)),
        (json!({"anyOf": [{"type": "string"}, {"minimum": 2}]}), json!(2), json!(1)),
        (json!({"const": {"x": [1]}}), json!({"x": [1.0]}), json!({"x": [2]})),
        (json!({"enum": [1, "a", null]}), json!(null), json!(false)),
    ];
    for (schema, yes, no) in yes_no {
        let tool = one(&schema);
        assert_eq!(check_args(&tool, &json!({"a": yes})).err(), None, "{schema} {yes}");
        assert!(check_args(&tool, &json!({"a": no})).is_err(), "{schema} {no}");
    }
}

#[test]
fn faulty_lists_say_where() {
    let page = |text: &str| read_tools(text.as_bytes()).map(|_| ()).unwrap_err().to_string();
    let table = [
        ("", "EOF while parsing a value at line 1 column 0"),
        ("[]", "/tools: must be an array; give the answer to `tools/list`"),
        ("{\"tools\":{}}", "/tools: must be an array; give the answer to `tools/list`"),
        ("{\"tools\":[1]}", "/tools/0: a tool is an object, not a number"),
        ("{\"tools\":[{}]}", "/tools/0/name: must be a string; a tool needs a name"),
        (
            "{\"tools\":[{\"name\":\"a b\"}]}",
            "/tools/0/name: a tool's name has 1 to 128 of A-Z a-z 0-9 _ - . /; rename it at the server",
        ),
        ("{\"tools\":[{\"name\":\"a\"}]}", "/tools/0/inputSchema: must be a JSON Schema with `\"type\": \"object\"`"),
        (
            "{\"tools\":[{\"name\":\"a\",\"inputSchema\":{\"type\":\"object\",\"properties\":{\"x/y\":{\"type\":\"strin\"}}}}]}",
            "/tools/0/inputSchema/properties/x~1y/type: must be one or more of null, boolean, integer, number, string, array, object",
        ),
        ("{\"jsonrpc\":\"1.0\",\"result\":{\"tools\":[]}}", "/jsonrpc: must be \"2.0\""),
        (
            "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-1,\"message\":\"no\\n\"}}",
            "the server answered with an error: no\\n",
        ),
        ("{\"tools\":[],\"nextCursor\":1}", "/nextCursor: must be a string"),
    ];
    for (text, want) in table {
        assert_eq!(page(text), want, "{text}");
    }
    assert!(page("{\"tools\":[],\"tools\":[]}").starts_with("/tools: this key comes twice; leave one"));
    let two = json!({"tools": [{"name": "a", "inputSchema": {"type": "object"}}, {"name": "a", "inputSchema": {"type": "object"}}]});
    assert!(page(&two.to_string()).starts_with("/tools/1/name: this name comes twice"));
    assert_eq!(read_tools(b"{\"tools\":[],\"nextCursor\":\"x\"}").unwrap().next_cursor.as_deref(), Some("x"));
    for name in ["", "a.b", "A", "a b", &"a".repeat(65)] {
        assert!(McpServer::new(name, Vec::new()).is_err(), "{name}");
    }
}

#[test]
fn pins_tell_drift() {
    let base = filesystem();
    assert_eq!(pins(&base), pins(&filesystem()));
    assert_eq!(diff_pins(&pins(&base), &pins(&base)), []);
    let with = |from: &str, to: &str| {
        let text = LIST.replacen(from, to, 1);
        assert_ne!(text, LIST);
        pins(&McpServer::new("fs", read_tools(text.as_bytes()).unwrap().tools).unwrap())
    };
    let drift = |new: &Pins| diff_pins(&pins(&base), new).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(drift(&with("Move or rename.", "Move or rename!")), ["move_file: changed: description"]);
    assert_eq!(drift(&with("\"minItems\":1", "\"minItems\":2")), ["read_multiple_files: changed: inputSchema"]);
    assert_eq!(drift(&with("\"readOnlyHint\":true", "\"readOnlyHint\":false")), ["read_file: changed: annotations"]);
    assert_eq!(
        drift(&with("\"additionalProperties\":false", "\"additionalProperties\":true")),
        ["read_file: changed: outputSchema"]
    );
    assert_eq!(drift(&with("\"name\":\"move_file\"", "\"name\":\"mv\"")), ["move_file: removed", "mv: added"]);
    // Order of keys, spelling of numbers, and what is not pinned.
    assert!(drift(&with("\"minItems\":1", "\"minItems\":1.0")).is_empty());
    assert!(drift(&with("\"title\":\"Read File (Deprecated)\",", "")).is_empty());
    assert!(
        drift(&with(
            "{\"type\":\"string\",\"enum\":[\"name\",\"size\"]",
            "{\"enum\":[\"name\",\"size\"],\"type\":\"string\""
        ))
        .is_empty()
    );
    let text = serde_json::to_string(&pins(&base)).unwrap();
    assert_eq!(serde_json::from_str::<Pins>(&text).unwrap(), pins(&base));
}
