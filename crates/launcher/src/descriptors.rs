//! The final layout of descriptors: `0..=15` as the plan says, [`SOCKET`] and [`PROGRAM`] until the exec,
//! nothing else.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use stockade_plan::{Descriptor, Slot};

use crate::socket::{LaunchSocket, raise};
use crate::sys;

/// Number of the launch socket; closes at exec.
const SOCKET: i32 = 16;
/// Number of the program's executable; closes at exec.
const PROGRAM: i32 = 17;
/// Above every number of the layout.
const PARKING: i32 = 64;

/// The descriptors that came with a plan, by slot.
#[derive(Debug)]
pub struct Slots(pub Vec<OwnedFd>);

impl Slots {
    /// The descriptor of a slot.
    pub fn get(&self, slot: Slot) -> Result<&OwnedFd, Errno> {
        self.0.get(usize::from(slot.0)).ok_or(Errno::EBADF)
    }
}

/// Lays out the descriptors and closes all others. Consumes every owner, because their numbers are gone
/// afterwards.
pub fn lay_out(
    slots: Slots,
    wanted: &[Descriptor],
    socket: &mut LaunchSocket,
    program: Slot,
) -> Result<OwnedFd, Errno> {
    // Everything is first parked above the layout, so that no dup3 below hits a source.
    socket.raise(PARKING)?;
    let program = raise(slots.get(program)?.as_fd(), PARKING)?;
    let mut parked = Vec::with_capacity(wanted.len());
    for descriptor in wanted {
        parked.push((raise(slots.get(descriptor.slot)?.as_fd(), PARKING)?, descriptor.target));
    }
    drop(slots);
    sys::close_range(0, SOCKET.unsigned_abs() - 1)?;
    for (fd, target) in parked {
        sys::leave_open(sys::dup_to(fd.as_fd(), target.into(), false)?);
    }
    socket.move_to(SOCKET)?;
    let program = sys::dup_to(program.as_fd(), PROGRAM, true)?;
    sys::close_range(PROGRAM.unsigned_abs() + 1, u32::MAX)?;
    Ok(program)
}
