//! Records as OpenTelemetry log records, in the JSON form of OTLP (opentelemetry-proto 1, `ExportLogsServiceRequest`).

use serde_json::{Value, json};
use stockade_journal::{Entry, Record, parse_time};

use super::told::{Weight, arguments, message, weight};
use super::{Scene, Under, kind};

/// A request to export log records of this host: what a collector's `otlpjsonfile` receiver reads from a line, and
/// what is posted to `/v1/logs`.
#[must_use]
pub fn request(records: Vec<Value>, host: &str) -> Value {
    let version = env!("CARGO_PKG_VERSION");
    json!({"resourceLogs": [{
        "resource": {"attributes": [
            text("service.name", "stockade"),
            text("service.version", version),
            text("host.name", host),
        ]},
        "scopeLogs": [{
            "scope": {"name": "stockade.journal", "version": version},
            "logRecords": records,
        }],
    }]})
}

/// A record. `hash` is its own.
#[must_use]
pub fn record(scene: &Scene, entry: &Entry, hash: &str, under: Option<&Under>) -> Value {
    // SeverityNumber: INFO, WARN, ERROR.
    let (number, severity) = match weight(&entry.record) {
        Weight::Info => (9, "INFO"),
        Weight::Warn => (13, "WARN"),
        Weight::Error => (17, "ERROR"),
    };
    // 64-bit numbers are strings in the JSON form of protobuf.
    let time = parse_time(&entry.time).and_then(|micros| micros.checked_mul(1000)).unwrap_or(0).max(0).to_string();
    json!({
        "timeUnixNano": time,
        "observedTimeUnixNano": time,
        "severityNumber": number,
        "severityText": severity,
        "eventName": format!("stockade.{}", kind(&entry.record)),
        "body": {"stringValue": message(entry, under)},
        "attributes": attributes(scene, entry, hash, under),
    })
}

fn attributes(scene: &Scene, entry: &Entry, hash: &str, under: Option<&Under>) -> Vec<Value> {
    let mut all =
        vec![text("stockade.run", &scene.run), number("stockade.seq", entry.seq), text("stockade.hash", hash)];
    if let Some(start) = &scene.start {
        all.push(text("stockade.agent", &start.agent));
        all.push(text("stockade.kind", &start.kind));
        all.push(text("stockade.policy", &start.policy));
    }
    let call = match &entry.record {
        Record::Call(call) => Some(call),
        _ => under.map(|under| &under.call),
    };
    if let Some(call) = call {
        all.push(text("gen_ai.tool.name", &call.tool));
        all.push(text("stockade.decision", &call.decision));
        all.push(list("stockade.rules", &call.rules));
        all.push(text("stockade.layer", &call.layer));
        all.push(text("stockade.policy.digest", &call.policy_digest));
        all.push(number("stockade.call.id", call.id));
    }
    match &entry.record {
        Record::Call(call) => {
            all.push(text("stockade.effect", &call.effect));
            all.push(text("stockade.reason", &call.reason));
            all.push(text("stockade.args", &arguments(&call.args)));
        }
        Record::Result(outcome) => {
            all.push(text("stockade.status", &outcome.status));
            all.push(number("stockade.micros", outcome.micros));
        }
        Record::Syscall(call) => {
            all.push(text("stockade.syscall", &call.name));
            all.push(text("stockade.verdict", &call.verdict));
            all.push(text("stockade.errno", &call.errno));
            all.push(number("stockade.repeated", call.repeated));
        }
        Record::Approval(approval) => {
            all.push(text("stockade.approval", &approval.state));
            all.push(number("stockade.approval.id", approval.id));
            all.push(text("stockade.action", &approval.action));
        }
        Record::Start(start) => {
            all.push(text("stockade.component.digest", &start.component_digest));
            all.push(text("stockade.plan.digest", &start.plan_digest));
            all.push(text("stockade.policy.digest", &start.policy_digest));
        }
        Record::Lifecycle { event, .. } => all.push(text("stockade.event", event)),
        Record::Log { level, .. } => all.push(text("stockade.level", level)),
        Record::Recovered { .. } => {}
        Record::Tombstone { leaf } => all.push(text("stockade.leaf", leaf)),
    }
    all
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn number(key: &str, value: u64) -> Value {
    // The field is a signed one.
    json!({"key": key, "value": {"intValue": i64::try_from(value).unwrap_or(i64::MAX).to_string()}})
}

fn list(key: &str, values: &[String]) -> Value {
    let values: Vec<_> = values.iter().map(|value| json!({"stringValue": value})).collect();
    json!({"key": key, "value": {"arrayValue": {"values": values}}})
}
