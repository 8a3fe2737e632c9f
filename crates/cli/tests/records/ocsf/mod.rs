//! Events against the official schema, of which `1.8.0.json` is a part.

use serde_json::{Value, json};
use stockade_journal::{Payload, Record};

use crate::{Place, call, errors, exit, inline, lines, result, syscall};

/// What an event has that the schema does not allow, or has not that it wants.
fn misfits(schema: &Value, event: &Value) -> Vec<String> {
    let class = &schema["classes"][event["class_uid"].to_string()];
    if class.is_null() {
        return vec![format!("unknown class {}", event["class_uid"])];
    }
    let mut wrong = Vec::new();
    let profiles: Vec<&str> =
        event["metadata"]["profiles"].as_array().unwrap().iter().flat_map(Value::as_str).collect();
    check(schema, class, event, &profiles, "event", &mut wrong);
    let (class_uid, activity) = (event["class_uid"].as_u64().unwrap(), event["activity_id"].as_u64().unwrap());
    if event["category_uid"] != class["category_uid"] {
        wrong.push("category_uid".to_owned());
    }
    if event["type_uid"] != json!(class_uid * 100 + activity) {
        wrong.push("type_uid".to_owned());
    }
    wrong
}

fn check(schema: &Value, of: &Value, value: &Value, profiles: &[&str], at: &str, wrong: &mut Vec<String>) {
    let known = of["attributes"].as_object().unwrap();
    let Some(has) = value.as_object() else { return wrong.push(format!("{at}: no object")) };
    for (name, attribute) in known {
        let in_profile = attribute["profiles"]
            .as_array()
            .is_none_or(|of| of.iter().flat_map(Value::as_str).any(|profile| profiles.contains(&profile)));
        if attribute["requirement"] == "required" && in_profile && !has.contains_key(name) {
            wrong.push(format!("{at}.{name}: required"));
        }
    }
    if let Some(any) = of["constraints"]["at_least_one"].as_array()
        && !any.iter().flat_map(Value::as_str).any(|name| has.contains_key(name))
    {
        wrong.push(format!("{at}: none of {any:?}"));
    }
    for (name, value) in has {
        let at = format!("{at}.{name}");
        let Some(attribute) = known.get(name) else {
            wrong.push(format!("{at}: unknown"));
            continue;
        };
        let items = match (attribute["is_array"] == true, value) {
            (true, Value::Array(items)) => items.iter().collect(),
            (false, value) if !value.is_array() => vec![value],
            _ => {
                wrong.push(format!("{at}: list or not"));
                continue;
            }
        };
        for item in items {
            let fits = match attribute["type"].as_str().unwrap() {
                "object_t" if name == "unmapped" => item.is_object(),
                "object_t" => {
                    let object = &schema["objects"][attribute["object_type"].as_str().unwrap()];
                    check(schema, object, item, profiles, &at, wrong);
                    true
                }
                "integer_t" | "long_t" | "timestamp_t" => item.is_i64(),
                "boolean_t" => item.is_boolean(),
                _ => item.is_string(),
            };
            let listed = attribute["enum"].as_array().is_none_or(|of| of.contains(&json!(item.to_string())));
            if !fits || !listed {
                wrong.push(format!("{at}: {item} does not fit"));
            }
        }
    }
}

fn place() -> Place {
    let place = Place::new();
    let mut writer = place.begin("r-1", "wasm");
    let log = |level: &str| Record::Log { level: level.into(), message: "m".into(), dropped: 0 };
    for record in [
        call(1, "workspace.read", inline(json!({"path": "a/b.txt"})), None),
        result(1, "ok"),
        call(2, "workspace.write", inline(json!({"path": "c", "mode": "create", "content": ""})), None),
        result(2, "failed"),
        call(3, "workspace.list", inline(json!({"path": "."})), None),
        call(4, "workspace.stat", Payload::Private { sha256: "ab".repeat(32), size: 3 }, None),
        call(5, "exec", inline(json!({"argv": ["/usr/bin/git", "push"]})), Some("policy")),
        result(5, "denied"),
        call(6, "exec", Payload::Blob { sha256: "ab".repeat(32), size: 3 }, None),
        result(6, "unknown"),
        call(7, "mcp.git.push", inline(json!([])), Some("policy")),
        call(8, "clock", inline(json!({})), None),
        result(8, "ok"),
        result(99, "ok"),
        syscall("bpf", 4),
        log("info"),
        log("error"),
        Record::Lifecycle { event: "tool_started".into(), detail: json!({"cell": 1}) },
        Record::Recovered { cut_bytes: 3, cut_sha256: "ab".repeat(32) },
        exit(),
    ] {
        writer.append(record).unwrap();
    }
    place
}

#[test]
fn every_kind_of_record_is_an_event_that_the_schema_knows() {
    let schema: Value = serde_json::from_str(include_str!("1.8.0.json")).unwrap();
    for args in [&["query"][..], &["show", "last"], &["tail", "-n", "100"]] {
        let output = place().stockade(&[&["journal"], args, &["--format", "ocsf"]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
        let events = lines(&output);
        assert_eq!(events.len(), 21);
        for event in &events {
            assert_eq!(misfits(&schema, event), [""; 0], "{event:#}");
        }
        let classes: Vec<_> = events.iter().map(|event| event["type_uid"].as_u64().unwrap()).collect();
        let expected = [
            600_203, 100_102, 100_102, 100_101, 100_101, 100_102, 100_108, 100_701, 100_702, 100_701, 100_702, 600_302,
            600_302, 600_302, 600_399, 100_304, 600_299, 600_299, 600_299, 600_299, 600_204,
        ];
        assert_eq!(classes, expected);
        let denied = &events[7];
        assert_eq!(
            (&denied["action_id"], &denied["disposition_id"], &denied["status_id"]),
            (&json!(2), &json!(2), &json!(2))
        );
        assert_eq!(denied["process"]["cmd_line"], "/usr/bin/git push");
        assert_eq!(events[1]["file"]["path"], "@workspace/a/b.txt");
    }
}

#[test]
fn the_check_finds_what_does_not_fit() {
    let schema: Value = serde_json::from_str(include_str!("1.8.0.json")).unwrap();
    let event = &lines(&place().stockade(&["journal", "query", "--format", "ocsf", "--type", "syscall"]))[0];
    for (pointer, value) in [
        ("/kernel", Value::Null),
        ("/time", json!("now")),
        ("/action_id", json!(17)),
        ("/category_uid", json!(6)),
        ("/kernel/more", json!(1)),
    ] {
        let mut changed = event.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = changed.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        if value.is_null() {
            parent.remove(name)
        } else {
            parent.insert(name.to_owned(), value)
        };
        assert_ne!(misfits(&schema, &changed), [""; 0], "{pointer}");
    }
}

#[test]
fn otlp_lines_are_export_requests() {
    let output = place().stockade(&["journal", "query", "--format", "otlp"]);
    let requests = lines(&output);
    assert_eq!(requests.len(), 21);
    for request in &requests {
        let record = &request["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
        assert!(record["timeUnixNano"].as_str().unwrap().parse::<u64>().unwrap() > 1_700_000_000_000_000_000);
        assert!([9, 13, 17].contains(&record["severityNumber"].as_u64().unwrap()));
        for attribute in record["attributes"].as_array().unwrap() {
            let (kind, value) = attribute["value"].as_object().unwrap().iter().next().unwrap();
            match kind.as_str() {
                "stringValue" => assert!(value.is_string()),
                "intValue" => assert!(value.as_str().unwrap().parse::<i64>().is_ok()),
                "arrayValue" => assert!(value["values"].is_array()),
                other => panic!("{other}"),
            }
        }
    }
}
