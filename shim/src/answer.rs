//! What a call is answered.

use serde_json::{Value, json};
use stockade_wire::frame::Status;

/// A status and its body.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// How it ended.
    pub status: Status,
    /// JSON for the agent and the journal.
    pub body: Value,
}

impl Answer {
    /// The tool did it.
    #[must_use]
    pub fn ok(body: Value) -> Self {
        Self { status: Status::Ok, body }
    }

    /// The tool did not do it. `code` is stable, `message` is for people and models. (A denial's body
    /// is the policy's, and has `denied` for its `error`.)
    #[must_use]
    pub fn error(status: Status, code: &str, message: &str) -> Self {
        Self { status, body: json!({ "error": code, "message": message }) }
    }

    /// The arguments do not fit.
    #[must_use]
    pub fn invalid(message: &str) -> Self {
        Self::error(Status::Invalid, "invalid", message)
    }

    /// The body as the agent gets it: keys in the order of their bytes, as the journal has them, so that who reads the
    /// answer there reads what the agent got.
    #[must_use]
    pub fn into_text(self) -> Vec<u8> {
        let mut body = self.body;
        body.sort_all_objects();
        // Serialising a value cannot fail.
        serde_json::to_vec(&body).unwrap_or_default()
    }

    /// The status as the journal says it.
    #[must_use]
    pub fn status_name(&self) -> &'static str {
        status_name(self.status)
    }
}

/// A status as the journal says it.
pub(crate) fn status_name(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok",
        Status::Denied => "denied",
        Status::Invalid => "invalid",
        Status::Failed => "failed",
        Status::Limit => "limit",
    }
}
