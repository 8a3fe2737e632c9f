//! Approvals on the page.

use serde_json::Value;
use stockade_journal::Approval;

use super::page::Tone;
use super::text::cut;

/// How a state is to be read.
pub(super) fn tone(state: &str) -> Tone {
    match state {
        "approved" => Tone::Good,
        "denied" => Tone::Bad,
        _ => Tone::Odd,
    }
}

/// What there is to say besides tool and object.
pub(super) fn about(approval: &Approval) -> String {
    match approval.state.as_str() {
        "asked" => {
            format!("approval {} until {}: {}", approval.id, cut(&approval.expires, 30), cut(&approval.reason, 200))
        }
        _ => {
            let by = approval.by.as_ref().map(|by| format!(" by {}", who(by))).unwrap_or_default();
            format!("approval {}{by}: {}", approval.id, cut(&approval.reason, 200))
        }
    }
}

/// Who answered, in words.
pub(crate) fn who(by: &Value) -> String {
    let number = |key: &str| by.get(key).and_then(Value::as_i64);
    let uid = number("uid").map_or_else(|| "somebody".to_owned(), |uid| format!("uid {uid}"));
    match number("login_uid") {
        Some(login) => format!("{uid} (logged in as uid {login})"),
        None => uid,
    }
}
