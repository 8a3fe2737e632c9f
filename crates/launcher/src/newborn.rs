//! The newborn's side: every layer from the outside in, each step with the reason for its place.

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use caps::CapSet;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid, chdir, fchdir, pivot_root, read, sethostname, setresgid, setresuid, setsid, write};
use stockade_plan::Plan;
use stockade_plan::report::Report;
use stockade_plan::step::Step;

use crate::descriptors::{Slots, lay_out};
use crate::error::{At, StepError, fault};
use crate::landlock_layer;
use crate::network;
use crate::root;
use crate::socket::LaunchSocket;
use crate::sys;

/// A process that has its namespaces and nothing else.
#[derive(Debug)]
pub struct Newborn {
    /// The checked plan.
    pub plan: Plan,
    /// Its descriptors.
    pub slots: Slots,
    /// Its filter.
    pub filter: Vec<u8>,
    /// The root's detached mounts.
    pub trees: Vec<OwnedFd>,
    /// One byte when the ids are mapped; end of file if they never will be.
    pub mapped: OwnedFd,
}

impl Newborn {
    /// Runs to the exec, or reports why not and ends.
    pub fn live(self, socket: &LaunchSocket) -> ! {
        // The socket is moved to its final number on the way; reports use whatever number is valid.
        let Ok(own) = crate::socket::raise(socket.as_fd(), 200) else { sys::exit_now(1) };
        let mut own = LaunchSocket::from(own);
        let Err(error) = self.run(&mut own);
        // If the supervisor is gone there is nobody to tell; the exit is the report.
        let _told = own.fail(error);
        sys::exit_now(1)
    }

    fn run(self, socket: &mut LaunchSocket) -> Result<Infallible, StepError> {
        let Self { plan, slots, filter, trees, mapped } = self;

        // Dispositions survive execve; nothing of the parent's shall.
        sys::reset_signals().at(Step::Signals)?;

        // Until the ids are mapped every id-changing call would fail.
        if read(&mapped, &mut [0]).at(Step::Mapped)? != 1 {
            return Err(fault(Step::Mapped));
        }
        drop(mapped);

        // Root of the new user namespace: owner of what is built below. Gid first, while we may.
        setresgid(Gid::from_raw(0), Gid::from_raw(0), Gid::from_raw(0)).at(Step::Root)?;
        setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0)).at(Step::Root)?;

        // v1 groups: one thread that writes "0" for itself needs no global lock, so this is cheap. The files
        // were opened by the host's root, whose rights count (cgroups(7)).
        for (index, slot) in plan.cgroups.v1.iter().enumerate() {
            let tasks = slots.get(*slot).at_index(Step::JoinCgroup, index)?;
            write(tasks, b"0").at_index(Step::JoinCgroup, index)?;
        }
        // After joining, so that the namespace's root is the cell's own group.
        unshare(CloneFlags::CLONE_NEWCGROUP).at(Step::CgroupNamespace)?;

        // No controlling terminal: TIOCSTI has nothing to push into.
        setsid().at(Step::Session)?;
        sethostname(&plan.hostname).at(Step::Hostname)?;

        // While we are root of what owns the network namespace: ports below 1024 are bound, and routes are made.
        network::open(&plan.listeners, socket)?;

        // Nothing mounted here reaches the host, nothing mounted there arrives.
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
            .at(Step::Private)?;
        // Attached before it is filled: until Linux 6.15 nothing can be mounted in a tree that is not.
        let new_root = root::create().at(Step::NewRoot)?;
        root::attach(&new_root).at(Step::NewRoot)?;
        root::fill(&new_root, &plan.root, trees)?;

        // pivot_root(".", ".") stacks the old root on the new one, from where it is detached.
        fchdir(&new_root).at(Step::Pivot)?;
        pivot_root(".", ".").at(Step::Pivot)?;
        umount2(".", MntFlags::MNT_DETACH).at(Step::OldRoot)?;
        chdir("/").at(Step::OldRoot)?;
        root::seal(&new_root).at(Step::ReadOnly)?;
        drop(new_root);
        chdir(plan.exec.cwd.as_str()).at(Step::Cwd)?;

        // Descriptors before the limit on their number.
        let program = lay_out(slots, &plan.descriptors, socket, plan.exec.program).at(Step::Descriptors)?;
        for (index, limit) in plan.rlimits.iter().enumerate() {
            sys::set_rlimit(limit.resource, limit.value).at_index(Step::Rlimit, index)?;
        }

        // The bounding set needs CAP_SETPCAP and so goes before the other sets; the securebits need it too.
        caps::clear(None, CapSet::Bounding).at(Step::BoundingSet)?;
        sys::lock_securebits().at(Step::SecureBits)?;
        let (uid, gid) = (Uid::from_raw(plan.ids.uid), Gid::from_raw(plan.ids.gid));
        setresgid(gid, gid, gid).at(Step::Identity)?;
        setresuid(uid, uid, uid).at(Step::Identity)?;
        // NO_SETUID_FIXUP kept them through the change of uid: they are dropped by name.
        caps::clear(None, CapSet::Ambient).at(Step::Capabilities)?;
        caps::clear(None, CapSet::Inheritable).at(Step::Capabilities)?;
        caps::clear(None, CapSet::Permitted).at(Step::Capabilities)?;

        // Required by the two layers below for a process without capabilities.
        prctl::set_no_new_privs().at(Step::NoNewPrivs)?;
        let canaries = landlock_layer::restrict(&plan.landlock, &program)?;

        // Changes of credentials clear the death signal, so it comes after them. The parent may have died
        // before it was set: then its end of the socket is closed.
        prctl::set_pdeathsig(Signal::SIGKILL).at(Step::DeathSignal)?;
        if !socket.is_open() {
            return Err(fault(Step::DeathSignal));
        }

        let argv = c_strings(&plan.exec.argv).ok_or(fault(Step::Exec))?;
        let env = c_strings(&plan.exec.env).ok_or(fault(Step::Exec))?;

        // Last: from here on only what the filter allows.
        // The listener is given away and closed before the layers are read back.
        if let Some(listener) = sys::install_filter(&filter, plan.seccomp.listener).at(Step::Seccomp)? {
            socket.tell(Report::Listening, Some(listener.as_fd())).at(Step::Seccomp)?;
        }
        let ready =
            Report::Ready { landlock_abi: plan.landlock.abi, canary_fs: canaries.file, canary_net: canaries.net };
        socket.tell(ready, None).at(Step::Ready)?;

        // The supervisor now reads everything back through procfs, from outside.
        socket.wait_for_go()?;
        Err(sys::exec(program.as_fd(), &argv, &env)).at(Step::Exec)
    }
}

fn c_strings(strings: &[String]) -> Option<Vec<CString>> {
    strings.iter().map(|s| CString::new(s.as_str()).ok()).collect()
}
