//! `stockade journal tail`.

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use stockade_journal::{ReadError, Reader};

use crate::args::journal::{State, Tail};
use crate::failure::Failure;
use crate::runs::{find, is_written, journal, open, runs, told_broken};
use crate::screen::plain;
use crate::trail::{Printer, Scene};

/// Longest time between two looks, in milliseconds: that a lock is let go, the kernel does not tell.
const LOOK: u16 = 500;

/// How long a run without a writer and without an end is waited for: whoever reclaims it writes one.
const PATIENCE: Duration = Duration::from_secs(5);

/// Shows the newest records, and follows.
pub(super) fn tail(args: &Tail) -> Result<u8, Failure> {
    let state = &args.state;
    // One listing for both: a run that begins after it is new below.
    let mut known: BTreeSet<String> =
        if args.all { runs(&state.state)?.into_iter().collect() } else { BTreeSet::new() };
    let first: Vec<String> = match args.all {
        true => known.iter().filter(|run| is_under_way(&journal(&state.state, run))).cloned().collect(),
        false => vec![find(&state.state, &args.run)?],
    };
    let mut printer = Printer::stdout(args.form.format(), args.all);
    // Watched before it is read, so that nothing comes in between.
    let watch = if args.follow { Some(watch()?) } else { None };
    let mut followed = Vec::new();
    let mut code = 0;
    for run in first {
        followed.extend(begin(state, &run, watch.as_ref(), args.lines, &mut printer, &mut code)?);
    }
    let Some(watch) = watch else { return Ok(code) };
    if args.all {
        look_at(&watch, &state.state.join("runs"))?;
    }
    loop {
        if args.all {
            for run in runs(&state.state)? {
                if known.insert(run.clone()) {
                    followed.extend(begin(state, &run, Some(&watch), usize::MAX, &mut printer, &mut code)?);
                }
            }
        }
        let mut rest = Vec::new();
        for mut run in followed {
            if run.reader.is_none() {
                look_at(&watch, &run.dir)?;
            }
            match run.drain(&mut printer, true) {
                Ok(()) if run.is_over() => {}
                Ok(()) => rest.push(run),
                Err(stop) => code = told(stop, &run.scene.run, &mut printer)?,
            }
        }
        followed = rest;
        printer.flush()?;
        if (followed.is_empty() && !args.all) || !wait(&watch)? {
            return Ok(code);
        }
    }
}

/// How long a run that has a folder and no journal is waited for: its component may have to be compiled first.
const LAUNCH: Duration = Duration::from_secs(150);

/// Whether the journal in `dir` is written, or is yet to be begun.
fn is_under_way(dir: &std::path::Path) -> bool {
    is_written(dir) || !dir.join("00000001.jsonl").exists()
}

/// A run that is read.
struct Followed {
    dir: PathBuf,
    reader: Option<Reader>,
    scene: Scene,
    /// Since when nobody writes it, though it has no end; or since when it has no journal.
    left: Option<Instant>,
}

enum Stop {
    Output(io::Error),
    Journal(ReadError),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Shows the last `lines` records of a run. `None` if it is broken, which has been told.
fn begin<W: Write>(
    state: &State,
    run: &str,
    watch: Option<&Inotify>,
    lines: usize,
    printer: &mut Printer<W>,
    code: &mut u8,
) -> Result<Option<Followed>, Failure> {
    let dir = journal(&state.state, run);
    let mut followed = Followed { dir, reader: None, scene: Scene::new(run), left: None };
    if let Some(watch) = watch {
        // A run that is being launched has a folder first, and a journal then.
        for place in [followed.dir.parent(), Some(followed.dir.as_path())].into_iter().flatten() {
            look_at(watch, place)?;
        }
    }
    let mut last: VecDeque<Vec<u8>> = VecDeque::new();
    let mut piece = Vec::new();
    let read = followed.each(watch.is_some(), |scene, line, under| {
        piece.clear();
        printer.to(&mut piece).print(scene, line, under)?;
        last.push_back(std::mem::take(&mut piece));
        if last.len() > lines {
            last.pop_front();
        }
        Ok(())
    });
    for piece in last {
        printer.get_mut().write_all(&piece)?;
    }
    printer.flush()?;
    match read {
        Ok(()) => Ok(Some(followed)),
        Err(stop) => {
            *code = told(stop, run, printer)?;
            Ok(None)
        }
    }
}

fn told<W: Write>(stop: Stop, run: &str, printer: &mut Printer<W>) -> Result<u8, Failure> {
    match stop {
        Stop::Output(error) => Err(error.into()),
        Stop::Journal(error) => {
            printer.flush()?;
            Ok(told_broken(run, &error))
        }
    }
}

impl Followed {
    /// Prints what has come.
    fn drain<W: Write>(&mut self, printer: &mut Printer<W>, follow: bool) -> Result<(), Stop> {
        self.each(follow, |scene, line, under| printer.print(scene, line, under))
    }

    fn each(
        &mut self,
        follow: bool,
        mut take: impl FnMut(&Scene, &stockade_journal::Line<'_>, Option<&crate::trail::Under>) -> io::Result<()>,
    ) -> Result<(), Stop> {
        let reader = match &mut self.reader {
            Some(reader) => {
                reader.again().map_err(Stop::Journal)?;
                reader
            }
            None => match open(&self.dir).map_err(Stop::Journal)? {
                Some(reader) => {
                    self.left = None;
                    self.reader.insert(reader)
                }
                None => {
                    self.left.get_or_insert_with(Instant::now);
                    return Ok(());
                }
            },
        };
        // Asked before reading: what a writer that has gone since left torn is told at the next look.
        let written = is_written(&self.dir);
        loop {
            match reader.read() {
                Ok(Some(line)) => {
                    let under = self.scene.read(&line.entry);
                    take(&self.scene, &line, under.as_ref())?;
                }
                Ok(None) => break,
                // Whoever reclaims the run cuts it off.
                Err(ReadError::Torn { .. })
                    if written || (follow && self.left.is_none_or(|at| at.elapsed() < PATIENCE)) =>
                {
                    break;
                }
                Err(error) => return Err(Stop::Journal(error)),
            }
        }
        self.left = if written { None } else { self.left.or_else(|| Some(Instant::now())) };
        Ok(())
    }

    /// Whether nothing more will come.
    fn is_over(&self) -> bool {
        let left_for = |patience| self.left.is_some_and(|at| at.elapsed() >= patience);
        if self.reader.is_none() {
            // The run's folder comes before its journal's, and goes if the run is refused.
            return left_for(LAUNCH) || !self.dir.parent().is_some_and(std::path::Path::exists);
        }
        self.scene.has_ended() || left_for(PATIENCE)
    }
}

fn watch() -> Result<Inotify, Failure> {
    Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).map_err(|errno| cannot_watch("the journal", errno))
}

fn look_at(watch: &Inotify, path: &std::path::Path) -> Result<(), Failure> {
    let flags = AddWatchFlags::IN_MODIFY
        | AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_DELETE_SELF
        | AddWatchFlags::IN_ONLYDIR;
    match watch.add_watch(path, flags) {
        Ok(_) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(cannot_watch(&path.display().to_string(), errno)),
    }
}

fn cannot_watch(what: &str, errno: Errno) -> Failure {
    let limit = if errno == Errno::ENOSPC || errno == Errno::EMFILE {
        "; raise fs.inotify.max_user_watches or max_user_instances (sysctl)"
    } else {
        ""
    };
    Failure { code: 1, message: format!("cannot watch {}: {}{limit}", plain(what), errno.desc()) }
}

/// Waits for something to come; `false` if the reader of our output has gone.
fn wait(watch: &Inotify) -> Result<bool, Failure> {
    let stdout = io::stdout();
    let mut fds = [PollFd::new(watch.as_fd(), PollFlags::POLLIN), PollFd::new(stdout.as_fd(), PollFlags::empty())];
    match poll(&mut fds, PollTimeout::from(LOOK)) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(cannot_watch("the journal", errno)),
    }
    let closed = fds.get(1).and_then(PollFd::revents).is_some_and(|events| events.contains(PollFlags::POLLERR));
    // What has come is looked for, whatever the events say; they only wake us.
    while watch.read_events().is_ok_and(|events| !events.is_empty()) {}
    Ok(!closed)
}
