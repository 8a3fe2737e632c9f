//! `stockade policy …`.

mod attempt;
mod ceiling;
mod check;
mod diff;
mod explain;
mod load;
mod new;
mod replay;
mod schema;
mod seal;
mod show;
mod test;

pub use load::refused;
pub use replay::{Changed, Moments, first_change};

use crate::args::policy::Policy;
use crate::failure::Failure;

/// Does what is asked of policies.
///
/// # Errors
/// If it could not be done.
pub fn policy(args: &Policy) -> Result<u8, Failure> {
    match args {
        Policy::Check(args) => check::check(args),
        Policy::Show(args) => show::show(args),
        Policy::Diff(args) => diff::diff(args),
        Policy::Test(args) => test::test(args),
        Policy::Explain(args) => explain::explain(args),
        Policy::Replay(args) => replay::replay(args),
        Policy::Schema(args) => schema::schema(args),
        Policy::New(args) => new::new(args),
        Policy::Seal(args) => seal::seal(args),
        Policy::Ceiling(args) => ceiling::ceiling(args),
    }
}
