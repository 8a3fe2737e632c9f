//! Records on standard output, in the form that was asked for.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use stockade_journal::{Line, hex};

use super::{Scene, Under, ocsf, otlp};
use crate::screen;
use crate::show::{self, Page, Style};

/// How records are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A line for people
    Text,
    /// The record with its run and hash, as JSON
    Json,
    /// An event of OCSF 1.8, as JSON
    Ocsf,
    /// A request to export an OpenTelemetry log record (OTLP), as JSON
    Otlp,
}

/// Prints records one after the other.
pub struct Printer<W: Write> {
    out: W,
    format: Format,
    style: Style,
    /// Whether nothing may be printed that acts on a terminal.
    terminal: bool,
    /// Whether lines for people say which run they are of.
    named: bool,
    /// This machine's name.
    host: String,
}

impl Printer<io::BufWriter<io::StdoutLock<'static>>> {
    /// For standard output as it is.
    #[must_use]
    pub fn stdout(format: Format, named: bool) -> Self {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        Self {
            out: io::BufWriter::new(stdout.lock()),
            format,
            style: Style::of_stdout(),
            terminal,
            named,
            host: host(),
        }
    }
}

impl<W: Write> Printer<W> {
    /// The same, into something else.
    pub fn to<V: Write>(&self, out: V) -> Printer<V> {
        Printer {
            out,
            format: self.format,
            style: self.style,
            terminal: self.terminal,
            named: self.named,
            host: self.host.clone(),
        }
    }

    /// What it prints to.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    /// Prints a record. `scene` has read it, and said what call it is `under`.
    ///
    /// # Errors
    /// Those of the output.
    pub fn print(&mut self, scene: &Scene, line: &Line<'_>, under: Option<&Under>) -> io::Result<()> {
        match self.format {
            Format::Text => {
                let run = self.named.then_some(scene.run.as_str());
                show::line(&mut Page::new(&mut self.out, self.style), run, &line.entry, under)
            }
            Format::Json => {
                let record = String::from_utf8_lossy(line.bytes);
                let hash = hex(&line.hash);
                let run = serde_json::Value::from(scene.run.as_str());
                self.json(&format!("{{\"run\":{run},\"hash\":\"{hash}\",\"record\":{record}}}"))
            }
            Format::Ocsf => {
                let event = ocsf::ocsf(scene, &line.entry, &hex(&line.hash), under, &self.host);
                self.json(&event.to_string())
            }
            Format::Otlp => {
                let record = otlp::record(scene, &line.entry, &hex(&line.hash), under);
                self.json(&otlp::request(vec![record], &self.host).to_string())
            }
        }
    }

    /// Lets go of what is held back.
    ///
    /// # Errors
    /// Those of the output.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn json(&mut self, text: &str) -> io::Result<()> {
        match self.terminal {
            true => writeln!(self.out, "{}", screen::json(text)),
            false => writeln!(self.out, "{text}"),
        }
    }
}

/// This machine's name.
#[must_use]
pub fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "unknown".to_owned(),
        name => name.to_owned(),
    }
}
