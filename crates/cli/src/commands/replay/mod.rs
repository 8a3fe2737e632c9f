//! `stockade replay`.

mod native;
mod report;
mod source;
mod step;

use std::io::IsTerminal;

use stockade_supervisor::RunError;
use stockade_supervisor::run::{Agent, Course, Finished, Request, run};
use stockade_wire::control::{Reason, Replay as Orders};

use crate::args::replay::Replay;
use crate::commands::policy::{Changed, first_change};
use crate::failure::Failure;
use crate::runs::BROKEN;
use crate::say::say;
use crate::screen::plain;
use source::Source;

/// Runs a recorded agent again; the exit code says what came of it.
///
/// # Errors
/// If it cannot be run again.
pub fn replay(args: &Replay) -> Result<u8, Failure> {
    let source = Source::open(&args.run, &args.state.state)?;
    let change = match &args.policy {
        Some(policy) => first_change(policy, &args.above, &source.start.run, &source.journal, args.until)?,
        None => None,
    };
    if source.start.kind != "wasm" {
        return native::replay(&source, args, change.as_ref());
    }
    let until = match &change {
        // The call itself is not made.
        Some(change) => Some(change.seq.saturating_sub(1)),
        None => args.until,
    };
    let recorded = source.recorded()?;
    let orders = Orders { other: args.with.is_some(), until, step: args.step };
    let policy = recorded.stand_in(args.step)?;
    let start = recorded.start.clone();
    let wait = args.step && !args.json && std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let json = args.json;
    let request = Request {
        policy,
        policy_file: source.journal.clone(),
        workspace: None,
        agent: Agent::Wasm {
            component: args.with.clone().unwrap_or_else(|| recorded.component.clone()),
            task: recorded.settings.task.clone(),
        },
        name: start.agent.clone(),
        pin: None,
        state: Some(args.state.state.clone()),
        headless: true,
        filters: [Box::new(|_, _| Vec::new()), Box::new(|_, _| Vec::new())],
        log: Box::new(|level, message| format!("{level}: {}", plain(message))),
        notice: Box::new(|text| say(&plain(text))),
        course: Course::Replay {
            recorded: Box::new(recorded),
            orders,
            show: Box::new(move |told, signals| step::show(told, signals, wait, json)),
        },
    };
    let finished = run(request).map_err(|error| refused(error, &source))?;
    conclude(&finished, args, &start, change.as_ref())
}

fn conclude(
    finished: &Finished,
    args: &Replay,
    start: &stockade_journal::Start,
    change: Option<&Changed>,
) -> Result<u8, Failure> {
    if finished.end.reason == Reason::Interrupted {
        return Ok(finished.exit_code());
    }
    let Some(replayed) = &finished.replayed else {
        let what = &finished.end.detail;
        return Err(Failure { code: 1, message: plain(&format!("the replay did not come to an end: {what}")) });
    };
    report::report(replayed, &finished.end, start, args, change)
}

/// A journal that breaks is the same for a replay as for its reader.
fn refused(error: RunError, source: &Source) -> Failure {
    let failure = Failure::from(error);
    match failure.code {
        BROKEN => Failure { message: format!("{}: {}", plain(&source.named), failure.message), ..failure },
        _ => failure,
    }
}
