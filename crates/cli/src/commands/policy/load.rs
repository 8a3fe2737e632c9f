//! Policies as these commands load them: whoever owns the file, beneath a ceiling.

use std::path::Path;

use serde_json::{Value, json};
use stockade_policy::{Ceiling, Diagnostics, Options, Policy, Trust, load_with};

use crate::args::policy::Above;
use crate::exit;
use crate::failure::Failure;
use crate::output;
use crate::screen::rendered;

/// How the policies of one command are loaded.
pub(super) struct Loader {
    pub(super) options: Options,
}

/// Why a command ends here: what to say, or the exit code if it has been said.
pub(super) type Ended = Result<u8, Failure>;

impl Loader {
    /// With the ceiling that the command line names, or the host's.
    pub(super) fn new(above: &Above, json: bool) -> Result<Self, Ended> {
        let ceiling = match &above.ceiling {
            Some(path) => Ceiling::load(path, Trust::Inspect).map(Some),
            None if above.no_ceiling => Ok(None),
            None => Ceiling::of_host(),
        };
        let ceiling = ceiling.map_err(|found| ended(json, &found))?;
        Ok(Self { options: Options { ceiling, trust: Trust::Inspect, ..Options::default() } })
    }

    /// Failing tests do not keep a policy from being looked at.
    pub(super) fn without_tests(mut self) -> Self {
        self.options.tests = false;
        self
    }

    pub(super) fn load(&self, path: &Path) -> Result<Policy, Diagnostics> {
        load_with(path, &self.options)
    }

    /// For commands that can do nothing without it.
    pub(super) fn need(&self, path: &Path, json: bool) -> Result<Policy, Ended> {
        self.load(path).map_err(|found| ended(json, &found))
    }
}

/// Says what is wrong with a file.
pub(super) fn ended(json: bool, found: &Diagnostics) -> Ended {
    if json {
        output::json(&json!({ "ok": false, "diagnostics": diagnostics(found) }))?;
        return Ok(exit::POLICY);
    }
    Err(refused(found))
}

/// What is wrong with a file, for stderr.
#[must_use]
pub fn refused(found: &Diagnostics) -> Failure {
    let colour = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
    Failure { code: exit::POLICY, message: rendered(found.render(colour).trim_end()) }
}

pub(super) fn diagnostics(found: &Diagnostics) -> Vec<Value> {
    let one = |d: &stockade_policy::Diagnostic| {
        let (line, column) = d.position.unzip();
        json!({ "message": d.message, "help": d.help, "file": d.file, "line": line, "column": column })
    };
    found.iter().map(one).collect()
}
