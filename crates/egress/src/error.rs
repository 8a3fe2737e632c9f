//! What goes wrong: with this process, and with one request or connection.

use serde_json::{Value, json};
use stockade_wire::egress::Outcome;

/// This process cannot go on.
#[derive(Debug)]
pub struct Fatal(pub String);

/// Why a request or connection did not come about.
#[derive(Debug, Clone, PartialEq)]
pub enum Refusal {
    /// The shim says no; its words for the agent.
    Denied(Value),
    /// It was granted and failed.
    Failed {
        /// A stable word.
        code: &'static str,
        /// For people.
        message: String,
    },
}

impl Refusal {
    /// A failure.
    pub fn failed(code: &'static str, message: impl Into<String>) -> Self {
        Self::Failed { code, message: message.into() }
    }

    /// Status of the HTTP answer that says so (RFC 9110, 15).
    pub fn status(&self) -> u16 {
        match self {
            Self::Denied(_) | Self::Failed { code: "sni" | "no_tls" | "secret_came_back", .. } => 403,
            Self::Failed { code: "timeout", .. } => 504,
            Self::Failed { code: "bad_request", .. } => 400,
            Self::Failed { code: "busy", .. } => 503,
            Self::Failed { .. } => 502,
        }
    }

    /// Body of that answer.
    pub fn body(&self) -> Value {
        match self {
            Self::Denied(body) if body.is_object() => body.clone(),
            Self::Denied(_) => json!({ "error": "denied" }),
            Self::Failed { code, message } => json!({ "error": code, "message": message }),
        }
    }

    /// Adds it to what is told of the end.
    pub fn tell(&self, outcome: &mut Outcome) {
        match self {
            Self::Denied(_) => outcome.error = Some("denied".to_owned()),
            Self::Failed { code, message } => {
                outcome.error = Some((*code).to_owned());
                outcome.message = Some(message.clone());
            }
        }
    }
}
