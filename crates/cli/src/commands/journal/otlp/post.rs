//! OTLP over HTTP (opentelemetry-proto, "OTLP/HTTP"): requests, retries, partial success.

use std::time::Duration;

use serde::Deserialize;
use ureq::http::StatusCode;

use crate::failure::Failure;
use crate::say::say;
use crate::screen::plain;

/// Attempts of one request.
const ATTEMPTS: u32 = 6;

/// Longest time of one attempt.
const TIME: Duration = Duration::from_secs(30);

/// Longest pause between two attempts, whatever the collector asks for.
const PAUSE: Duration = Duration::from_secs(60);

/// Longest answer that is read, in bytes.
const ANSWER: u64 = 64 * 1024;

/// A collector's door for logs.
pub(super) struct Collector {
    agent: ureq::Agent,
    url: String,
    headers: Vec<(String, String)>,
}

/// How an attempt went wrong.
struct Miss {
    why: String,
    /// Whether it is worth another, and after how long if the collector says.
    again: Option<Option<Duration>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Answer {
    partial_success: Option<PartialSuccess>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct PartialSuccess {
    /// A 64-bit number: a string in the JSON form of protobuf, but numbers are taken too.
    rejected_log_records: serde_json::Value,
    error_message: String,
}

impl Collector {
    /// At `endpoint`, whose path `/v1/logs` is added if it is not there. Nothing is sent yet.
    pub(super) fn new(endpoint: &str, headers: &[(String, String)]) -> Result<Self, Failure> {
        if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
            return Err(Failure::usage("--endpoint: a URL that begins with http:// or https://"));
        }
        let base = endpoint.trim_end_matches('/');
        let url = if base.ends_with("/v1/logs") { base.to_owned() } else { format!("{base}/v1/logs") };
        // What is posted goes where the operator said, and nowhere else.
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(TIME))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .user_agent(concat!("stockade/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self { agent: config.into(), url, headers: headers.to_vec() })
    }

    /// Posts a request until the collector takes it, and gives the number of records that it rejected.
    pub(super) fn post(&self, request: &str) -> Result<u64, String> {
        let mut attempt = 1;
        loop {
            let miss = match self.once(request) {
                Ok(rejected) => return Ok(rejected),
                Err(miss) => miss,
            };
            let Some(asked) = miss.again.filter(|_| attempt < ATTEMPTS) else {
                return Err(format!("{}: {} (attempt {attempt})", self.url, miss.why));
            };
            let pause = asked.unwrap_or(Duration::from_millis(500 << attempt)).min(PAUSE);
            say(&format!("stockade: {}: {}; again in {} s", plain(&self.url), plain(&miss.why), pause.as_secs_f32()));
            std::thread::sleep(pause);
            attempt += 1;
        }
    }

    fn once(&self, body: &str) -> Result<u64, Miss> {
        let mut request = self.agent.post(&self.url).header("content-type", "application/json");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let mut response = request.send(body).map_err(|error| {
            let again = matches!(error, ureq::Error::Io(_) | ureq::Error::Timeout(_) | ureq::Error::ConnectionFailed);
            Miss { why: error.to_string(), again: again.then_some(None) }
        })?;
        let status = response.status();
        let after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let text = response.body_mut().with_config().limit(ANSWER).read_to_string();
        if status == StatusCode::OK {
            let text = text.map_err(|error| Miss { why: format!("its answer: {error}"), again: None })?;
            return rejected(&text);
        }
        // The specification names these four; another attempt at all else would end the same.
        let again = matches!(status.as_u16(), 429 | 502..=504).then_some(after.map(Duration::from_secs));
        let said: String = text.unwrap_or_default().chars().take(200).collect();
        Err(Miss { why: format!("{status}: {said}"), again })
    }
}

/// What the collector did not take of a request that it took.
fn rejected(text: &str) -> Result<u64, Miss> {
    if text.trim().is_empty() {
        return Ok(0);
    }
    let answer: Answer = serde_json::from_str(text)
        .map_err(|error| Miss { why: format!("its answer is no ExportLogsServiceResponse: {error}"), again: None })?;
    let Some(partial) = answer.partial_success else { return Ok(0) };
    let count = match &partial.rejected_log_records {
        serde_json::Value::String(text) => text.parse().unwrap_or(0),
        value => value.as_u64().unwrap_or(0),
    };
    if count > 0 || !partial.error_message.is_empty() {
        let said: String = partial.error_message.chars().take(200).collect();
        say(&format!("stockade: the collector rejected {count} records: {}", plain(&said)));
    }
    Ok(count)
}
