//! The part of classic BPF that seccomp takes (Documentation/networking/filter.rst, seccomp(2)), run
//! on a value instead of a syscall.

/// `AUDIT_ARCH_X86_64` of linux/audit.h.
pub const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;

/// `struct seccomp_data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Syscall number.
    pub nr: i32,
    /// `AUDIT_ARCH_*`.
    pub arch: u32,
    /// Address of the caller.
    pub instruction_pointer: u64,
    /// Argument registers.
    pub args: [u64; 6],
}

impl Call {
    /// The 32-bit word at a byte offset, as on a little-endian machine.
    fn word(&self, offset: u32) -> Option<u32> {
        let half = |value: u64, high: bool| if high { (value >> 32) as u32 } else { value as u32 };
        match offset {
            0 => Some(self.nr as u32),
            4 => Some(self.arch),
            8 | 12 => Some(half(self.instruction_pointer, offset == 12)),
            16..64 if offset.is_multiple_of(4) => {
                let at = usize::try_from((offset - 16) / 8).ok()?;
                self.args.get(at).map(|arg| half(*arg, offset % 8 == 4))
            }
            _ => None,
        }
    }
}

/// What a call gets, in the kernel's order of precedence: when several filters are installed, the
/// least of their actions holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// The process is killed.
    KillProcess,
    /// The thread is killed.
    KillThread,
    /// `SIGSYS`.
    Trap,
    /// Fails with this errno.
    Errno(u16),
    /// The listener is asked (seccomp_unotify(2)).
    Notify,
    /// A tracer is asked.
    Trace,
    /// Goes on, and is logged.
    Log,
    /// Goes on.
    Allow,
}

impl Action {
    fn from_return(value: u32) -> Self {
        match value & 0xffff_0000 {
            0x8000_0000 => Self::KillProcess,
            0x0003_0000 => Self::Trap,
            0x0005_0000 => Self::Errno((value & 0xffff) as u16),
            0x7fc0_0000 => Self::Notify,
            0x7ff0_0000 => Self::Trace,
            0x7ffc_0000 => Self::Log,
            0x7fff_0000 => Self::Allow,
            0x0000_0000 => Self::KillThread,
            // The kernel treats what it does not know as the strictest.
            _ => Self::KillProcess,
        }
    }
}

/// Why bytes are no filter; holds the index of the instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgramError {
    /// Runs past its end, or its length is no multiple of 8.
    End(usize),
    /// An instruction that seccomp does not take, by its code.
    Instruction(usize, u16),
    /// A load from outside `struct seccomp_data`, by its offset.
    Load(usize, u32),
}

impl std::fmt::Display for ProgramError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::End(at) => write!(f, "filter runs past its end at instruction {at}"),
            Self::Instruction(at, code) => write!(f, "filter instruction {at} has code {code:#06x}"),
            Self::Load(at, offset) => write!(f, "filter instruction {at} loads offset {offset}"),
        }
    }
}

impl std::error::Error for ProgramError {}

struct Instruction {
    code: u16,
    jump_true: usize,
    jump_false: usize,
    k: u32,
}

fn instruction(bpf: &[u8], at: usize) -> Option<Instruction> {
    let &[c0, c1, jt, jf, k0, k1, k2, k3] = bpf.chunks_exact(8).nth(at)? else { return None };
    Some(Instruction {
        code: u16::from_ne_bytes([c0, c1]),
        jump_true: usize::from(jt),
        jump_false: usize::from(jf),
        k: u32::from_ne_bytes([k0, k1, k2, k3]),
    })
}

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const RETURN: u16 = 0x06; // BPF_RET | BPF_K
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const JUMP_EQ: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_GT: u16 = 0x25; // BPF_JMP | BPF_JGT | BPF_K
const JUMP_GE: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const JUMP_SET: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K

/// Runs a filter. Jumps only go forward, so it ends.
pub(super) fn run(bpf: &[u8], call: &Call) -> Result<Action, ProgramError> {
    let mut accumulator = 0u32;
    let mut at = 0usize;
    loop {
        let Instruction { code, jump_true, jump_false, k } = instruction(bpf, at).ok_or(ProgramError::End(at))?;
        let branch = |taken: bool| if taken { jump_true } else { jump_false };
        let skip = match code {
            LOAD => {
                accumulator = call.word(k).ok_or(ProgramError::Load(at, k))?;
                0
            }
            AND => {
                accumulator &= k;
                0
            }
            RETURN => return Ok(Action::from_return(k)),
            JUMP => usize::try_from(k).unwrap_or(usize::MAX),
            JUMP_EQ => branch(accumulator == k),
            JUMP_GT => branch(accumulator > k),
            JUMP_GE => branch(accumulator >= k),
            JUMP_SET => branch(accumulator & k != 0),
            _ => return Err(ProgramError::Instruction(at, code)),
        };
        at = at.saturating_add(1).saturating_add(skip);
    }
}

/// Every action the filter can return.
pub(super) fn returns(bpf: &[u8]) -> impl Iterator<Item = Action> {
    (0..bpf.len() / 8)
        .filter_map(|at| instruction(bpf, at))
        .filter(|i| i.code == RETURN)
        .map(|i| Action::from_return(i.k))
}
