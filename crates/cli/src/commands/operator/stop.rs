//! `stockade stop --now`.

use std::io::{self, Write};

use stockade_supervisor::operator::{ask, stop_by_force};
use stockade_wire::operator::{Answer, Question};

use super::{as_root, living};
use crate::args::operator::Stop;
use crate::failure::Failure;
use crate::say::say;
use crate::screen::plain;

/// Ends a run.
///
/// # Errors
/// If its cells may still be there.
pub fn stop(args: &Stop) -> Result<u8, Failure> {
    as_root()?;
    let run = living(&args.run)?;
    let told = match ask(&run, &Question::Stop { note: args.note.note.clone() }) {
        Ok(Some(Answer::Done { what })) => what,
        Ok(Some(Answer::Refused { why })) => return Err(Failure::usage(plain(&why))),
        Ok(Some(other)) => return Err(Failure::internal(&format!("run {run} answered {other:?}"))),
        Ok(None) => "it has ended".to_owned(),
        Err(error) => {
            say(&format!("stockade: its supervisor does not answer ({error}); its cells are killed by their cgroups"));
            match stop_by_force(&run)? {
                true => "killed: its cells are gone; its supervisor still has to reclaim the rest".to_owned(),
                false => "it has ended".to_owned(),
            }
        }
    };
    writeln!(io::stdout(), "{run}: {}", plain(&told))?;
    Ok(0)
}
