//! What a run has before anything is launched: its ids, its groups, its journal, and who cleans up.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use stockade_journal::tree::Frontier;
use stockade_journal::{JournalError, recover};
use stockade_policy::bundle::MIN_JOURNAL;
use stockade_policy::{Bundle, PathRule};

use crate::cgroup::{Hierarchies, IoLimit};
use crate::error::{Doing, RunError};
use crate::heads::{Heads, sign_after};
use crate::home::{Home, RUNTIME, STATE, record_dir, unrecordable};
use crate::janitor::Janitor;
use crate::operator::Door;
use crate::planner::USER;
use crate::reclaim::{self, close_journal};
use crate::recorded::Recorded;
use crate::reserve::{self, Note, Range, Reservation};
use crate::run::signals::Signals;
use crate::run::{Agent, Course, Request, copy};
use crate::workspace::Workspace;
use crate::{ceiling, environment, fit, frozen, landlock_abi};

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
    /// The policy as the shim gets it, and its name.
    pub bundle: Vec<u8>,
    pub bundle_name: String,
    pub hierarchies: Hierarchies,
    pub journal: PathBuf,
    /// Where operators' commands come in.
    pub door: Door,
    /// Names of tools that are frozen on this host.
    pub frozen: Vec<String>,
    /// None in a replay, which records nothing.
    pub heads: Option<Heads>,
    pub note: Note,
    /// On the folder of a run that is resumed: nobody else resumes it.
    _lock: Option<Flock<fs::File>>,
    pub reservation: Reservation,
    // Last: fields drop in order, and the janitor waits for what the others hold.
    pub janitor: Janitor,
}

impl Scene {
    pub(super) fn set(mut request: Request) -> Result<Self, RunError> {
        let mut clock = Clock::start();
        let signals = Signals::catch()?;
        let env = match &request.course {
            Course::New => environment::of(&request.policy, |name| std::env::var_os(name))?,
            // The agent may have read it.
            Course::Resume(recorded) | Course::Replay { recorded, .. } => recorded.env.clone(),
        };
        let bundle = match &request.course {
            Course::New | Course::Resume(_) => request.policy.bundle().encode(),
            Course::Replay { recorded, .. } => recorded.bundle.clone(),
        };
        let bundle_name = Bundle::name(&bundle);
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
        let run = match &request.course {
            Course::New | Course::Replay { .. } => new_id()?,
            Course::Resume(recorded) => recorded.start.run.clone(),
        };
        let mut reservation = Reservation::take(|text| (request.notice)(&text))?;
        let folder = home.runs().join(&run);
        let journal = folder.join("journal");
        let copy = matches!(request.course, Course::Replay { .. }).then(|| home.state.join("replays").join(&run));
        let (lock, signed) = match &request.course {
            Course::New | Course::Replay { .. } => (None, None),
            Course::Resume(recorded) => {
                let (lock, signed) = take_up(&home, recorded, &folder)?;
                (Some(lock), Some(signed))
            }
        };
        let note = Note {
            run: run.clone(),
            v2: hierarchies.v2.join(&run),
            v1: hierarchies.on_v1.iter().map(|(_, dir)| dir.clone()).collect(),
            journal: journal.clone(),
            records: signed.as_ref().map(Frontier::size),
            copy,
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
        if !matches!(request.course, Course::Replay { .. }) {
            record_dir(&folder)?;
        }
        // The door before the list: what is frozen meanwhile comes by one of the two.
        let door = Door::open(&run)?;
        let frozen = frozen::list()?.into_iter().map(|one| one.tool).collect();
        let heads = match (&request.course, signed) {
            (Course::New, _) => Some(Heads::start(&home, &run)?),
            (Course::Resume(_), Some(signed)) => Some(Heads::go_on_after(&home, &run, signed)?),
            // A replay has no record.
            _ => None,
        };
        if heads.is_some() {
            (request.notice)(&format!("run {run}"));
        }
        Ok(Self {
            request,
            clock,
            signals,
            home,
            run,
            workspace,
            landlock_abi,
            env,
            bundle,
            bundle_name,
            hierarchies,
            journal,
            door,
            frozen,
            heads,
            note,
            _lock: lock,
            reservation,
            janitor,
        })
    }

    /// The journal's folder, lent to the shim: a new one, that of the run before, or a copy.
    pub(super) fn lend_journal(&self) -> Result<OwnedFd, RunError> {
        let id = self.reservation.host_id(Range::Shim) + USER;
        let journal = match (&self.request.course, &self.note.copy) {
            (Course::Replay { recorded, .. }, Some(folder)) => {
                let journal = folder.join("journal");
                copy::copy(&recorded.journal, &journal, id)?;
                journal
            }
            (Course::Resume(_), _) => {
                reclaim::lend(&self.journal, id)?;
                self.journal.clone()
            }
            _ => {
                let made = fs::DirBuilder::new().mode(0o700).create(&self.journal);
                made.doing("create", &self.journal).map_err(unrecordable)?;
                chown(&self.journal, Some(id), Some(id)).doing("lend", &self.journal)?;
                self.journal.clone()
            }
        };
        fs::File::open(&journal).map(OwnedFd::from).doing("open", &journal)
    }

    /// Removes everything that is not the run's record, and closes that if nobody has, while the reservation and the
    /// janitor still stand for whoever is killed over it. The processes must be gone. What is wrong with the record is
    /// given back.
    pub(super) fn strike(self, recorded: bool) -> Result<(Clock, Signals, Option<RunError>), RunError> {
        let Self { mut clock, home, heads, note, reservation, janitor, signals, .. } = self;
        let replays = heads.is_none();
        // There is one notary at a time.
        drop(heads);
        reclaim::all(&note)?;
        let unclosed = match recorded || replays {
            true => None,
            false => close_journal(&home, &note.run, &note.journal, note.records).err(),
        };
        reservation.release()?;
        janitor.dismiss()?;
        clock.mark("reclaimed");
        Ok((clock, signals, unclosed))
    }
}

/// Makes sure that a run can go on, and that nobody else takes it up: it does not live, it has not ended by itself, its
/// journal is what was signed of it, and mended. Gives the lock that says so, and the tree over its records, all of
/// which are signed then.
fn take_up(home: &Home, recorded: &Recorded, folder: &Path) -> Result<(Flock<fs::File>, Frontier), RunError> {
    let run = &recorded.start.run;
    let lives = || RunError::Recorded(format!("run {run} still lives, or is being cleaned up: let it end first"));
    let open = fs::File::open(folder).doing("open", folder)?;
    let lock = Flock::lock(open, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EWOULDBLOCK => lives(),
        errno => RunError::Io { doing: "lock", path: folder.to_path_buf(), errno },
    })?;
    if reserve::is_held(run)? {
        return Err(lives());
    }
    recorded.unfinished()?;
    let signed = sign_after(home, run, &recorded.journal, || {
        let journal = fs::File::open(&recorded.journal).doing("open", &recorded.journal)?;
        match recover(journal.into()) {
            Ok(_) => Ok(()),
            Err(JournalError::Locked) => Err(lives()),
            Err(error) => Err(RunError::Journal(error.to_string())),
        }
    });
    match signed {
        Err(RunError::Journal(why)) => Err(RunError::Journal(format!("journal of run {run}: {why}"))),
        other => other.map(|signed| (lock, signed)),
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
