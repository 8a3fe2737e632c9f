//! One request of C2SP tlog-witness, `add-checkpoint`, over HTTP.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use stockade_journal::note::{Note, Signature};

/// Longest answer that is read, in bytes.
const MAX_ANSWER: u64 = 64 * 1024;

/// How long a witness may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A witness's server.
pub(super) struct Server {
    agent: ureq::Agent,
    url: String,
}

/// What it answered.
pub(super) enum Answer {
    /// Signature lines, of whomever.
    Cosigned(Vec<Signature>),
    /// The size it has seen, which is not the old one it was told.
    Conflict(u64),
}

impl Server {
    /// The server under a submission prefix.
    pub(super) fn new(prefix: &str) -> Result<Self, String> {
        if !prefix.starts_with("http://") && !prefix.starts_with("https://") {
            return Err(format!("{prefix} is neither an http:// nor an https:// URL"));
        }
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .build();
        Ok(Self { agent: config.into(), url: format!("{}/add-checkpoint", prefix.trim_end_matches('/')) })
    }

    /// `POST add-checkpoint`: the size it cosigned last, the proof from there, the checkpoint.
    pub(super) fn add_checkpoint(&self, old: u64, proof: &[[u8; 32]], note: &Note) -> Result<Answer, String> {
        let mut body = format!("old {old}\n");
        for hash in proof {
            body += &STANDARD.encode(hash);
            body.push('\n');
        }
        body += &format!("\n{note}");
        let mut response = self.agent.post(&self.url).send(body.as_bytes()).map_err(|e| e.to_string())?;
        let status = response.status().as_u16();
        let text = response.body_mut().with_config().limit(MAX_ANSWER).read_to_string().map_err(|e| e.to_string())?;
        match status {
            200 => {
                let lines = text.lines().map(Signature::parse).collect::<Result<_, _>>();
                lines.map(Answer::Cosigned).map_err(|e| e.to_string())
            }
            409 => match text.trim_end().parse() {
                Ok(size) if size != old => Ok(Answer::Conflict(size)),
                _ => Err("it has seen another log of this size".to_owned()),
            },
            404 => Err("it does not know this log; have its operator add the log's name and key".to_owned()),
            403 => Err("it knows another key of this log; give its operator the present one".to_owned()),
            422 => Err("the proof does not lead from what it has seen to this head: the log was forked".to_owned()),
            status => Err(format!("it answered with status {status}")),
        }
    }
}
