//! Lifecycle of a run: reservation, plans, launch, attestation, mediation, reclaim.
//!
//! One-shot mode: [`run::run`] plays the daemon's part for one run. Data goes one way: a policy becomes
//! plans ([`planner`]), plans become process sets ([`launch`]), the kernel's account of them ([`attest`])
//! becomes the journal's first record, and what is left is reclaimed ([`reclaim`]).

mod attest;
mod cache;
mod ceiling;
mod cgroup;
pub mod doctor;
mod environment;
mod error;
pub mod fit;
pub mod frozen;
mod heads;
mod home;
pub mod janitor;
mod journald;
mod landlock_abi;
mod launch;
pub mod launched;
mod memfd;
pub mod objects;
pub mod operator;
mod output;
mod planner;
mod receive;
mod reclaim;
pub mod recorded;
mod reserve;
pub mod run;
mod secrets;
pub mod settings;
mod workspace;

pub use error::RunError;
pub use home::{Home, STATE};
pub use reserve::{FIRST_HOST_ID, IDS, MAX_RUNS};
