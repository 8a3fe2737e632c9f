//! `stockade notary witness`: C2SP tlog-witness, from the log's side.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use serde::Serialize;
use stockade_journal::note::{Checkpoint, MAX_NOTE, Note, Policy, PolicyError, Witness};
use stockade_journal::tiles::{Folder, HostLog, KeyChain, PUBLIC};
use stockade_notary::client::Place;

use super::post::{Answer, Server};
use super::{broken, open, say};
use crate::exit::UNWITNESSED;
use crate::failure::Failure;
use crate::screen::plain;

/// What became of one witness.
#[derive(Serialize)]
struct Outcome {
    witness: String,
    /// Seconds since 1970, by the witness's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    cosigned: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(super) fn witness(place: &Place, policy: &Path, json: bool) -> Result<u8, Failure> {
    let text = std::fs::read_to_string(policy).map_err(|e| Failure::file("read", policy, &e))?;
    let refused = |error| Failure::usage(plain(&format!("{}: {error}", policy.display())));
    let policy = Policy::parse(&text).map_err(refused)?;
    let log = open(place)?;
    let keys = log.keys(log.first_key().map_err(broken)?).map_err(broken)?;
    let (head, mut note) = log.checkpoint(&keys).map_err(broken)?;
    match std::fs::DirBuilder::new().mode(0o755).create(&place.cosigned) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(Failure::file("make", &place.cosigned, &e));
        }
        _ => {}
    }
    let submission =
        Submission { log, keys, head, note: note.clone(), cosigned: Folder::open(&place.cosigned).map_err(broken)? };
    let mut outcomes = Vec::new();
    let mut rolled_back = false;
    for witness in policy.witnesses() {
        let outcome = submission.submit(witness);
        rolled_back |= matches!(outcome, Err(Refused::Rollback(_)));
        if let Ok((cosigned, _)) = &outcome {
            for signature in cosigned.signatures() {
                note.add(signature.clone()).map_err(broken)?;
            }
        }
        let (cosigned, error) = match outcome {
            Ok((_, time)) => (Some(time), None),
            Err(Refused::Rollback(why) | Refused::Other(why)) => (None, Some(why)),
        };
        outcomes.push(Outcome { witness: witness.name.clone(), cosigned, error });
    }
    let quorum = policy.check(&note);
    let text = if json {
        let report =
            serde_json::json!({ "size": submission.head.size, "quorum": quorum.is_ok(), "witnesses": outcomes });
        serde_json::to_string_pretty(&report).map_err(|e| Failure::internal(&e))? + "\n"
    } else {
        let line = |outcome: &Outcome| match &outcome.error {
            None => format!("{}: cosigned {} heads\n", outcome.witness, submission.head.size),
            Some(why) => format!("{}: {why}\n", outcome.witness),
        };
        plain_lines(&outcomes.iter().map(line).collect::<String>())
    };
    say(&text)?;
    if rolled_back {
        return Ok(15);
    }
    match quorum {
        Ok(_) => Ok(0),
        Err(error @ (PolicyError::Quorum { .. } | PolicyError::Log { .. } | PolicyError::Line { .. })) => {
            Err(Failure { code: UNWITNESSED, message: plain(&error.to_string()) })
        }
    }
}

fn plain_lines(text: &str) -> String {
    text.lines().map(|line| plain(line) + "\n").collect()
}

/// Why a witness did not cosign.
enum Refused {
    /// It has seen more than there is.
    Rollback(String),
    /// Anything else.
    Other(String),
}

fn other(why: impl std::fmt::Display) -> Refused {
    Refused::Other(why.to_string())
}

/// What is put to each witness.
struct Submission {
    log: HostLog,
    keys: KeyChain,
    head: Checkpoint,
    note: Note,
    cosigned: Folder,
}

impl Submission {
    /// Has one witness cosign; what it cosigned is on disk at return.
    fn submit(&self, witness: &Witness) -> Result<(Note, u64), Refused> {
        let url = witness.url.as_deref().ok_or_else(|| other("the policy has no URL for it"))?;
        let server = Server::new(url).map_err(other)?;
        let file = format!("{:08x}", witness.key.id());
        let mut old = self.remembered(&file).map_err(other)?;
        // A witness that another place talked to as well says what it has; once is enough.
        for _ in 0..2 {
            if old > self.head.size {
                let why = format!("rollback: it has seen {old} heads, the log has {}", self.head.size);
                return Err(Refused::Rollback(why));
            }
            match server.add_checkpoint(old, &self.proof(old)?, &self.note).map_err(other)? {
                Answer::Conflict(size) => old = size,
                Answer::Cosigned(signatures) => {
                    let mut note = self.note.clone();
                    for signature in signatures.into_iter().filter(|signature| signature.names(&witness.key)) {
                        note.add(signature).map_err(other)?;
                    }
                    let time = note.verify_cosignature(&witness.key).map_err(other)?;
                    self.cosigned.put(&file, note.to_string().as_bytes(), PUBLIC).map_err(other)?;
                    return Ok((note, time));
                }
            }
        }
        Err(other(format!("it answers that it has seen {old} heads, and refuses to go on from there")))
    }

    /// Size that this witness cosigned last.
    fn remembered(&self, file: &str) -> Result<u64, String> {
        let bytes = self.cosigned.read(file, MAX_NOTE).map_err(|e| e.to_string())?;
        let Some(bytes) = bytes else { return Ok(0) };
        let opened = self.keys.open(&bytes, self.log.origin());
        Ok(opened.map_err(|e| format!("cosigned/{file}: {e}"))?.0.size)
    }

    fn proof(&self, old: u64) -> Result<Vec<[u8; 32]>, Refused> {
        self.log.prove_consistency(old, self.head.size).map_err(other)
    }
}
