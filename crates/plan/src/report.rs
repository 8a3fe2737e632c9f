//! What launcher and newborn tell the supervisor: fixed-size messages over the launch socket.
//!
//! The order is `Born` (with a pidfd), `Net` (with a socket) for each of the plan's listeners, `Listening` (with the listener, if the plan asks for one), then `Ready`;
//! or `Failed` at any point. The supervisor answers `Ready` with one byte, [`GO`]. A socket that closes early is a failed launch.

use crate::step::Step;

/// The byte that lets the program run.
pub const GO: u8 = b'!';
/// Size of each message in bytes.
pub const MESSAGE: usize = 32;

/// One message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// The process exists. Descriptor: its pidfd (pidfd_open(2)).
    Born {
        /// Pid in the launcher's pid namespace.
        pid: u32,
    },
    /// A listener of the plan is open. Descriptor: its socket, of which the newborn keeps none.
    Net {
        /// Its place in the plan.
        index: u32,
    },
    /// The filter is installed. Descriptor: its listener, which the newborn then closes.
    Listening,
    /// Every layer is closed; only the exec is left.
    Ready {
        /// Landlock ABI that is `FullyEnforced`.
        landlock_abi: u8,
        /// Errno with which the canary file failed after the restriction; it opened before.
        canary_fs: i32,
        /// Errno with which binding a TCP port failed after the restriction, `0` where the ABI has no
        /// network rules.
        canary_net: i32,
    },
    /// The launch failed; nothing of the program ran.
    Failed {
        /// Where.
        step: Step,
        /// Errno, `0` if the kernel was not asked.
        errno: i32,
        /// Index into the list the step goes through (root entries, rlimits, rules, …).
        index: u32,
    },
}

impl Report {
    /// The message's bytes.
    #[must_use]
    pub fn encode(self) -> [u8; MESSAGE] {
        let (kind, a, b, c): (u8, u32, i32, i32) = match self {
            Self::Born { pid } => (1, pid, 0, 0),
            Self::Ready { landlock_abi, canary_fs, canary_net } => (2, landlock_abi.into(), canary_fs, canary_net),
            Self::Failed { step, errno, index } => (3, index, errno, (step as u16).into()),
            Self::Listening => (4, 0, 0, 0),
            Self::Net { index } => (5, index, 0, 0),
        };
        let mut out = [0; MESSAGE];
        let parts = [[kind, 0, 0, 0], a.to_le_bytes(), b.to_le_bytes(), c.to_le_bytes()];
        out.chunks_exact_mut(4).zip(parts).for_each(|(to, from)| to.copy_from_slice(&from));
        out
    }

    /// Reads a message; `None` if it is none.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; MESSAGE] = bytes.try_into().ok()?;
        let word = |i: usize| Some(u32::from_le_bytes(bytes.get(i..i + 4)?.try_into().ok()?));
        let signed = |i: usize| word(i).map(u32::cast_signed);
        if bytes.get(1..4)? != [0; 3] || bytes.get(16..)?.iter().any(|b| *b != 0) {
            return None;
        }
        match bytes.first()? {
            1 => Some(Self::Born { pid: word(4)? }),
            2 => Some(Self::Ready {
                landlock_abi: u8::try_from(word(4)?).ok()?,
                canary_fs: signed(8)?,
                canary_net: signed(12)?,
            }),
            3 => {
                let step = Step::from_number(u16::try_from(word(12)?).ok()?)?;
                Some(Self::Failed { step, errno: signed(8)?, index: word(4)? })
            }
            4 => Some(Self::Listening),
            5 => Some(Self::Net { index: word(4)? }),
            _ => None,
        }
    }
}
