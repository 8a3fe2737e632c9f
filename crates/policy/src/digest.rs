//! The name of a policy: SHA-256 of its resolved form in one spelling.
//!
//! Two texts have the same digest if and only if they ask for the same: comments, order of keys,
//! units and names of files do not count, limits, paths, rules and their ids do.

use crate::bundle::Rule;
use crate::model::ToolLimit;
use crate::path::PathRule;
use crate::resolve::{Entry, Resolved};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// First bytes of what is hashed; another form gets another line.
const DOMAIN: &str = "stockade policy v2\n";

/// `own_cells` are the digests of the policies that commands have of their own, by the id of each.
pub(crate) fn digest(policy: &Resolved, rules: &[Rule], own_cells: &[(String, String)]) -> String {
    let paths = |list: &[Entry<PathRule>]| {
        let mut paths: Vec<String> = list.iter().map(|e| e.value.to_string()).collect();
        paths.sort();
        paths.dedup();
        paths
    };
    let mut exec: Vec<Value> = policy.exec.iter().map(|(e, _)| json!([e.id, e.command, e.wall_ms])).collect();
    exec.sort_by_key(ToString::to_string);
    let mut rules: Vec<Value> = rules.iter().map(|r| json!([r.id, r.kind, r.code])).collect();
    rules.sort_by_key(ToString::to_string);
    let by_name = |values: Vec<Value>| {
        let mut values: Vec<Value> = values.into_iter().map(placeless).collect();
        values.sort_by_key(ToString::to_string);
        values
    };
    let env: Vec<_> = policy.env.iter().map(|(name, (value, _))| (name, value)).collect();
    let mut pass: Vec<&String> = policy.env_pass.iter().map(|name| &name.value).collect();
    pass.sort();
    pass.dedup();
    let mut unix: Vec<&String> = policy.unix.iter().map(|path| &path.value).collect();
    unix.sort();
    unix.dedup();
    let mut private: Vec<&String> = policy.private.iter().map(|entry| &entry.value).collect();
    private.sort();
    private.dedup();
    let mut form = json!([
        policy.id,
        policy.require,
        policy.limits,
        paths(&policy.read),
        paths(&policy.write),
        paths(&policy.deny),
        paths(&policy.execute),
        policy.workspaces.as_ref().map(|(folders, _)| folders),
        env,
        pass,
        exec,
        by_name(policy.egress.iter().map(|rule| json!(rule)).collect()),
        by_name(policy.ceiling_egress.iter().flatten().map(|rule| json!(rule)).collect()),
        unix,
        by_name(policy.mcp.iter().map(|rule| json!(rule)).collect()),
        by_name(policy.models.iter().map(|rule| json!(rule)).collect()),
        by_name(policy.secrets.iter().map(|rule| json!(rule)).collect()),
        by_name(policy.syscalls.iter().map(|rule| json!(rule)).collect()),
        policy.expires.0,
        private,
        policy.compact.as_ref().map(|time| time.value),
        policy.keep.as_ref().map(|time| time.value),
        rules,
    ]);
    // What came later stands behind, under a name, where it is asked for: a policy without it keeps its digest.
    let by_tool = |limits: &[Entry<ToolLimit>]| by_name(limits.iter().map(|limit| json!(limit.value)).collect());
    for (name, limits) in [("concurrent", &policy.concurrent), ("tool_wall", &policy.tool_walls)] {
        if let (Some(form), false) = (form.as_array_mut(), limits.is_empty()) {
            form.push(json!({ name: by_tool(limits) }));
        }
    }
    if let (Some(form), false) = (form.as_array_mut(), own_cells.is_empty()) {
        form.push(json!({ "exec": by_name(own_cells.iter().map(|own| json!(own)).collect()) }));
    }
    let mut text = String::from(DOMAIN);
    canonical(&form, &mut text);
    hex(text.as_bytes())
}

/// A rule without where it is written and why.
fn placeless(mut rule: Value) -> Value {
    if let Some(map) = rule.as_object_mut() {
        for key in ["origin", "reason", "why"] {
            map.remove(key);
        }
    }
    rule
}

/// SHA-256 in hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// JSON with sorted keys and no spaces.
pub(crate) fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Array(list) => {
            out.push('[');
            for item in list {
                canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            out.push('{');
            for key in keys {
                canonical(&Value::String(key.clone()), out);
                out.push(':');
                canonical(map.get(key).unwrap_or(&Value::Null), out);
                out.push(',');
            }
            out.push('}');
        }
        leaf => out.push_str(&leaf.to_string()),
    }
}
