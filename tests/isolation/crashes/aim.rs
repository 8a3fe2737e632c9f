//! Whom to kill, and when: at random, and close behind something that happened.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use crate::rig::{Running, pidfd};
use crate::victims::Victim;

/// xorshift64.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        // It would stay at zero.
        Self(seed | 1)
    }

    /// Below `bound`, which is not zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    /// As likely below 10 as between 10 and 100, and so on, up to 2 to the `bits`.
    pub fn of_any_size(&mut self, bits: u64) -> u64 {
        let size = self.below(bits) + 1;
        self.below(1 << size)
    }
}

/// Something that is waited for.
#[derive(Debug, Clone, Copy)]
pub enum Event {
    /// The first victim is there.
    Born,
    /// The journal has so many bytes.
    Grown(u64),
    /// The agent has said its last word.
    Said,
}

/// One shot.
#[derive(Debug)]
pub struct Aim {
    pub victims: Vec<Victim>,
    event: Event,
    /// Turns of an empty loop after the event, and between two victims.
    spins: [u64; 2],
}

/// What is killed, and of a hundred shots how many are at it.
const VICTIMS: [(&[Victim], u64); 13] = [
    (&[Victim::Shim], 22),
    (&[Victim::Stockade], 20),
    (&[Victim::Notary], 12),
    (&[Victim::Stockade, Victim::Shim], 8),
    (&[Victim::Shim, Victim::Stockade], 4),
    (&[Victim::Notary, Victim::Shim], 6),
    (&[Victim::Notary, Victim::Stockade], 6),
    (&[Victim::Janitor, Victim::Stockade], 7),
    (&[Victim::Stockade, Victim::Janitor], 3),
    (&[Victim::Janitor], 2),
    (&[Victim::Launcher], 4),
    (&[Victim::Launcher, Victim::Stockade], 3),
    (&[Victim::Cell], 3),
];

impl Aim {
    /// A journal of `now` bytes will have about `all` in the end.
    pub fn at_random(dice: &mut Dice, now: u64, all: u64) -> Self {
        let mut shot = dice.below(VICTIMS.iter().map(|(_, shots)| shots).sum());
        let hit = VICTIMS.iter().find(|(_, shots)| {
            let hit = shot < *shots;
            shot = shot.saturating_sub(*shots);
            hit
        });
        let victims = hit.unwrap().0.to_vec();
        let event = match dice.below(10) {
            _ if victims[0] == Victim::Launcher => Event::Born,
            0..2 => Event::Born,
            2 => Event::Said,
            _ => Event::Grown(now + 1 + dice.below(all.saturating_sub(now).max(8192))),
        };
        // A turn takes some 10 ns, so that this is up to 5 ms, or 40: a launch takes longer than what is between two records.
        let most = if matches!(event, Event::Born) { 22 } else { 19 };
        Self { victims, event, spins: [dice.of_any_size(most), dice.of_any_size(20)] }
    }

    /// Waits for the event and kills; gives who was hit. `journal` finds the run's first segment.
    pub fn shoot(&self, running: &mut Running, journal: &dyn Fn() -> Option<PathBuf>) -> Vec<Victim> {
        let mut known: Vec<Option<OwnedFd>> = self.victims.iter().map(|_| None).collect();
        if !matches!(self.event, Event::Born) {
            let Some(mut file) = self.wait(running, |_| File::open(journal()?).ok()) else { return Vec::new() };
            let before = file.metadata().unwrap().len();
            // Everybody is there once something is written; who is looked up now need not be later.
            let begun = self.wait(running, |_| (file.metadata().unwrap().len() > before.min(1)).then_some(()));
            if begun.is_none() {
                return Vec::new();
            }
            known = self.victims.iter().map(|victim| hold(*victim, running)).collect();
            if self.wait(running, |_| self.has_come(&mut file).then_some(())).is_none() {
                return Vec::new();
            }
        } else {
            let first = self.victims[0];
            let Some(held) = self.wait(running, |running| hold(first, running)) else { return Vec::new() };
            known[0] = Some(held);
        }
        let mut hit = Vec::new();
        for ((at, victim), held) in self.victims.iter().enumerate().zip(known) {
            spin(self.spins[at.min(1)]);
            let held = held.or_else(|| hold(*victim, running));
            if held.is_some_and(|pidfd| send_kill(&pidfd)) {
                hit.push(*victim);
            }
        }
        hit
    }

    fn has_come(&self, journal: &mut File) -> bool {
        let size = journal.metadata().unwrap().len();
        match self.event {
            Event::Born => true,
            Event::Grown(bytes) => size >= bytes,
            Event::Said => {
                let mut tail = Vec::new();
                journal.seek(SeekFrom::Start(size.saturating_sub(1024))).unwrap();
                journal.read_to_end(&mut tail).unwrap();
                String::from_utf8_lossy(&tail).contains("\"agent_exit\"")
            }
        }
    }

    /// Looks again and again, without sleeping; none if the run ends before.
    fn wait<T>(&self, running: &mut Running, mut look: impl FnMut(&Running) -> Option<T>) -> Option<T> {
        loop {
            if let Some(found) = look(running) {
                return Some(found);
            }
            if running.child.try_wait().unwrap().is_some() {
                return None;
            }
            std::thread::yield_now();
        }
    }
}

/// A process by a descriptor, which stays its own whatever becomes of its number.
fn hold(victim: Victim, running: &Running) -> Option<OwnedFd> {
    let pid = victim.pid(running)?;
    let held = pidfd(u32::try_from(pid.as_raw()).unwrap())?;
    // It may have ended before it was held, and another got the number: that one is nobody's child here.
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let ours = victim == Victim::Stockade || status.contains(&format!("\nPPid:\t{}\n", running.pid()));
    ours.then_some(held)
}

/// pidfd_send_signal(2) with SIGKILL; whether it was there.
fn send_kill(pidfd: &OwnedFd) -> bool {
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: without a siginfo_t the kernel reads nothing of ours.
    unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), libc::SIGKILL, none, 0) == 0 }
}

fn spin(turns: u64) {
    for _ in 0..turns {
        std::hint::spin_loop();
    }
}
