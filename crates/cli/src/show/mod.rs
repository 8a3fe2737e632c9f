//! A run's journal as a person reads it: what ran, what held it, what it did, what was stopped by
//! which layer, and how it ended.

mod approval;
mod call;
mod enforcement;
mod header;
mod line;
mod page;
mod tally;
mod text;
mod trajectory;

use std::fmt;
use std::io::{self, IsTerminal, Write};

use stockade_journal::{Entry, ReadError, Reader, Record};

use header::header;
pub(crate) use line::line;
pub(crate) use page::{Page, Tone};
use tally::Tally;
use trajectory::Trajectory;

/// Column of what is said about a break.
const BROKEN: usize = 16;

/// How a page looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// With ANSI colours.
    pub colour: bool,
    /// Columns of the screen; lines are kept within them where their content lets them.
    pub width: usize,
    /// Whether calls that repeat the one before are counted instead of shown.
    pub fold: bool,
}

impl Style {
    /// No colours, 100 columns.
    #[must_use]
    pub fn plain() -> Self {
        Self { colour: false, width: 100, fold: true }
    }

    /// For standard output as it is: colours on a terminal unless NO_COLOR is set, 100 columns
    /// unless COLUMNS says otherwise.
    #[must_use]
    pub fn of_stdout() -> Self {
        let colour = anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never;
        let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        Self { colour, width: columns.unwrap_or(100usize).clamp(60, 400), fold: true }
    }
}

/// Why a journal could not be shown to its end.
#[derive(Debug)]
pub enum ShowError {
    /// The journal can't be read on; what came before has been shown.
    Journal(ReadError),
    /// The output took no more.
    Output(io::Error),
}

impl fmt::Display for ShowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Journal(error) => write!(f, "journal: {}", crate::screen::plain(&error.to_string())),
            Self::Output(error) => write!(f, "output: {error}"),
        }
    }
}

impl std::error::Error for ShowError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Journal(error) => Some(error),
            Self::Output(error) => Some(error),
        }
    }
}

impl From<io::Error> for ShowError {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Shows a journal, in the memory of a few records. Where it breaks, the page says so and the
/// error is given back.
///
/// # Errors
/// [`ShowError`]; a closed pipe is [`ShowError::Output`] with [`io::ErrorKind::BrokenPipe`].
pub fn render(
    entries: impl Iterator<Item = Result<Entry, ReadError>>,
    out: &mut impl Write,
    style: Style,
) -> Result<(), ShowError> {
    let mut page = Page::new(out, style);
    let mut tally = Tally::default();
    let mut trajectory: Option<Trajectory> = None;
    let mut broken = None;
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                broken = Some(error);
                break;
            }
        };
        tally.count(&entry);
        let path = match &mut trajectory {
            Some(path) => path,
            None => {
                match &entry.record {
                    Record::Start(start) => header(&mut page, &entry, start)?,
                    Record::Tombstone { .. } => header::pruned(&mut page)?,
                    _ => header::without_start(&mut page)?,
                }
                trajectory.insert(Trajectory::begin(&mut page, &entry)?)
            }
        };
        path.show(&mut page, entry)?;
    }
    if let Some(path) = &mut trajectory {
        path.end(&mut page)?;
    }
    if let Some(error) = &broken {
        page.blank()?;
        page.put(Tone::Bad, "JOURNAL BROKEN").wrapped(BROKEN, Tone::Plain, &error.to_string())?;
        page.to(BROKEN).text("What is above holds together but for its last line; what follows is unknown.").end()?;
    }
    tally.show(&mut page, broken.is_some())?;
    out.flush()?;
    broken.map_or(Ok(()), |error| Err(ShowError::Journal(error)))
}

/// Prints the lines of a journal as they are. On a terminal, characters that would act on it are
/// written as JSON escapes, which mean the same.
///
/// # Errors
/// [`ShowError`]; what came before the break has been printed.
pub fn json(reader: &mut Reader, out: &mut impl Write, terminal: bool) -> Result<(), ShowError> {
    loop {
        match reader.read() {
            Ok(Some(line)) if terminal => writeln!(out, "{}", text::json_escape(line.bytes))?,
            Ok(Some(line)) => {
                out.write_all(line.bytes)?;
                out.write_all(b"\n")?;
            }
            Ok(None) => return Ok(out.flush()?),
            Err(error) => {
                out.flush()?;
                return Err(ShowError::Journal(error));
            }
        }
    }
}

/// [`json`] for standard output as it is.
///
/// # Errors
/// Those of [`json`].
pub fn json_to_stdout(reader: &mut Reader) -> Result<(), ShowError> {
    let stdout = io::stdout();
    let terminal = stdout.is_terminal();
    json(reader, &mut io::BufWriter::new(stdout.lock()), terminal)
}
