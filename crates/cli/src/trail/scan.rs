//! The records of one run that are asked for.

use std::ops::ControlFlow;
use std::path::Path;

use stockade_journal::{Line, ReadError, hex};

use super::{Filter, Scene, Under};
use crate::runs::{open, unfinished};

/// Reads the journal in `dir` and hands over what `filter` asks for, until it ends, breaks or `take` has enough. What
/// `take` says is the outer error, what is wrong with the journal the inner one.
///
/// # Errors
/// What `take` gives.
pub fn scan<E>(
    dir: &Path,
    run: &str,
    filter: &Filter,
    mut take: impl FnMut(&Scene, &Line<'_>, Option<&Under>) -> Result<ControlFlow<()>, E>,
) -> Result<Result<(), ReadError>, E> {
    let mut reader = match open(dir) {
        Ok(Some(reader)) => reader,
        Ok(None) => return Ok(Ok(())),
        Err(error) => return Ok(Err(error)),
    };
    let mut scene = Scene::new(run);
    loop {
        let line = match reader.read() {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(Ok(())),
            Err(error) => return Ok(unfinished(dir, error)),
        };
        let under = scene.read(&line.entry);
        if filter.matches(&line.entry, line.bytes, || hex(&line.hash), under.as_ref())
            && take(&scene, &line, under.as_ref())?.is_break()
        {
            return Ok(Ok(()));
        }
    }
}
