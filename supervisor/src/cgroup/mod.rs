//! Control groups of a run: v2 where it has the controllers, v1 for those that it has not (cgroups(7)).

mod cell;
mod hierarchy;
mod io;
mod kill;

pub(crate) use cell::{CellGroup, Events, Limits};
pub(crate) use hierarchy::Hierarchies;
pub(crate) use io::IoLimit;
pub(crate) use kill::{end_group, remove_tree, wait_empty};
