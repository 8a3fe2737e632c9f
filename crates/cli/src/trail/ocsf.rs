//! Records as events of the Open Cybersecurity Schema Framework 1.8.0 (<https://schema.ocsf.io/1.8.0/>).
//!
//! Workspace tools are File System Activity (1001), `exec` is Process Activity (1007), other tools are API Activity
//! (6003), refused system calls Kernel Activity (1003), and what is said of a run itself Application Lifecycle (6002).
//! A call's event is its decision, its result's event what became of it; `metadata.correlation_uid` is the run,
//! `metadata.uid` the record.

use serde_json::{Map, Value, json};
use stockade_journal::{Call, Entry, Payload, Record, Syscall, parse_time};

use super::told::{Weight, message, weight};
use super::{Scene, Under};

/// The schema's version.
const VERSION: &str = "1.8.0";

/// Class and activity, and the attributes that the class has.
struct Event {
    class: u64,
    activity: u64,
    attributes: Map<String, Value>,
}

const FILE: u64 = 1001;
const KERNEL: u64 = 1003;
const PROCESS: u64 = 1007;
const APPLICATION: u64 = 6002;
const API: u64 = 6003;

/// Activity of a class that has no number of its own for it.
const OTHER: u64 = 99;

/// The event of a record. `hash` is the record's, `host` this machine's name.
#[must_use]
pub fn ocsf(scene: &Scene, entry: &Entry, hash: &str, under: Option<&Under>, host: &str) -> Value {
    let (agent, component) = match &scene.start {
        Some(start) => (start.agent.as_str(), start.component_digest.as_str()),
        None => ("unknown", ""),
    };
    let Event { class, activity, mut attributes } = event(scene, entry, under);
    let uid = format!("{}:{}", scene.run, entry.seq);
    let severity = match weight(&entry.record) {
        Weight::Info => 1,
        Weight::Warn => 2,
        Weight::Error => 3,
    };
    let mut put = |key: &str, value: Value| {
        attributes.entry(key).or_insert(value);
    };
    put("activity_id", activity.into());
    put("category_uid", (class / 1000).into());
    put("class_uid", class.into());
    put("type_uid", (class * 100 + activity).into());
    put("severity_id", severity.into());
    put("status_id", 0.into());
    // The schema's times are milliseconds.
    put("time", parse_time(&entry.time).unwrap_or(0).div_euclid(1000).into());
    put("message", message(entry, under).into());
    put("device", json!({"hostname": host, "type_id": 0}));
    put("actor", json!({"app_name": agent, "app_uid": component}));
    if class == API {
        put("src_endpoint", json!({"name": agent, "uid": scene.run}));
    }
    if class == APPLICATION {
        put("app", json!({"name": agent, "uid": component}));
    }
    put(
        "metadata",
        json!({
            "version": VERSION,
            "profiles": ["host", "security_control"],
            "product": {"name": "Stockade", "vendor_name": "Stockade", "version": env!("CARGO_PKG_VERSION")},
            "log_name": "journal",
            "uid": uid,
            "sequence": entry.seq,
            "correlation_uid": scene.run,
            "original_time": entry.time,
        }),
    );
    put("unmapped", json!({"run": scene.run, "seq": entry.seq, "hash": hash, "prev": entry.prev}));
    Value::Object(attributes)
}

fn event(scene: &Scene, entry: &Entry, under: Option<&Under>) -> Event {
    match &entry.record {
        Record::Call(call) => {
            let mut event = of_call(scene, call, entry.seq);
            decided(&mut event.attributes, scene, call);
            event
        }
        Record::Result(outcome) => {
            let mut event = match under {
                Some(under) => of_call(scene, &under.call, under.seq),
                None => {
                    Event { class: API, activity: OTHER, attributes: object(json!({"api": {"operation": "unknown"}})) }
                }
            };
            if event.class == PROCESS {
                // It has ended.
                event.activity = 2;
            }
            if let Some(under) = under {
                decided(&mut event.attributes, scene, &under.call);
            }
            let status = match outcome.status.as_str() {
                "ok" => 1,
                "unknown" => 0,
                _ => 2,
            };
            event.attributes.insert("status_id".to_owned(), status.into());
            event.attributes.insert("status_code".to_owned(), outcome.status.clone().into());
            event.attributes.insert("duration".to_owned(), (outcome.micros / 1000).into());
            event
        }
        Record::Syscall(call) => of_syscall(scene, call),
        Record::Start(_) => Event { class: APPLICATION, activity: 3, attributes: object(json!({"status_id": 1})) },
        Record::Lifecycle { event, .. } if matches!(event.as_str(), "exit" | "reclaimed") => {
            Event { class: APPLICATION, activity: 4, attributes: Map::new() }
        }
        Record::Lifecycle { event, .. } => named(event),
        Record::Approval(approval) => named(&format!("approval {}", approval.state)),
        Record::Log { .. } => named("log"),
        Record::Recovered { .. } => named("recovered"),
        Record::Tombstone { .. } => named("tombstone"),
    }
}

/// Something of a run's life that the schema has no activity for.
fn named(activity: &str) -> Event {
    Event { class: APPLICATION, activity: OTHER, attributes: object(json!({"activity_name": activity})) }
}

/// What a call is about.
fn of_call(scene: &Scene, call: &Call, seq: u64) -> Event {
    let args = match &call.args {
        Payload::Inline(args) => args,
        Payload::Blob { .. } | Payload::Private { .. } => &Value::Null,
    };
    let text = |key: &str| args.get(key).and_then(Value::as_str);
    // Create, read, update, delete; type of the file: unknown, regular, folder.
    let file = |activity: u64, kind: u64| {
        let path = text("path").unwrap_or_default();
        let name = path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("(not recorded)");
        let file = json!({"name": name, "path": format!("@workspace/{path}"), "type_id": kind});
        Event { class: FILE, activity, attributes: object(json!({"file": file})) }
    };
    match call.tool.as_str() {
        "workspace.read" => file(2, 1),
        "workspace.list" => file(2, 2),
        "workspace.stat" => file(8, 0),
        "workspace.write" if text("mode") == Some("create") => file(1, 1),
        "workspace.write" => file(3, 1),
        "exec" => {
            let argv: Vec<&str> =
                args.get("argv").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
            let program = argv.first().copied().unwrap_or("(not recorded)");
            let name = program.rsplit('/').next().unwrap_or(program);
            let uid = format!("{}:{seq}", scene.run);
            let process = json!({"uid": uid, "name": name, "path": program, "cmd_line": argv.join(" ")});
            Event { class: PROCESS, activity: 1, attributes: object(json!({"process": process})) }
        }
        tool => {
            let activity = match call.effect.as_str() {
                "read" => 2,
                "write" => 3,
                _ => OTHER,
            };
            let api = json!({"operation": tool, "service": {"name": "stockade"}});
            Event { class: API, activity, attributes: object(json!({"api": api})) }
        }
    }
}

/// The decision, in the attributes of the profile `security_control`.
fn decided(attributes: &mut Map<String, Value>, scene: &Scene, call: &Call) {
    let allowed = call.decision == "allow";
    let name = scene.start.as_ref().map_or("unknown", |start| start.policy.as_str());
    let policy = json!({"name": name, "uid": call.policy_digest});
    attributes.extend(object(json!({
        "action_id": if allowed { 1 } else { 2 },
        "disposition_id": if allowed { 1 } else { 2 },
        "policy": policy,
        "status_id": if allowed { 0 } else { 2 },
        "status_detail": call.reason,
        "authorizations": [{"decision": call.decision, "policy": {"name": call.rules.join(", "), "uid": call.policy_digest}}],
    })));
}

fn of_syscall(scene: &Scene, call: &Syscall) -> Event {
    let policy = scene.start.as_ref().map(|start| json!({"name": start.policy, "uid": start.policy_digest}));
    let mut attributes = object(json!({
        "kernel": {"name": call.name, "system_call": call.name, "type_id": 2},
        "action_id": 2,
        "disposition_id": 2,
        "status_id": 2,
        "status_code": call.errno,
        "count": 1 + call.repeated,
    }));
    attributes.extend(policy.map(|policy| ("policy".to_owned(), policy)));
    Event { class: KERNEL, activity: 4, attributes }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
