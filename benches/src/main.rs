//! How long a cold run takes, from request to reaped, beside peers on the same machine. `stockade-bench calls` measures
//! whole tool calls instead, `stockade-bench decide` the decisions alone.
//!
//! All contenders take turns in one run, and the order rotates, so that what one leaves behind (the
//! kernel takes a network namespace down for 40 ms after its owner is gone) falls on all alike.

mod calls;
mod component;
mod contender;
mod decide;
mod machine;
mod oci;
mod options;
mod report;
mod stats;
mod timings;
mod unified;

use contender::Contender;
use std::error::Error;
use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|arg| arg == "decide") {
        return ended(decide::run());
    }
    let word = std::env::args_os().nth(1);
    if word.as_ref().is_some_and(|arg| arg == calls::ECHO) {
        return ended(calls::echo().map_err(Into::into));
    }
    let whole = word.is_some_and(|arg| arg == "calls");
    let options = match options::parse(std::env::args_os().skip(1 + usize::from(whole))) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("stockade-bench: {message}");
            return ExitCode::from(2);
        }
    };
    ended(if whole { calls::run(&options) } else { run(&options) })
}

fn ended(result: Result<(), Box<dyn Error>>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("stockade-bench: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &options::Options) -> Result<(), Box<dyn Error>> {
    let scratch = tempfile::Builder::new().prefix("stockade-bench-").tempdir()?;
    let unified = unified::Unified::hold();
    let mut field = contender::field(options, scratch.path(), unified.as_ref())?;
    let mut absent = Vec::new();
    field.retain_mut(|c| match c.once() {
        Ok(_) => true,
        Err(why) => {
            absent.push((c.name, why));
            false
        }
    });
    for round in 0..options.rounds {
        eprint!("\rround {} of {}", round + 1, options.rounds);
        let count = field.len().max(1);
        for turn in 0..field.len() {
            if let Some(c) = field.get_mut((round + turn) % count) {
                c.take_turn(round);
            }
        }
    }
    eprintln!();
    let steps = timings::collect(options, field.iter().find(|c| c.name == contender::NATIVE))?;
    let failed: Vec<_> = field.iter().filter_map(|c| Some((c.name, c.said.clone()?))).collect();
    let results: Vec<stats::Row> = field.iter().filter_map(Contender::row).collect();
    let report = report::Report::new(machine::facts(), options.rounds, results, absent, failed, steps);
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    Ok(())
}
