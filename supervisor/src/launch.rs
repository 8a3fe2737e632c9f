//! Asking the launcher for a process set.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socketpair};
use nix::unistd::Pid;
use stockade_plan::report::{GO, MESSAGE, Report};
use stockade_plan::step::Step;
use stockade_plan::{CeilingKey, MAX_PLAN, Plan};

use crate::ceiling;
use crate::error::{Doing, RunError};
use crate::home::Home;
use crate::receive::receive_with_fd;

/// Longest time from the request to the last layer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A plan with its descriptors.
#[derive(Debug)]
pub(crate) struct Order {
    pub what: &'static str,
    pub plan: Plan,
    pub fds: Vec<OwnedFd>,
}

/// A launch under way.
#[derive(Debug)]
pub(crate) struct Pending {
    what: &'static str,
    plan: Plan,
    socket: OwnedFd,
    _launcher: Launcher,
    deadline: Instant,
}

/// A launcher's process. It ends by itself after the announcement; one that is no longer wanted is ended here.
#[derive(Debug)]
struct Launcher(Child);

impl Drop for Launcher {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _status = self.0.wait();
    }
}

/// A process set behind all its layers, one byte from its program.
#[derive(Debug)]
pub(crate) struct Newborn {
    pub what: &'static str,
    pub plan: Plan,
    pub pid: Pid,
    pub pidfd: OwnedFd,
    pub listener: Option<OwnedFd>,
    /// Its listeners' sockets, in the order of the plan, until they are handed on.
    pub net: Vec<OwnedFd>,
    pub landlock: (u8, i32, i32),
    socket: OwnedFd,
}

/// Sends an order to a launcher of its own. Several may be under way at once.
pub(crate) fn begin(home: &Home, order: Order) -> Result<Pending, RunError> {
    let Order { what, plan, fds } = order;
    let path = home.libexec.join("stockade-launcher");
    drop(home.program("stockade-launcher")?);
    ceiling::judge(what, &plan, &fds, &home.libexec)?;
    let bytes = plan.encode();
    if bytes.len() > MAX_PLAN {
        return Err(RunError::Policy(format!(
            "the plan of the {what} is {} bytes, over {MAX_PLAN}; list fewer paths, or pass less environment",
            bytes.len()
        )));
    }
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
        .doing("make", "launch socket")?;
    let launcher = Command::new(&path)
        .env_clear()
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .doing("start", &path)?;
    let raw: Vec<_> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let control = [ControlMessage::ScmRights(&raw)];
    let launcher = Launcher(launcher);
    match sendmsg::<()>(ours.as_raw_fd(), &[IoSlice::new(&bytes)], &control, MsgFlags::MSG_NOSIGNAL, None) {
        Ok(_) => Ok(Pending { what, plan, socket: ours, _launcher: launcher, deadline: Instant::now() + PATIENCE }),
        Err(Errno::EPIPE | Errno::ECONNRESET) => {
            Err(RunError::LaunchLost { what, detail: "the launcher ended before it took the plan".into() })
        }
        Err(errno) => Err(errno).doing("send a plan to", &path),
    }
}

impl Pending {
    /// Waits until every layer is closed.
    pub(crate) fn finish(self) -> Result<Newborn, RunError> {
        let (pid, pidfd, listener, net, landlock) = self.await_ready()?;
        Ok(Newborn { what: self.what, plan: self.plan, pid, pidfd, listener, net, landlock, socket: self.socket })
    }

    #[expect(clippy::type_complexity, reason = "private, and taken apart by its one caller")]
    fn await_ready(&self) -> Result<(Pid, OwnedFd, Option<OwnedFd>, Vec<OwnedFd>, (u8, i32, i32)), RunError> {
        let mut born: Option<(Pid, OwnedFd)> = None;
        let mut listener = None;
        let mut net = Vec::new();
        loop {
            let (report, fd) = self.next_report()?;
            match (report, born.take()) {
                (Report::Listening, known @ Some(_)) if listener.is_none() => {
                    listener = fd;
                    born = known;
                }
                (Report::Net { index }, known @ Some(_)) if usize::try_from(index) == Ok(net.len()) => {
                    net.push(fd.ok_or_else(|| self.lost("a listener came without its socket"))?);
                    born = known;
                }
                (Report::Born { pid }, None) => {
                    let pidfd = fd.ok_or_else(|| self.lost("its birth came without a pidfd"))?;
                    let pid = i32::try_from(pid).map_err(|_| self.lost("its pid is out of range"))?;
                    born = Some((Pid::from_raw(pid), pidfd));
                }
                (Report::Ready { landlock_abi, canary_fs, canary_net }, Some((pid, pidfd))) => {
                    if self.plan.seccomp.listener != listener.is_some() {
                        return Err(self.lost("its seccomp listener is missing"));
                    }
                    if self.plan.listeners.len() != net.len() {
                        return Err(self.lost("a listener is missing"));
                    }
                    return Ok((pid, pidfd, listener, net, (landlock_abi, canary_fs, canary_net)));
                }
                (Report::Failed { step, errno, index }, _) => return Err(self.failed(step, errno, index)),
                _ => return Err(self.lost("its messages came in the wrong order")),
            }
        }
    }

    fn next_report(&self) -> Result<(Report, Option<OwnedFd>), RunError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        loop {
            match poll(&mut fds, timeout) {
                Ok(0) => return Err(self.lost("it was not ready in time")),
                Ok(_) => break,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno).doing("wait for", "launch socket"),
            }
        }
        let mut bytes = [0; MESSAGE + 1];
        let (len, fd) = match receive_with_fd(&self.socket, &mut IoSliceMut::new(&mut bytes)) {
            Err(Errno::ECONNRESET) => return Err(self.lost("it ended without a word")),
            other => other.doing("read", "launch socket")?,
        };
        let message = bytes.get(..len).unwrap_or_default();
        match Report::decode(message) {
            Some(report) => Ok((report, fd)),
            None if len == 0 => Err(self.lost("it ended without a word")),
            None => Err(self.lost("it sent a message that is none")),
        }
    }

    fn lost(&self, detail: &str) -> RunError {
        RunError::LaunchLost { what: self.what, detail: detail.into() }
    }

    fn failed(&self, step: Step, errno: i32, index: u32) -> RunError {
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        let operand = match step {
            Step::Entry | Step::Tree | Step::IdmapNamespace => self.plan.root.get(at).map(|e| e.dest.clone()),
            Step::LandlockRules => self.plan.landlock.rules.get(at).map(|r| r.path.clone()),
            Step::Rlimit => self.plan.rlimits.get(at).map(|r| format!("resource {} to {}", r.resource, r.value)),
            Step::Ceiling => CeilingKey::from_number(index).map(|key| key.name().to_owned()),
            Step::Network => self.plan.listeners.get(at).map(|l| format!("{:?} port {}", l.transport, l.port)),
            Step::Cwd => Some(self.plan.exec.cwd.clone()),
            _ => None,
        };
        let errno = (errno != 0).then(|| Errno::from_raw(errno));
        RunError::Launch { what: self.what, step, errno, operand: operand.unwrap_or_default() }
    }
}

impl Newborn {
    /// Lets the program run.
    pub(crate) fn go(&self) -> Result<(), RunError> {
        let sent = nix::sys::socket::send(self.socket.as_raw_fd(), &[GO], MsgFlags::MSG_NOSIGNAL);
        sent.map(drop).map_err(|errno| RunError::LaunchLost {
            what: self.what,
            detail: format!("it was gone when it should start: {}", errno.desc()),
        })
    }

    /// What the newborn said after it was told to go: only that the exec failed is left to say.
    pub(crate) fn exec_failure(&self) -> Option<RunError> {
        let mut bytes = [0; MESSAGE];
        let flags = MsgFlags::MSG_DONTWAIT;
        let len = nix::sys::socket::recv(self.socket.as_raw_fd(), &mut bytes, flags).ok()?;
        match Report::decode(bytes.get(..len)?)? {
            Report::Failed { step, errno, .. } => {
                let errno = (errno != 0).then(|| Errno::from_raw(errno));
                Some(RunError::Launch { what: self.what, step, errno, operand: String::new() })
            }
            _ => None,
        }
    }
}
