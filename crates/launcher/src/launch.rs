//! The launcher's side of a birth: everything that needs the host's root.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{pipe2, setgroups, write};
use sha2::{Digest, Sha256};
use stockade_plan::report::Report;
use stockade_plan::step::Step;
use stockade_plan::{Plan, filter};

use crate::ceiling;
use crate::descriptors::Slots;
use crate::error::{At, StepError, fault};
use crate::idmap;
use crate::newborn::Newborn;
use crate::socket::LaunchSocket;
use crate::sys::{self, Side};

/// Longest filter: the kernel's own bound, `BPF_MAXINSNS` of 8 bytes.
const MAX_FILTER: u64 = 4096 * 8;

/// The process set is born and announced.
#[derive(Debug)]
pub struct Done;

/// A checked plan with its descriptors.
#[derive(Debug)]
pub struct Launch<'a> {
    plan: Plan,
    slots: Slots,
    filter: Vec<u8>,
    socket: &'a LaunchSocket,
}

impl<'a> Launch<'a> {
    /// Reads a plan and holds it against the floor and the host's ceiling.
    pub fn receive(socket: &'a LaunchSocket) -> Result<Self, StepError> {
        let (bytes, fds) = socket.receive()?;
        let plan = Plan::decode(&bytes).map_err(|_| fault(Step::Plan))?;
        plan.check(fds.len()).map_err(|_| fault(Step::Plan))?;
        let slots = Slots(fds);
        // Root's own file has the last word on what root's program does, whoever asks.
        ceiling::hold(&plan, &slots)?;
        let profile = read_filter(slots.get(plan.seccomp.filter).at(Step::FilterDigest)?)?;
        if Sha256::digest(&profile)[..] != plan.seccomp.digest {
            return Err(fault(Step::FilterDigest));
        }
        // The digest names the shipped profile; what is added to it is data of the plan, judged above.
        let mut filter = filter::prefix(&plan.seccomp.additions);
        filter.extend(profile);
        Ok(Self { plan, slots, filter, socket })
    }

    /// Gives birth. Ends after the announcement; the newborn goes on by itself.
    pub fn run(self) -> Result<Done, StepError> {
        // One thread, or clone3 as fork would copy locks that nobody will open.
        single_thread()?;

        // The newborn inherits no group; with `setgroups` denied below it can never have one.
        setgroups(&[]).at(Step::Groups)?;

        // A time namespace takes effect for children. Both clocks start near zero, so that the host's
        // uptime does not show.
        unshare(CloneFlags::from_bits_retain(libc::CLONE_NEWTIME)).at(Step::TimeNamespace)?;
        offset_clocks().at(Step::TimeNamespace)?;

        // Sources are turned into mounts by descriptor while we still may.
        let trees = idmap::detach(&self.plan.root, &self.slots, &self.plan.ids)?;

        // CLONE_PARENT makes the newborn a child of whoever asked for the launch: it can wait for it, and
        // its death signal works.
        let (mapped_reader, mapped_writer) = pipe2(nix::fcntl::OFlag::O_CLOEXEC).at(Step::Clone)?;
        let flags = libc::CLONE_PARENT
            | libc::CLONE_NEWUSER
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWNS
            | libc::CLONE_NEWNET
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUTS;
        let cgroup = self.slots.get(self.plan.cgroups.v2).at(Step::Clone)?.as_fd();
        match sys::clone3(flags.unsigned_abs().into(), 0, Some(cgroup)).at(Step::Clone)? {
            Side::Child => {
                drop(mapped_writer);
                let Self { plan, slots, filter, socket } = self;
                let newborn = Newborn { plan, slots, filter, trees, mapped: mapped_reader };
                newborn.live(socket)
            }
            Side::Parent(pid, pidfd) => {
                drop(mapped_reader);
                self.map(pid)?;
                let born = Report::Born { pid: pid.unsigned_abs() };
                self.socket.tell(born, Some(pidfd.as_fd())).at(Step::Announce)?;
                // Not before the announcement: the supervisor hears of the birth first.
                write(&mapped_writer, b"m").at(Step::Announce)?;
                Ok(Done)
            }
        }
    }

    /// Maps ids. Where this fails the pipe closes unwritten and the newborn ends itself.
    fn map(&self, pid: libc::pid_t) -> Result<(), StepError> {
        let ids = &self.plan.ids;
        let map = format!("0 {} {}", ids.host, ids.count);
        fs::write(format!("/proc/{pid}/setgroups"), "deny").at(Step::IdMap)?;
        fs::write(format!("/proc/{pid}/gid_map"), &map).at(Step::IdMap)?;
        fs::write(format!("/proc/{pid}/uid_map"), &map).at(Step::IdMap)?;
        // Under memory pressure of the host an agent goes before the services.
        fs::write(format!("/proc/{pid}/oom_score_adj"), "500").at(Step::OomScore)
    }
}

fn single_thread() -> Result<(), StepError> {
    match fs::read_dir("/proc/self/task").at(Step::SingleThread)?.count() {
        1 => Ok(()),
        _ => Err(fault(Step::SingleThread)),
    }
}

fn offset_clocks() -> Result<(), std::io::Error> {
    let back = |clock| clock_gettime(clock).map(|now| Duration::from(now).as_secs());
    let monotonic = back(ClockId::CLOCK_MONOTONIC)?;
    let boottime = back(ClockId::CLOCK_BOOTTIME)?;
    fs::write("/proc/self/timens_offsets", format!("monotonic -{monotonic} 0\nboottime -{boottime} 0\n"))
}

fn read_filter(fd: &OwnedFd) -> Result<Vec<u8>, StepError> {
    use nix::sys::uio::pread;
    let size = nix::sys::stat::fstat(fd).at(Step::FilterDigest)?.st_size;
    let size = u64::try_from(size).ok().filter(|size| *size <= MAX_FILTER).ok_or(fault(Step::FilterDigest))?;
    let mut bytes = vec![0; usize::try_from(size).map_err(|_| fault(Step::FilterDigest))?];
    let read = pread(fd, &mut bytes, 0).at(Step::FilterDigest)?;
    if read == bytes.len() { Ok(bytes) } else { Err(Errno::EIO).at(Step::FilterDigest) }
}
