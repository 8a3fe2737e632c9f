//! supervisor.

pub mod doctor;
