//! Exit codes that more than one command has (docs/exit-codes.md).

/// A policy or ceiling does not load.
pub const POLICY: u8 = 10;
/// A check or test found something.
pub const FINDINGS: u8 = 16;
/// A policy allows more than another.
pub const WIDENED: u8 = 17;
/// Whether it does cannot be decided.
pub const UNDECIDED: u8 = 18;
/// What was asked about is denied.
pub const DENIED: u8 = 22;
/// It is allowed if a person approves.
pub const ASKS: u8 = 23;
/// A recorded decision would change to a denial.
pub const WOULD_DENY: u8 = 19;
/// Too few witnesses cosigned.
pub const UNWITNESSED: u8 = 25;
/// A replay did not do what is recorded.
pub const DIVERGED: u8 = 27;
/// A recorded decision would change to an allowance.
pub const WOULD_ALLOW: u8 = 24;
