//! The first recorded decision that another policy changes.

use std::path::Path;

use stockade_journal::Reader;
use stockade_policy::{Expect, Judge};

use super::super::load::Loader;
use super::course::Course;
use super::tally::Tally;
use super::word;
use crate::args::policy::Above;
use crate::exit;
use crate::failure::Failure;
use crate::runs::broken;

/// A decision that would be another.
#[derive(Debug)]
pub struct Changed {
    /// The record's number.
    pub seq: u64,
    /// In one line.
    pub told: String,
    /// The exit code for it.
    pub code: u8,
}

/// Puts the records of the journal in a folder to a policy, up to the first that it decides otherwise. If the policy
/// does not load, why, or what was printed about that.
///
/// # Errors
/// If policy or journal cannot be read.
pub fn first_change(
    policy: &Path,
    above: &Above,
    run: &str,
    dir: &Path,
    until: Option<u64>,
) -> Result<Option<Changed>, Failure> {
    let loader = match Loader::new(above, false) {
        Ok(loader) => loader.without_tests(),
        Err(ended) => return Err(refused(ended)),
    };
    let policy = match loader.need(policy, false) {
        Ok(policy) => policy,
        Err(ended) => return Err(refused(ended)),
    };
    let judge = Judge::new(&policy).map_err(|error| Failure::internal(&error))?;
    let mut reader = Reader::open(dir).map_err(|error| broken(&error))?;
    let mut course = Course::new(&judge, run, None, None);
    let mut tally = Tally::default();
    while let Some(line) = reader.read().map_err(|error| broken(&error))? {
        let (seq, entry) = (line.entry.seq, line.entry);
        if until.is_some_and(|until| seq > until) {
            break;
        }
        course.put(&reader, entry, &mut tally);
        if let Some(group) = tally.groups().first() {
            let example = &group.example;
            let (was, now) = (word(group.from), word(group.to));
            let told = format!(
                "record {seq}: {} {}: was {was}, {} would have it {now}: {}",
                example.tool, example.object, policy.id, example.now
            );
            let code = if group.to == Expect::Allow { exit::WOULD_ALLOW } else { exit::WOULD_DENY };
            return Ok(Some(Changed { seq, told, code }));
        }
    }
    Ok(None)
}

/// What a loader has told by itself needs no more words.
fn refused(ended: Result<u8, Failure>) -> Failure {
    match ended {
        Ok(code) => Failure { code, message: String::new() },
        Err(failure) => failure,
    }
}
