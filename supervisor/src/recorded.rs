//! A run as its journal and the state folder have it: what a replay and a resumption begin with.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};
use stockade_journal::{Reader, Record, Start, is_digest};
use stockade_policy::{Bundle, Limits, Policy, bundle::MAX_BUNDLE, parse_policy};
use stockade_wire::cell::{CellConfig, ENGINE_FINGERPRINT};
use stockade_wire::control::Reason;

use crate::cache::hex;
use crate::error::RunError;
use crate::settings::{Around, Settings};

/// See [`Recorded::stand_in`].
const STAND_IN: &str = "version = 1\nid = \"replay\"\nextends = [\"preset:base\"]\n";
/// What a replay has beyond twice the run's time, in milliseconds.
const SLACK_MS: u64 = 60_000;

/// A recorded run of a wasm agent.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The first record.
    pub start: Start,
    /// Its settings, read.
    pub settings: Settings,
    /// The environment, values and all.
    pub env: Vec<(String, String)>,
    /// The journal's folder.
    pub journal: PathBuf,
    /// A file with the component.
    pub component: PathBuf,
    /// The policy bundle, encoded.
    pub bundle: Vec<u8>,
}

/// The first record of the journal in a folder.
///
/// # Errors
/// [`RunError::Journal`] if there is none.
pub fn first(journal: &Path) -> Result<Start, RunError> {
    let broken = |what: String| RunError::Journal(format!("journal {}: {what}", journal.display()));
    let mut reader = Reader::open(journal).map_err(|error| broken(error.to_string()))?;
    match reader.read().map_err(|error| broken(error.to_string()))?.map(|line| line.entry.record) {
        Some(Record::Start(start)) => Ok(*start),
        Some(Record::Tombstone { .. }) => Err(RunError::Recorded(
            "the run's records were pruned: there is nothing left that could be run again".to_owned(),
        )),
        _ => Err(broken("it does not begin with a start: no agent code ran".to_owned())),
    }
}

/// The policy bundle that a run had, of any kind.
///
/// # Errors
/// [`RunError::Recorded`] if it is not here.
pub fn bundle(start: &Start, journal: &Path, objects: &Path) -> Result<Vec<u8>, RunError> {
    let reader = Reader::open(journal).map_err(|error| RunError::Journal(error.to_string()))?;
    let settings = whole_settings(&reader, &start.settings)?;
    let name = settings.get("bundle").and_then(Value::as_str);
    let name = name.ok_or_else(|| RunError::Recorded("the record names no policy bundle".to_owned()))?;
    read_object(objects, "policy bundle", name, MAX_BUNDLE as u64)
}

impl Recorded {
    /// The run whose journal is in a folder, with the objects it depends on in another.
    ///
    /// # Errors
    /// [`RunError::Journal`] if the journal is broken, [`RunError::Recorded`] if something that the run depends on is
    /// not here, or not as recorded.
    pub fn open(journal: &Path, objects: &Path) -> Result<Self, RunError> {
        let start = first(journal)?;
        let reader = Reader::open(journal).map_err(|error| RunError::Journal(error.to_string()))?;
        if start.kind != "wasm" {
            return Err(RunError::Recorded(format!(
                "run {} is of a {} agent: only wasm agents can be run again from their record",
                start.run, start.kind
            )));
        }
        let settings = settings(&reader, &start.settings)?;
        if settings.engine != ENGINE_FINGERPRINT {
            return Err(RunError::Recorded(format!(
                "engine: recorded is {}, here it is {ENGINE_FINGERPRINT}; use the Stockade that made the record",
                settings.engine
            )));
        }
        let env = settings.env.iter().map(|(name, payload)| match reader.value(payload.clone()) {
            Ok(Value::String(value)) => Ok((name.clone(), value)),
            Ok(_) => Err(RunError::Recorded(format!("environment: {name} has no text for a value"))),
            Err(error) => Err(RunError::Recorded(format!(
                "environment: the value of {name} cannot be had: {error}; an agent that may have read it cannot be run again"
            ))),
        });
        let env = env.collect::<Result<_, _>>()?;
        let bundle = read_object(objects, "policy bundle", &settings.bundle, MAX_BUNDLE as u64)?;
        let component = objects.join(&start.component_digest);
        // Who runs it reads it once more and looks at its digest then, too.
        read_object(objects, "component", &start.component_digest, crate::cache::MAX_COMPONENT)?;
        Ok(Self { start, settings, env, journal: journal.to_path_buf(), component, bundle })
    }

    /// What the cell was given.
    #[must_use]
    pub fn config(&self) -> CellConfig {
        let Settings { memory, table_elements, fuel, wall_ms, log_line, .. } = self.settings;
        let (task, env) = (self.settings.task.clone(), self.env.clone());
        CellConfig { task, env, memory, table_elements, fuel, wall_ms, log_line }
    }

    /// A policy for the launch of a replay: the limits around the cell are those of the run, and nothing else of a
    /// policy matters, since nothing is decided. A replay has more time than the run had, and without end if somebody
    /// looks on.
    ///
    /// # Errors
    /// [`RunError::Recorded`] if this version cannot read the recorded bundle.
    pub fn stand_in(&self, endless: bool) -> Result<Policy, RunError> {
        let bundle = Bundle::decode(&self.bundle).map_err(|error| RunError::Recorded(error.to_string()))?;
        let mut policy = parse_policy("replay", STAND_IN).map_err(|error| RunError::Internal(format!("{error:?}")))?;
        let Around { memory, cpu_millis, pids, files } = self.settings.cell;
        let wall_ms = if endless { u64::from(u32::MAX) } else { self.settings.wall_ms.saturating_mul(2) + SLACK_MS };
        policy.limits = Limits {
            memory,
            cpu_millis,
            pids,
            files,
            wall_ms,
            fuel: self.settings.fuel,
            table_elements: self.settings.table_elements,
            output: bundle.output,
            io_read: None,
            io_write: None,
            ..policy.limits
        };
        Ok(policy)
    }

    /// Reads the journal to its end and says why the run did not come to its own.
    ///
    /// # Errors
    /// [`RunError::Journal`] if the journal is broken, other than by a torn last line; [`RunError::Recorded`] if the
    /// run has ended by itself.
    pub fn unfinished(&self) -> Result<(), RunError> {
        let mut reader = Reader::open(&self.journal).map_err(|error| RunError::Journal(error.to_string()))?;
        let mut end: Option<String> = None;
        // Whether the agent itself gave an account of its end.
        let mut said = false;
        loop {
            let line = match reader.read() {
                Ok(Some(line)) => line,
                // What a crash cut off is cut off for good when the journal is taken up.
                Ok(None) | Err(stockade_journal::ReadError::Torn { .. }) => break,
                Err(error) => return Err(RunError::Journal(error.to_string())),
            };
            let Record::Lifecycle { event, detail } = &line.entry.record else { continue };
            let reason = detail.get("reason").cloned();
            let reason = reason.and_then(|reason| serde_json::from_value::<Reason>(reason).ok());
            let from_outside = match reason {
                Some(Reason::Killed | Reason::Interrupted) => true,
                // A cell that died without a word of its agent's. One that does so by itself does it again.
                Some(Reason::Crashed) => event == "exit" && !said,
                _ => false,
            };
            match event.as_str() {
                "agent_exit" | "exit" if !from_outside => {
                    said |= event == "agent_exit";
                    end = Some(detail.get("reason").and_then(Value::as_str).unwrap_or("an end").to_owned());
                }
                "resumed" => (end, said) = (None, false),
                _ => {}
            }
        }
        match end {
            None => Ok(()),
            Some(end) => Err(RunError::Recorded(format!(
                "run {} has come to its end ({end}): there is nothing to resume; see stockade journal show {0}",
                self.start.run
            ))),
        }
    }
}

fn settings(reader: &Reader, recorded: &Value) -> Result<Settings, RunError> {
    serde_json::from_value(whole_settings(reader, recorded)?).map_err(|error| no_settings(&error))
}

/// The settings, which are in a blob if they are long.
fn whole_settings(reader: &Reader, recorded: &Value) -> Result<Value, RunError> {
    reader.whole(recorded.clone()).map_err(|error| no_settings(&error))
}

fn no_settings(why: &dyn std::fmt::Display) -> RunError {
    RunError::Recorded(format!("settings of the recorded run: {why}"))
}

fn read_object(objects: &Path, what: &str, digest: &str, most: u64) -> Result<Vec<u8>, RunError> {
    let refuse = |why: String| RunError::Recorded(format!("{what} {digest}: {why}"));
    if !is_digest(digest) {
        return Err(refuse("not a SHA-256 in hex".to_owned()));
    }
    let path = objects.join(digest);
    let size = fs::symlink_metadata(&path).map(|meta| if meta.is_file() { meta.len() } else { u64::MAX });
    let size = size.map_err(|error| refuse(format!("not kept here ({}): {error}", path.display())))?;
    if size > most {
        return Err(refuse(format!("{} is no file of at most {most} bytes", path.display())));
    }
    let bytes = fs::read(&path).map_err(|error| refuse(format!("{}: {error}", path.display())))?;
    let found = hex(&Sha256::digest(&bytes));
    if found != digest {
        return Err(refuse(format!("{} was changed: it has the digest {found}", path.display())));
    }
    Ok(bytes)
}
