//! `stockade notary`.

mod post;
mod show;
mod witness;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use stockade_journal::note::is_name;
use stockade_journal::tiles::{Folder, HostLog, LogError};
use stockade_notary::client::{ClientError, Notary, Place};
use stockade_supervisor::Home;
use stockade_wire::notary::Refusal;

use crate::args::notary::Notary as Args;
use crate::failure::Failure;
use crate::screen::plain;

/// Runs one of the commands.
///
/// # Errors
/// If the log is not there or does not hold together, or the notary refuses.
pub fn notary(args: &Args) -> Result<u8, Failure> {
    match args {
        Args::Init { origin, state } => {
            if let Some(name) = origin.as_deref().filter(|name| !is_name(name)) {
                let name = plain(name);
                return Err(Failure::usage(format!("--origin: {name:?} is empty, too long, or has a space or `+`")));
            }
            let begun = start(&state.state)?.1.init(origin.as_deref()).map_err(refused)?;
            say(&format!("{}\n{}\n", begun.origin, begun.key))
        }
        Args::Key { first, state } => {
            let log = open(&Place::of(&state.state))?;
            let start = log.first_key().map_err(broken)?;
            let keys = log.keys(start.clone()).map_err(broken)?;
            say(&format!("{}\n", if *first { &start } else { keys.current() }))
        }
        Args::Show { json, state } => show::show(&Place::of(&state.state), *json),
        Args::Rotate { state } => {
            root_only()?;
            open(&Place::of(&state.state))?;
            let (ended, key) = start(&state.state)?.1.rotate().map_err(refused)?;
            say(&format!("epoch {ended} has ended; its key is erased\n{key}\n"))
        }
        Args::Witness { policy, json, state } => {
            root_only()?;
            witness::witness(&Place::of(&state.state), policy, *json)
        }
    }
}

fn say(text: &str) -> Result<u8, Failure> {
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(0)
}

fn root_only() -> Result<(), Failure> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    Err(Failure { code: 13, message: "this needs root: the host's log is the notary's".to_owned() })
}

/// A notary of this state folder.
fn start(state: &Path) -> Result<(PathBuf, Notary), Failure> {
    root_only()?;
    let home = Home::open(Some(state))?;
    let program = home.program("stockade-notary")?;
    let notary = Notary::start_open(program, &Place::of(&home.state)).map_err(refused)?;
    Ok((home.state, notary))
}

fn open(place: &Place) -> Result<HostLog, Failure> {
    let absent = || Failure {
        code: 1,
        message: plain(&format!(
            "{}: no log was begun here; `stockade notary init` or the first run does it",
            place.folder.display()
        )),
    };
    match place.folder.try_exists() {
        Ok(true) => {}
        Ok(false) => return Err(absent()),
        Err(error) => return Err(Failure::file("read", &place.folder, &error)),
    }
    match Folder::open(&place.folder).and_then(HostLog::open) {
        Ok(log) => Ok(log),
        Err(LogError::Missing { .. }) => Err(absent()),
        Err(error) => Err(broken(error)),
    }
}

/// The log is not what it must be.
fn broken(error: impl std::fmt::Display) -> Failure {
    Failure { code: 15, message: plain(&format!("host log: {error}")) }
}

fn refused(error: ClientError) -> Failure {
    let code = match &error {
        ClientError::Refused { code: Refusal::Confine, .. } => 13,
        ClientError::Refused { code: Refusal::Protocol | Refusal::Run, .. } => 2,
        ClientError::Refused { .. } => 15,
        _ => 1,
    };
    Failure { code, message: plain(&error.to_string()) }
}
