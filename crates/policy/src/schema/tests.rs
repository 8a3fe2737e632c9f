//! The table, the text, and contexts agree.

use super::*;
use crate::context::{chat_args, context, http_args, tcp_args, tool_args, with_argv};
use crate::facts::{Counts, Facts};
use crate::tool::{MAX_LIST, MAX_RANDOM, MAX_READ, Tool, ToolCall};
use cedar_policy::Schema;
use cedar_policy_core::ast::{Context, EntityUID, Request, Value};
use cedar_policy_core::extensions::Extensions;
use cedar_policy_core::validator::ValidatorSchema;
use serde_json::json;

fn schema() -> Schema {
    Schema::from_cedarschema_str(HOUSE).unwrap().0
}

/// Whether a request about an action, with a context as the decider makes it, is one of the schema.
pub(crate) fn request_conforms(
    schema: &Schema,
    kind: &str,
    action: &str,
    args: Value,
    facts: &Facts,
    rule: Option<&str>,
) -> Result<(), String> {
    let uid = |kind: &str, id: &str| (EntityUID::with_eid_and_type(kind, id).unwrap(), None);
    let context = Context::Value(context(args, rule, facts));
    let (agent, action) = (uid("Agent", "a"), uid("Action", action));
    let schema: &ValidatorSchema = schema.as_ref();
    let request = Request::new(agent, action, uid(kind, "x"), context, Some(schema), Extensions::all_available());
    request.map(drop).map_err(|e| e.to_string())
}

fn conforms(action: &Action, args: Value, facts: &Facts, rule: Option<&str>) -> Result<(), String> {
    request_conforms(&schema(), action.resource.name(), action.name, args, facts, rule)
}

/// A call's arguments with what is left out until a rule looks at it.
fn whole_args(call: &ToolCall) -> Value {
    let ToolCall::Exec { argv, .. } = call else { return tool_args(call) };
    let without = context(tool_args(call), None, &Facts::default());
    with_argv(&without, argv).get("args").unwrap().clone()
}

#[test]
fn the_house_schema_is_the_generated_one() {
    let found = schema_text(&actions().copied().collect::<Vec<_>>(), &[]);
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/schema/house.cedarschema");
    if std::env::var_os("STOCKADE_UPDATE_SCHEMA").is_some() {
        std::fs::write(file, &found).unwrap();
        return;
    }
    assert_eq!(found, HOUSE, "STOCKADE_UPDATE_SCHEMA=1 cargo test --release -p stockade-policy --lib schema");
    assert!(HOUSE.lines().all(|l| l.len() <= 120));
}

#[test]
fn the_table_has_every_tool_under_its_name_and_effect() {
    for tool in Tool::ALL {
        assert_eq!(action(tool).name, tool.name());
        assert_eq!(action(tool).effect, Some(tool.effect()));
    }
    assert_eq!(actions().count(), Tool::ALL.len() + EFFECTS.len());
}

#[test]
fn every_call_conforms() {
    let calls = [
        (Tool::Read, json!({"path": "a"})),
        (Tool::Read, json!({"path": ".", "offset": i64::MAX, "length": MAX_READ})),
        (Tool::Write, json!({"path": "a", "content": "x"})),
        (Tool::Write, json!({"path": "a", "content_base64": "eA==", "mode": "append"})),
        (Tool::List, json!({"path": "."})),
        (Tool::List, json!({"path": "\u{202e}é/ü", "limit": MAX_LIST})),
        (Tool::Stat, json!({"path": "a/b"})),
        (Tool::Clock, json!({})),
        (Tool::Random, json!({"length": MAX_RANDOM})),
        (Tool::Exec, json!({"argv": ["/bin/sh"]})),
        (Tool::Exec, json!({"argv": ["/bin/sh", "", "-c", "-c"], "timeout_ms": 1})),
    ];
    let busy = Counts { total: u64::MAX, tool: 1, minute: 1, minute_all: 1 };
    let other = Facts { approved: true, now: u64::MAX, calls: busy };
    for tool in Tool::ALL {
        assert!(calls.iter().any(|(t, _)| *t == tool), "no call of {tool:?}");
    }
    for (tool, given) in calls {
        let call = ToolCall::parse(tool, &given).unwrap();
        for (facts, rule) in [(Facts::default(), None), (other, Some("r\"1"))] {
            conforms(action(tool), whole_args(&call), &facts, rule).unwrap();
        }
    }
}

#[test]
fn every_effect_conforms() {
    let to = "[2001:db8::1]:443".parse().unwrap();
    let (method, path) =
        (crate::host::Method::from_call("get").unwrap(), crate::host::UrlPath::from_call("/%61").unwrap());
    let args = [
        ("egress.http", http_args("https", &to, &method, &path)),
        ("egress.tcp", tcp_args(&to)),
        ("model.chat", chat_args("small", None)),
        ("model.chat", chat_args("small", Some(u64::MAX))),
    ];
    for effect in &EFFECTS {
        assert!(args.iter().any(|(name, _)| *name == effect.name), "no call of {}", effect.name);
    }
    for (name, args) in args {
        let effect = EFFECTS.iter().find(|e| e.name == name).unwrap();
        conforms(effect, args, &Facts::default(), None).unwrap();
    }
}

#[test]
fn what_does_not_conform_is_noticed() {
    let call = ToolCall::parse(Tool::Read, &json!({"path": "a"})).unwrap();
    assert!(conforms(action(Tool::Stat), whole_args(&call), &Facts::default(), None).is_err());
    assert!(conforms(action(Tool::Write), whole_args(&call), &Facts::default(), None).is_err());
}
