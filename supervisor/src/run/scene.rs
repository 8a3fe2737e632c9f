//! What a run has before anything is launched: its ids, its groups, its journal, and who cleans up.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use stockade_policy::PathRule;
use stockade_policy::bundle::MIN_JOURNAL;

use crate::cgroup::{Hierarchies, IoLimit};
use crate::error::{Doing, RunError};
use crate::heads::Heads;
use crate::home::{Home, RUNTIME, STATE, record_dir, unrecordable};
use crate::janitor::Janitor;
use crate::planner::USER;
use crate::reserve::{Note, Range, Reservation};
use crate::run::signals::Signals;
use crate::run::{Agent, Request};
use crate::workspace::Workspace;
use crate::{ceiling, environment, fit, landlock_abi, reclaim};

/// When the steps of a run were done, from its beginning.
#[derive(Debug)]
pub struct Clock {
    begin: Instant,
    /// Step and time since the beginning.
    pub steps: Vec<(&'static str, Duration)>,
}

impl Clock {
    fn start() -> Self {
        Self { begin: Instant::now(), steps: Vec::new() }
    }

    /// A step is done.
    pub(super) fn mark(&mut self, step: &'static str) {
        self.steps.push((step, self.begin.elapsed()));
    }
}

/// Everything that exists before the first launch. Dropping it has the janitor clean up.
pub(super) struct Scene {
    pub request: Request,
    pub clock: Clock,
    pub signals: Signals,
    pub home: Home,
    pub run: String,
    pub workspace: Option<Workspace>,
    pub landlock_abi: u8,
    pub env: Vec<(String, String)>,
    pub hierarchies: Hierarchies,
    pub journal: PathBuf,
    pub heads: Heads,
    pub note: Note,
    pub reservation: Reservation,
    // Last: fields drop in order, and the janitor waits for what the others hold.
    pub janitor: Janitor,
}

impl Scene {
    pub(super) fn set(mut request: Request) -> Result<Self, RunError> {
        let mut clock = Clock::start();
        let signals = Signals::catch()?;
        let env = environment::of(&request.policy, |name| std::env::var_os(name))?;
        enforceable(&request)?;
        ceiling::holds()?;
        let home = Home::open(request.state.as_deref())?;
        let landlock_abi = landlock_abi::choose(&request.policy.require.degrade_ok)?;
        let writes = request.policy.fs.write.iter().any(|rule| matches!(rule.path, PathRule::Workspace(_)));
        let own = [&home.state, Path::new(STATE), Path::new(RUNTIME), &home.libexec];
        let workspace = request.workspace.as_deref().map(|path| Workspace::open(path, writes, &own)).transpose()?;
        if let Some(workspace) = &workspace {
            workspace.lies_in(request.policy.workspaces.as_ref())?;
            workspace.leaves_out(&request.policy_file)?;
        }
        let io = IoLimit::of(&request.policy, workspace.as_ref().map(Workspace::as_fd))?;
        let hierarchies = Hierarchies::find(io)?;
        clock.mark("host examined");
        let run = new_id()?;
        let mut reservation = Reservation::take(|text| (request.notice)(&text))?;
        let folder = home.runs().join(&run);
        let journal = folder.join("journal");
        let note = Note {
            run: run.clone(),
            v2: hierarchies.v2.join(&run),
            v1: hierarchies.on_v1.iter().map(|(_, dir)| dir.clone()).collect(),
            journal: journal.clone(),
        };
        // The janitor stands by before there is a note of anything to clean.
        let janitor = Janitor::start(&reservation)?;
        reservation.write(&note)?;
        clock.mark("reserved");
        fs::create_dir(&note.v2).doing("create cgroup", &note.v2)?;
        hierarchies.enable_in(&note.v2)?;
        if let Some(io) = &hierarchies.io {
            io.set(&note.v2)?;
        }
        record_dir(&folder)?;
        let heads = Heads::start(&home, &run)?;
        (request.notice)(&format!("run {run}"));
        Ok(Self {
            request,
            clock,
            signals,
            home,
            run,
            workspace,
            landlock_abi,
            env,
            hierarchies,
            journal,
            heads,
            note,
            reservation,
            janitor,
        })
    }

    /// Makes the journal's folder, lent to the shim.
    pub(super) fn lend_journal(&self) -> Result<OwnedFd, RunError> {
        fs::DirBuilder::new().mode(0o700).create(&self.journal).doing("create", &self.journal).map_err(unrecordable)?;
        let id = self.reservation.host_id(Range::Shim) + USER;
        chown(&self.journal, Some(id), Some(id)).doing("lend", &self.journal)?;
        fs::File::open(&self.journal).map(OwnedFd::from).doing("open", &self.journal)
    }

    /// Removes everything that is not the run's record. The processes must be gone.
    pub(super) fn strike(self) -> Result<(Clock, Signals), RunError> {
        let Self { mut clock, note, reservation, janitor, signals, .. } = self;
        reclaim::all(&note)?;
        reservation.release()?;
        janitor.dismiss()?;
        clock.mark("reclaimed");
        Ok((clock, signals))
    }
}

/// Refuses what this kind of run has no layer for.
fn enforceable(request: &Request) -> Result<(), RunError> {
    let policy = &request.policy;
    if let (Agent::Wasm { .. }, Some(rule)) = (&request.agent, policy.syscalls.first()) {
        return Err(RunError::Policy(format!(
            "{}: syscalls: only native cells take additions to their filter, and this agent is a component; take them out of its policy",
            rule.origin
        )));
    }
    if let Some(gap) = fit::unenforced(policy).into_iter().next() {
        return Err(gap.into());
    }
    if policy.limits.journal < MIN_JOURNAL {
        let asked = policy.limits.journal;
        return Err(RunError::Policy(format!(
            "limits.journal: {asked} bytes have no room for a first and a last record; at least {MIN_JOURNAL} are needed"
        )));
    }
    Ok(())
}

/// `r-`, the time in UTC, and enough chance that two hosts do not meet.
fn new_id() -> Result<String, RunError> {
    let mut chance = [0; 4];
    getrandom::fill(&mut chance).map_err(|e| RunError::Internal(format!("getrandom: {e}")))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros());
    let time = i64::try_from(now).ok().and_then(stockade_journal::format_time);
    let time = time.ok_or_else(|| RunError::Host("the system clock is outside of what a journal can hold".into()))?;
    // To the millisecond, so that ids sort by time.
    let digits: String = time.chars().take(23).filter(char::is_ascii_digit).collect();
    let (day, hour) = digits.split_at_checked(8).unwrap_or((&digits, ""));
    Ok(format!("r-{day}t{hour}-{}", crate::cache::hex(&chance)))
}
