//! `stockade resume`.

use stockade_supervisor::launched::Launched;
use stockade_supervisor::objects;
use stockade_supervisor::recorded::{self, Recorded};
use stockade_supervisor::run::{Agent, Course, Request, run};

use super::run::{conclude, filters, load, timings};
use crate::args::replay::Resume;
use crate::failure::Failure;
use crate::runs::{find, is_written, journal};
use crate::say::say;
use crate::screen::plain;

/// Exit code of a recorded run that cannot be run again.
const REFUSED: u8 = 26;

/// Goes on with a run to its end; the exit code says how it ended.
///
/// # Errors
/// If it cannot go on.
pub fn resume(args: &Resume) -> Result<u8, Failure> {
    let state = &args.state.state;
    let filters = filters(args.raw_output)?;
    let run_id = find(state, &args.run)?;
    let dir = journal(state, &run_id);
    let refuse = |why: String| Failure { code: REFUSED, message: plain(&why) };
    if is_written(&dir) {
        return Err(refuse(format!("run {run_id} still lives: let it end first")));
    }
    let start = recorded::first(&dir)?;
    if start.run != run_id {
        return Err(refuse(format!("the journal of run {run_id} is that of run {}", start.run)));
    }
    let recorded = Recorded::open(&dir, &objects::folder(state))?;
    recorded.unfinished()?;
    let launched = Launched::read(&state.join("runs").join(&run_id))?;
    let policy = load(&launched.policy, launched.policy_named.as_deref())?;
    let request = Request {
        policy,
        policy_file: launched.policy,
        workspace: launched.workspace,
        agent: Agent::Wasm { component: recorded.component.clone(), task: recorded.settings.task.clone() },
        name: start.agent,
        pin: None,
        state: Some(state.clone()),
        headless: args.headless,
        filters,
        log: Box::new(|level, message| format!("{level}: {}", plain(message))),
        notice: Box::new(|text| say(&plain(text))),
        course: Course::Resume(Box::new(recorded)),
    };
    let finished = run(request)?;
    conclude(&finished, state);
    if args.timings {
        say(&timings(&finished.clock));
    }
    Ok(finished.exit_code())
}
