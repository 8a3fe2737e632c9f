//! `stockade journal …`.

mod erase;
mod export;
mod list;
mod otlp;
mod prune;
mod query;
mod spool;
mod tail;
mod verify;

use std::io;
use std::path::{Path, PathBuf};

use stockade_journal::Reader;

use crate::args::Colour;
use crate::args::journal::Journal;
use crate::bundle::{self, Unpacked};
use crate::failure::Failure;
use crate::runs::{self, broken};
use crate::show::{ShowError, Style, json_to_stdout, render};
use crate::trail::{Format, Printer, Scene};

/// Reads what agents did.
///
/// # Errors
/// If there is no such run or its journal is broken.
pub fn journal(args: &Journal) -> Result<u8, Failure> {
    match args {
        Journal::List { json, state } => list::list(state, *json),
        Journal::Show { run, format, state, .. } if *format != Format::Text => {
            events(&Shown::find(state, run)?, *format)
        }
        Journal::Show { run, json, all, color, state, .. } => show(&Shown::find(state, run)?, *json, *all, *color),
        Journal::Verify(args) => verify::verify(args),
        Journal::Export(args) => export::export(args),
        Journal::Query(args) => query::query(args),
        Journal::Tail(args) => tail::tail(args),
        Journal::Otlp(args) => otlp::send(args),
        Journal::Erase(args) => erase::erase(args),
        Journal::Prune(args) => prune::prune(args),
    }
}

/// A run that is shown: of the state folder, or a bundle's.
struct Shown {
    run: String,
    journal: PathBuf,
    /// Its files go with it.
    _bundle: Option<Unpacked>,
}

impl Shown {
    fn find(state: &Path, named: &str) -> Result<Self, Failure> {
        if let Some(bundle) = bundle::named(named, bundle::Signals::Remove)? {
            let (run, journal) = (bundle.manifest.run.clone(), bundle.path().join("journal"));
            return Ok(Self { run, journal, _bundle: Some(bundle) });
        }
        let run = runs::find(state, named)?;
        Ok(Self { journal: runs::journal(state, &run), run, _bundle: None })
    }
}

fn show(shown: &Shown, json: bool, all: bool, colour: Colour) -> Result<u8, Failure> {
    let mut reader = Reader::open(&shown.journal).map_err(|error| broken(&error))?;
    let shown = if json {
        json_to_stdout(&mut reader)
    } else {
        let mut style = Style::of_stdout();
        style.fold = !all;
        match colour {
            Colour::Auto => {}
            Colour::Always => style.colour = true,
            Colour::Never => style.colour = false,
        }
        render(reader, &mut io::BufWriter::new(io::stdout().lock()), style)
    };
    match shown {
        Ok(()) => Ok(0),
        Err(ShowError::Output(error)) => Err(error.into()),
        Err(ShowError::Journal(error)) => Err(broken(&error)),
    }
}

/// A run's records as `query` prints them.
fn events(shown: &Shown, format: Format) -> Result<u8, Failure> {
    let mut reader = Reader::open(&shown.journal).map_err(|error| broken(&error))?;
    let (mut scene, mut printer) = (Scene::new(&shown.run), Printer::stdout(format, false));
    loop {
        match reader.read() {
            Ok(Some(line)) => {
                let under = scene.read(&line.entry);
                printer.print(&scene, &line, under.as_ref())?;
            }
            Ok(None) => {
                printer.flush()?;
                return Ok(0);
            }
            Err(error) => {
                printer.flush()?;
                return Err(broken(&error));
            }
        }
    }
}
