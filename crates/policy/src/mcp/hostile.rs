//! A server that means harm: whatever it lists, and whatever is then called, ends soon and without a panic.

use super::filesystem::LIST;
use super::tests::{conforms, schema_of, tool};
use super::*;
use crate::host::spellings::Rng;
use serde_json::{Value, json};
use std::time::Instant;

/// Values of a call's shape, made of words that lists have.
fn value(rng: &mut Rng, depth: usize) -> Value {
    let keys = ["path", "edits", "oldText", "newText", "paths", "head", "__proto__", "x", "a", "sortBy", "tail"];
    match rng.below(if depth > 3 { 6 } else { 9 }) {
        0 => json!(null),
        1 => json!(rng.below(2) == 0),
        2 => json!(rng.next().cast_signed()),
        3 => json!(rng.next()),
        4 => json!(f64::from_bits(rng.next())),
        5 => json!(["name", "", "\u{0}", "é", "size"][rng.below(5)]),
        6 => (0..rng.below(4)).map(|_| value(rng, depth + 1)).collect(),
        _ => {
            let pairs = (0..rng.below(5)).map(|_| (keys[rng.below(keys.len())].to_owned(), value(rng, depth + 1)));
            Value::Object(pairs.collect())
        }
    }
}

/// Arguments that fit more often than not.
fn fitting(kind: &ArgType, rng: &mut Rng) -> Value {
    match kind {
        _ if rng.below(40) == 0 => value(rng, 0),
        ArgType::Bool => json!(rng.below(2) == 0),
        ArgType::Long => json!(rng.below(1_000)),
        ArgType::String => json!(["name", "size", "x", "é\u{0}", "/etc/passwd"][rng.below(5)]),
        ArgType::Set(items) => (0..rng.below(4)).map(|_| fitting(items, rng)).collect(),
        ArgType::Record(fields) => record(fields, rng),
    }
}

fn record(fields: &Fields, rng: &mut Rng) -> Value {
    let mut map = serde_json::Map::new();
    for (name, (kind, required)) in &fields.fields {
        if *required || rng.below(2) == 0 {
            map.insert(name.clone(), fitting(kind, rng));
        }
    }
    Value::Object(map)
}

fn mutate(rng: &mut Rng) -> Vec<u8> {
    let mut bytes = LIST.as_bytes().to_vec();
    let words: [&[u8]; 16] = [
        b"\"x\":{},",
        b"\"default\":null,",
        b"\"$ref\":\"#/$defs/a\",",
        b"\"type\":\"number\",",
        b"\"anyOf\":[{\"type\":\"null\"}],",
        b"[[[[",
        b"{\"a\":",
        b"\"__proto__\":{},",
        b"99999999999999999999",
        b"\"enum\":[1,\"a\"],",
        b"\"pattern\":\"(a*)*b\",",
        b"\\u0000",
        b"true",
        b"null",
        b"-1e999",
        b"\xff\xfe",
    ];
    for _ in 0..=rng.below(3) {
        let at = rng.below(bytes.len());
        // Most of the time where a key may stand, so that the text stays JSON.
        let at = match rng.below(6) {
            0 => at,
            _ => bytes.iter().skip(at).position(|b| *b == b'{').map_or(at, |n| at + n + 1),
        };
        match rng.below(12) {
            0 => bytes[at.min(LIST.len() / 2)] ^= 1 << rng.below(8),
            1 => drop(bytes.drain(at..(at + rng.below(30)).min(bytes.len()))),
            _ => drop(bytes.splice(at..at, words[rng.below(words.len())].iter().copied())),
        }
    }
    bytes
}

#[test]
fn mutations_are_read_or_refused_and_what_is_read_works() {
    let mut rng = Rng(11);
    let (mut read, mut refused, mut called) = (0, 0, 0);
    for _ in 0..4_000 {
        let Ok(page) = read_tools(&mutate(&mut rng)) else {
            refused += 1;
            continue;
        };
        read += 1;
        let server = McpServer::new("fs", page.tools).unwrap();
        drop(pins(&server));
        let schema = (read % 8 == 0).then(|| schema_of(server.clone()));
        for tool in server.tools() {
            for round in 0..4 {
                let args = if round == 0 { value(&mut rng, 0) } else { record(tool.args_type(), &mut rng) };
                let Ok(args) = check_args(tool, &args) else { continue };
                called += 1;
                if let Some(schema) = &schema {
                    conforms(&server, schema, tool, args);
                }
            }
        }
    }
    assert!(read > 400 && refused > 500 && called > 2_000, "{read} read, {refused} refused, {called} called");
}

#[test]
fn depth_and_size_are_bounded() {
    let schema = |inner: String| format!("{{\"tools\":[{{\"name\":\"t\",\"inputSchema\":{inner}}}]}}");
    let deep = |n: usize| format!("{{\"type\":\"object\",\"x\":{}{}}}", "[".repeat(n), "]".repeat(n));
    assert!(read_tools(schema(deep(30)).as_bytes()).is_ok());
    for n in [60, 1_000, 300_000] {
        let error = read_tools(schema(deep(n)).as_bytes()).unwrap_err();
        assert!(error.message.contains("nested deeper than 48"), "{error:.300}");
    }
    let mut nested = json!({"type": "string"});
    for _ in 0..20 {
        nested = json!({"type": "object", "properties": {"a": nested}});
    }
    let tool_deep = tool(&nested).unwrap();
    assert!(tool_deep.unmapped().iter().any(|r| r.why.contains("too deeply")));
    let mut args = json!("x");
    for _ in 0..200 {
        args = json!([args]);
    }
    assert!(check_args(&tool_deep, &json!({"a": args})).unwrap_err().message.contains("nested deeper"));
    assert!(read_tools(&vec![b' '; MAX_JSON + 1]).unwrap_err().message.contains("at most 1048576"));
    let many: Vec<Value> =
        (0..=MAX_TOOLS).map(|n| json!({"name": format!("t{n}"), "inputSchema": {"type": "object"}})).collect();
    assert!(read_tools(json!({"tools": many}).to_string().as_bytes()).unwrap_err().message.starts_with("257 tools"));
    let huge: Vec<String> = (0..5_000).map(|n| format!("v{n}")).collect();
    let enumeration = json!({"type": "object", "properties": {"a": {"enum": huge}}});
    assert!(tool(&enumeration).unwrap_err().message.starts_with("5000 values; at most 4096"));
    let wide: serde_json::Map<String, Value> =
        (0..4_000).map(|n| (format!("p{n}"), json!({"type": "string"}))).collect();
    let wide = tool(&json!({"type": "object", "properties": wide})).unwrap();
    assert_eq!(wide.args_type().fields.len(), 512);
    assert!(wide.unmapped().len() <= 513 && check_args(&wide, &json!({"p3999": "x"})).is_ok());
    schema_of(McpServer::new("s", vec![wide]).unwrap());
}

#[test]
fn definitions_that_multiply_end_soon() {
    let started = Instant::now();
    let chain = |one: &dyn Fn(&str) -> Value| {
        let mut defs: serde_json::Map<String, Value> =
            (0..30).map(|n| (format!("d{n}"), one(&format!("#/$defs/d{}", n + 1)))).collect();
        defs.insert("d30".into(), json!({"type": "string"}));
        json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": defs})
    };
    let many = |r: &str| vec![json!({"$ref": r}); 40];
    let shapes: [Value; 5] = [
        chain(&|r| json!({"type": "object", "properties": {"l": {"$ref": r}, "r": {"$ref": r}}})),
        chain(&|r| json!({"anyOf": many(r)})),
        chain(&|r| json!({"oneOf": many(r)})),
        chain(&|r| json!({"allOf": many(r)})),
        chain(&|r| json!({"not": {"anyOf": many(r)}})),
    ];
    for shape in shapes {
        let tool = tool(&shape).unwrap();
        for args in [json!({"a": 1}), json!({"a": "x"}), json!({"a": {"l": {"r": {"l": 1}}}})] {
            drop(check_args(&tool, &args));
        }
        schema_of(McpServer::new("s", vec![tool]).unwrap());
    }
    // What goes round without ever coming to a value is no yes, and neither is its opposite.
    for turn in
        [json!({"$ref": "#/$defs/a"}), json!({"not": {"$ref": "#/$defs/a"}}), json!({"anyOf": [{"$ref": "#/$defs/a"}]})]
    {
        let round = json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": turn}});
        let tool = tool(&round).unwrap();
        assert!(check_args(&tool, &json!({"a": 1})).unwrap_err().message.contains("takes too long"));
    }
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

#[test]
fn patterns_are_bounded_in_cost() {
    let started = Instant::now();
    let of =
        |pattern: &str| tool(&json!({"type": "object", "properties": {"a": {"type": "string", "pattern": pattern}}}));
    let slow = of("^(a+)+$").unwrap();
    assert!(check_args(&slow, &json!({"a": format!("{}b", "a".repeat(100_000))})).is_err());
    assert!(
        check_args(&slow, &json!({"a": "a".repeat(300_000)})).unwrap_err().message.contains("a string with a pattern")
    );
    assert_eq!(of("((a{1000}){1000}){1000}").unwrap().unchecked().len(), 1);
    assert_eq!(of("(").unwrap().unchecked().len(), 1);
    assert!(of(&"a".repeat(2_000)).is_err());
    let many: serde_json::Map<String, Value> =
        (0..100).map(|n| (format!("p{n}"), json!({"type": "string", "pattern": "a"}))).collect();
    assert!(tool(&json!({"type": "object", "properties": many})).is_err());
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

#[test]
fn names_are_only_names() {
    let names = [
        "__proto__",
        "constructor",
        "__entity",
        "__extn",
        "__cedar",
        "",
        "a\"b",
        "a\\",
        "}; permit",
        "é",
        "//",
        "\u{202e}",
    ];
    for name in names {
        let schema = json!({"type": "object", "properties": {name: {"type": "string"}}, "required": [name]});
        match tool(&schema) {
            Err(error) => assert!(name.is_empty(), "{error}"),
            Ok(tool) => {
                let server = McpServer::new("s", vec![tool]).unwrap();
                let schema = schema_of(server.clone());
                let tool = &server.tools()[0];
                conforms(&server, &schema, tool, check_args(tool, &json!({name: "x"})).unwrap());
                assert!(check_args(tool, &json!({name: {"type": "A", "id": "b"}})).is_err());
            }
        }
    }
    // A comment of the generated text cannot be left by a name.
    let open = json!({"type": "object", "properties": {"a\u{2028}action \"x\"": {"type": "number"}}});
    schema_of(McpServer::new("s", vec![tool(&open).unwrap()]).unwrap());
    assert!(tool(&json!({"type": "object", "properties": {"a\nb": {}}})).is_err());
    assert!(strict_json(b"{\"a\":{\"b\":1,\"b\":2}}").unwrap_err().message.starts_with("/a/b: this key comes twice"));
    assert!(strict_json(b"{\"a\":1,\"\\u0061\":2}").unwrap_err().message.starts_with("/a: this key comes twice"));
    assert!(strict_json(b"{} {}").is_err() && strict_json(b"1e999").is_err());
}

#[test]
fn the_largest_server_loads() {
    // Each tool doubles its way to as many fields as there may be, from few bytes.
    let mut defs = serde_json::Map::new();
    for n in 0..8 {
        let below = json!({"$ref": format!("#/$defs/d{}", n + 1)});
        defs.insert(format!("d{n}"), json!({"type": "object", "properties": {"l": below, "r": below}}));
    }
    defs.insert("d8".into(), json!({"type": "string"}));
    let schema = json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": defs});
    let tools: Vec<Value> =
        (0..MAX_TOOLS).map(|n| json!({"name": format!("t{n}"), "inputSchema": schema.clone()})).collect();
    let started = Instant::now();
    let page = read_tools(json!({"tools": tools}).to_string().as_bytes()).unwrap();
    let count = page.tools[0].args_type().count();
    assert_eq!(count, 511);
    let error = McpServer::new("s", page.tools.clone()).unwrap_err();
    assert!(error.message.starts_with("its tools have 130816 arguments"), "{error}");
    schema_of(McpServer::new("s", page.tools.into_iter().take(8192 / count).collect()).unwrap());
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}
