//! What an operator says to runs that live.

mod approvals;
mod freeze;
mod stop;

pub use approvals::approvals;
pub use freeze::{freeze, thaw};
pub use stop::stop;

use stockade_supervisor::operator::{ask, live};
use stockade_wire::operator::{Answer, Order, Question};

use crate::failure::Failure;
use crate::screen::plain;

/// Exit code of an order that was not carried out.
const NOT_DONE: u8 = 28;

/// These commands speak to root's sockets.
fn as_root() -> Result<(), Failure> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    Err(Failure { code: 13, message: "runs take orders from root alone: use sudo".to_owned() })
}

/// A run that lives, by its id.
fn living(run: &str) -> Result<String, Failure> {
    let runs = live()?;
    if runs.iter().any(|id| id == run) {
        return Ok(run.to_owned());
    }
    let others = match runs.as_slice() {
        [] => "no run lives here".to_owned(),
        some => format!("these do: {}", some.join(", ")),
    };
    Err(Failure::usage(plain(&format!("no run {run:?} lives; {others}"))))
}

/// The answer of a run that must give one.
fn answer_of(run: &str, question: &Question) -> Result<Answer, Failure> {
    ask(run, question)?
        .ok_or_else(|| Failure { code: NOT_DONE, message: format!("run {run} ended before it answered") })
}

/// Gives an order to a run: what it said.
fn order(run: &str, order: Order, note: &str) -> Result<String, Failure> {
    match answer_of(run, &Question::Order { order, note: note.to_owned() })? {
        Answer::Done { what } => Ok(what),
        Answer::Refused { why } => Err(Failure { code: NOT_DONE, message: plain(&why) }),
        other => Err(Failure::internal(&format!("run {run} answered {other:?}"))),
    }
}
