//! Shared by the two programs.
