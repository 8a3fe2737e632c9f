//! `stockade run`.

use std::io::IsTerminal;
use std::path::Path;

use stockade_policy::{Ceiling, Options, Policy, Trust, load_with};
use stockade_supervisor::run::{Agent, Clock, Course, Filter, Finished, Request, run as run_agent};
use stockade_wire::control::Reason;

use crate::args::Run;
use crate::commands::policy::refused;
use crate::failure::Failure;
use crate::runs::elsewhere;
use crate::say::say;
use crate::screen::{Sanitizer, plain};

/// Exit code of a component or program that was refused.
const PROGRAM_REFUSED: u8 = 11;

/// Runs one agent to its end; the exit code says how it ended.
///
/// # Errors
/// If the run could not be had.
pub fn run(args: Run) -> Result<u8, Failure> {
    let filters = filters(args.raw_output)?;
    let policy = load(&args.policy, None)?;
    let (component, state) = (args.component.clone(), args.state.clone());
    let agent = match args.component {
        Some(component) => Agent::Wasm { component, task: args.rest },
        None => Agent::Native { argv: args.rest },
    };
    let request = Request {
        policy,
        policy_file: args.policy,
        workspace: args.workspace,
        name: args.name.unwrap_or_else(|| default_name(&agent)),
        agent,
        pin: None,
        state: Some(args.state),
        headless: args.headless,
        filters,
        course: Course::New,
        log: Box::new(|level, message| format!("{level}: {}", plain(message))),
        notice: Box::new(|text| say(&plain(text))),
    };
    let finished = run_agent(request).map_err(|error| explained(error.into(), component.as_deref()))?;
    conclude(&finished, &state);
    if args.timings {
        say(&timings(&finished.clock));
    }
    Ok(finished.exit_code())
}

/// Loads the policy beneath this host's ceiling, and says what the ceiling takes from it.
/// `name` is what its rules say it is called.
pub(super) fn load(path: &Path, name: Option<&Path>) -> Result<Policy, Failure> {
    let ceiling = Ceiling::of_host().map_err(|found| refused(&found))?;
    let name = name.map(|name| name.display().to_string());
    let options = Options { ceiling, trust: Trust::Enforce, name, ..Options::default() };
    let policy = load_with(path, &options).map_err(|found| refused(&found))?;
    for rule in &policy.narrowed {
        let left = if rule.left.is_empty() { "nothing" } else { &rule.left };
        say(&plain(&format!(
            "narrowed by the host's ceiling: {} at {} asked {}, gets {left} ({})",
            rule.key, rule.origin, rule.asked, rule.ceiling
        )));
    }
    Ok(policy)
}

/// What the screen may show of stdout and stderr.
pub(super) fn filters(raw: bool) -> Result<[Filter; 2], Failure> {
    if raw && (std::io::stdout().is_terminal() || std::io::stderr().is_terminal()) {
        return Err(Failure::usage(
            "--raw-output is for pipes and files; an agent's escapes could rewrite this terminal",
        ));
    }
    Ok([filter(raw), filter(raw)])
}

fn filter(raw: bool) -> Filter {
    if raw {
        return Box::new(|bytes, _| bytes.to_vec());
    }
    let mut sanitizer = Some(Sanitizer::new());
    Box::new(move |bytes, last| {
        let mut text = sanitizer.as_mut().map(|s| s.push(bytes)).unwrap_or_default();
        if last {
            text.push_str(&sanitizer.take().map(Sanitizer::finish).unwrap_or_default());
        }
        text.into_bytes()
    })
}

/// The component's or program's own name, without folder and ending.
fn default_name(agent: &Agent) -> String {
    let path = match agent {
        Agent::Wasm { component, .. } => component.as_path(),
        Agent::Native { argv } => Path::new(argv.first().map(String::as_str).unwrap_or_default()),
    };
    path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Who forgets the `--` before a program has it taken for a component.
fn explained(mut failure: Failure, component: Option<&Path>) -> Failure {
    if failure.code == PROGRAM_REFUSED
        && component.is_some_and(|path| path.extension().is_none_or(|ending| ending != "wasm"))
    {
        failure.message +=
            "\n(a program, other than a component, is named after `--`: stockade run … -- /usr/bin/python3 agent.py)";
    }
    failure
}

/// How it went, and where the record is.
pub(super) fn conclude(finished: &Finished, state: &Path) {
    let (end, summary) = (&finished.end, &finished.summary);
    let reason = match end.reason {
        Reason::Finished => "finished",
        Reason::Failed => "failed",
        Reason::Crashed => "crashed",
        Reason::Denied => "ended by a denial",
        Reason::LimitWall => "wall-clock limit hit (limits.wall)",
        Reason::LimitMemory => "memory limit hit (limits.memory)",
        Reason::LimitFuel => "fuel limit hit (limits.fuel)",
        Reason::LimitPids => "task limit hit (limits.pids)",
        Reason::LimitJournal => "journal limit hit (limits.journal)",
        Reason::LimitTable => "table limit hit (limits.tables)",
        Reason::Interrupted => "interrupted",
        Reason::Killed => "killed by stockade",
    };
    let mut lines = end.detail.lines().map(plain);
    let first = lines.next().map(|line| format!(": {line}")).unwrap_or_default();
    say(&format!("{reason}{first}"));
    lines.for_each(|line| say(&line));
    if end.output_dropped > 0 {
        say(&format!("output: {} of {} bytes dropped (limits.output)", end.output_dropped, end.output_bytes));
    }
    if finished.undelivered > 0 {
        say(&format!("output: {} bytes were not taken by the reader in time", finished.undelivered));
    }
    let show = format!("stockade journal show {}{}", finished.run, elsewhere(state));
    if summary.head.is_empty() {
        return say(&format!("journal: its last record was not written; see: {show}"));
    }
    say(&format!(
        "{}, {} denied; {} denied by the shim",
        count(summary.calls, "tool call"),
        summary.denied,
        count(summary.syscalls, "syscall")
    ));
    // The head lets whoever keeps it see a journal that was cut or changed later.
    say(&format!("journal: {} records, head {}", summary.records, summary.head));
    say(&format!("see: {show}"));
}

/// `1 call`, `2 calls`.
pub(super) fn count(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

pub(super) fn timings(clock: &Clock) -> String {
    let steps = clock
        .steps
        .iter()
        .map(|(step, at)| ((*step).to_owned(), u64::try_from(at.as_micros()).unwrap_or(u64::MAX).into()));
    serde_json::Value::Object(steps.collect()).to_string()
}
