//! `stockade policy replay`: recorded attempts put to another policy.

mod asked;
mod course;
mod first;
mod moments;
mod report;
mod tally;

use stockade_policy::{Expect, Judge};

use super::load::Loader;
use crate::args::policy::{Change, Replay};
use crate::exit;
use crate::failure::Failure;
use crate::runs::{BROKEN, is_older, journal, open, select, told_broken, unfinished};
use course::Course;
pub use first::{Changed, first_change};
pub use moments::Moments;
use tally::Tally;

/// Every journal is read to its end or to where it breaks; what is broken is told, and decides the exit code.
pub(super) fn replay(args: &Replay) -> Result<u8, Failure> {
    let loader = match Loader::new(&args.above, args.json) {
        Ok(loader) => loader.without_tests(),
        Err(ended) => return ended,
    };
    let policy = match loader.need(&args.policy, args.json) {
        Ok(policy) => policy,
        Err(ended) => return ended,
    };
    let judge = Judge::new(&policy).map_err(|error| Failure::internal(&error))?;
    let mut tally = Tally::default();
    let mut problems = Vec::new();
    for run in select(&args.state.state, &args.runs)? {
        let dir = journal(&args.state.state, &run);
        if is_older(&dir, args.since) {
            continue;
        }
        let mut reader = match open(&dir) {
            Ok(Some(reader)) => reader,
            Ok(None) => continue,
            Err(error) => {
                problems.push((run, error));
                continue;
            }
        };
        let mut course = Course::new(&judge, &run, args.since, args.until);
        tally.runs += 1;
        loop {
            match reader.read() {
                Ok(Some(line)) => {
                    let entry = line.entry;
                    course.put(&reader, entry, &mut tally);
                }
                Ok(None) => break,
                Err(error) => {
                    problems.extend(unfinished(&dir, error).err().map(|error| (run, error)));
                    break;
                }
            }
        }
    }
    if args.json {
        report::json(&args.policy, &policy, &tally, &problems)?;
    } else {
        report::text(&policy, &tally)?;
    }
    for (run, error) in &problems {
        told_broken(run, error);
    }
    Ok(match () {
        () if !problems.is_empty() => BROKEN,
        () if args.fail_on.contains(&Change::Allow) && tally.allowed > 0 => exit::WOULD_ALLOW,
        () if args.fail_on.contains(&Change::Deny) && tally.denied > 0 => exit::WOULD_DENY,
        () => 0,
    })
}

/// What is decided, in words.
fn word(expect: Expect) -> &'static str {
    match expect {
        Expect::Allow => "allowed",
        Expect::Ask => "needs an approval",
        Expect::Deny => "denied",
    }
}
