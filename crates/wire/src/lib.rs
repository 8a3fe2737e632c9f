//! The conversations of a run's processes, and their bounds.
//!
//! * [`frame`]: cell ⇄ shim, length-prefixed frames over one inherited stream socket.
//!   The cell is hostile; every length is checked before a byte is kept.
//! * [`control`]: supervisor ⇄ shim, one JSON message per `SOCK_SEQPACKET` datagram,
//!   some of which carry descriptors (`SCM_RIGHTS`, unix(7)).
//! * [`egress`]: `stockade-egress` ⇄ its shim, and ⇄ the supervisor, likewise.
//! * [`notary`]: supervisor ⇄ notary, one JSON message per `SOCK_SEQPACKET` datagram.
//! * [`operator`]: an operator's commands ⇄ a run that lives, one JSON message per `SOCK_SEQPACKET` datagram.

pub mod cell;
pub mod control;
pub mod egress;
pub mod frame;
pub mod notary;
pub mod operator;
