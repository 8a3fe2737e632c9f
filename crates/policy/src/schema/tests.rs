//! The table, the text, and contexts agree.

use super::*;
use crate::tool::{MAX_LIST, MAX_RANDOM, MAX_READ, Tool, ToolCall};
use cedar_policy::{Request, Schema};
use serde_json::json;

fn schema() -> Schema {
    Schema::from_cedarschema_str(HOUSE).unwrap().0
}

const COMMON: Common<'_> = Common {
    approved: false,
    now: Now { unix: 0 },
    calls: Calls { total: 0, tool: 0, minute: 0, minute_all: 0 },
    rule: None,
};

fn conforms(action: &Action, args: cedar_policy::RestrictedExpression, common: &Common<'_>) -> Result<(), String> {
    let uid = |text: String| text.parse::<cedar_policy::EntityUid>().unwrap();
    let resource = uid(format!("{}::\"x\"", action.resource.name()));
    let act = uid(format!("Action::\"{}\"", action.name));
    let context = context(args, common)?;
    let request = Request::new(uid("Agent::\"a\"".into()), act, resource, context, Some(&schema()));
    request.map(drop).map_err(|e| e.to_string())
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
    let busy = Calls { total: u64::MAX, tool: 1, minute: 1, minute_all: 1 };
    let other = Common { approved: true, now: Now { unix: i64::MIN }, calls: busy, rule: Some("r\"1") };
    for tool in Tool::ALL {
        assert!(calls.iter().any(|(t, _)| *t == tool), "no call of {tool:?}");
    }
    for (tool, given) in calls {
        let call = ToolCall::parse(tool, &given).unwrap();
        for common in [COMMON, other] {
            conforms(action(tool), args(&call).unwrap(), &common).unwrap();
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
        conforms(effect, args.unwrap(), &COMMON).unwrap();
    }
}

#[test]
fn what_does_not_conform_is_noticed() {
    let call = ToolCall::parse(Tool::Read, &json!({"path": "a"})).unwrap();
    assert!(conforms(action(Tool::Stat), args(&call).unwrap(), &COMMON).is_err());
    assert!(conforms(action(Tool::Write), args(&call).unwrap(), &COMMON).is_err());
}

#[test]
fn times_are_utc() {
    let at = |unix: i64| (Now { unix }.hour(), Now { unix }.minute(), Now { unix }.weekday());
    assert_eq!(at(0), (0, 0, 4));
    assert_eq!(at(-1), (23, 59, 3));
    // 2026-11-27T23:53:20Z, a Friday, and the Monday after.
    assert_eq!(at(1_795_823_600), (23, 53, 5));
    assert_eq!(at(1_795_823_600 + 3 * 86_400), (23, 53, 1));
    for unix in [i64::MIN, i64::MAX] {
        let (hour, minute, weekday) = at(unix);
        assert!((0..24).contains(&hour) && (0..60).contains(&minute) && (1..8).contains(&weekday));
    }
}
