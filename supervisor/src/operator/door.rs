//! The run's side: who may speak, what waits for an answer, and the calls that wait for an approval.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, bind, getsockopt, listen, recv, send,
    socket as make, sockopt,
};
use rustix::net::{SocketFlags, accept_with};
use stockade_wire::operator::{Answer, MAX_NOTE, MAX_OPERATOR, Operator, Pending, Question};

use super::socket;
use crate::error::{Doing, RunError};
use crate::home::private_dir;

/// Commands that are connected at one time. The oldest makes room.
const MAX_CLIENTS: usize = 16;
/// Connections that wait to be taken.
const BACKLOG: i32 = 16;
/// `/proc/PID/loginuid` of who has not logged in.
const NOBODY: u32 = u32::MAX;

/// What of the door something came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// Somebody connects.
    Bell,
    /// Somebody who is connected speaks, or leaves; by number.
    Client(u64),
}

/// A run's socket, and everybody at it.
#[derive(Debug)]
pub(crate) struct Door {
    listener: OwnedFd,
    clients: BTreeMap<u64, Client>,
    next: u64,
    pending: BTreeMap<u64, Pending>,
}

/// A command that is connected.
#[derive(Debug)]
struct Client {
    socket: OwnedFd,
    who: Operator,
    /// Its question is not answered yet.
    waits: bool,
}

impl Door {
    /// Opens the door of a run.
    pub(crate) fn open(run: &str) -> Result<Self, RunError> {
        let path = socket(run);
        private_dir(&super::folder())?;
        // Left by a run of this id that a crash ended.
        match fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).doing("remove", &path)?,
            _ => {}
        }
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let listener = make(AddressFamily::Unix, SockType::SeqPacket, flags, None).doing("make", &path)?;
        let address = UnixAddr::new(&path).doing("name", &path)?;
        bind(listener.as_raw_fd(), &address).doing("bind", &path)?;
        let backlog = Backlog::new(BACKLOG).doing("listen on", &path)?;
        listen(&listener, backlog).doing("listen on", &path)?;
        Ok(Self { listener, clients: BTreeMap::new(), next: 0, pending: BTreeMap::new() })
    }

    /// What to wait for.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (Source, BorrowedFd<'_>, PollFlags)> {
        let clients = self.clients.iter().map(|(number, client)| {
            // Who waits is only looked at for its end.
            let events = if client.waits { PollFlags::empty() } else { PollFlags::POLLIN };
            (Source::Client(*number), client.socket.as_fd(), events)
        });
        std::iter::once((Source::Bell, self.listener.as_fd(), PollFlags::POLLIN)).chain(clients)
    }

    /// Serves one source: a question with its asker's number, if it brought one that is not answered here.
    pub(crate) fn serve(&mut self, source: Source) -> Option<(u64, Operator, Question)> {
        match source {
            Source::Bell => {
                self.admit();
                None
            }
            Source::Client(number) => self.hear(number),
        }
    }

    fn admit(&mut self) {
        // rustix, because it gives what it accepts as an owned descriptor; nix gives a number.
        let Ok(socket) = accept_with(&self.listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) else { return };
        let Some(who) = who(&socket) else { return };
        if self.clients.len() >= MAX_CLIENTS {
            self.clients.pop_first();
        }
        self.clients.insert(self.next, Client { socket, who, waits: false });
        self.next += 1;
    }

    fn hear(&mut self, number: u64) -> Option<(u64, Operator, Question)> {
        let client = self.clients.get_mut(&number)?;
        let mut bytes = vec![0; MAX_OPERATOR];
        let len = match recv(client.socket.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT) {
            Err(Errno::EAGAIN | Errno::EINTR) if !client.waits => return None,
            Ok(len) if len > 0 && !client.waits => len,
            _ => {
                self.clients.remove(&number);
                return None;
            }
        };
        client.waits = true;
        let who = client.who.clone();
        match serde_json::from_slice(bytes.get(..len).unwrap_or_default()) {
            Ok(Question::Pending) => {
                let approvals = self.pending.values();
                let approvals = approvals.map(|one| Pending { args: serde_json::Value::Null, ..one.clone() }).collect();
                self.answer(number, &Answer::Pending { approvals });
                None
            }
            Ok(Question::Show { approval }) => {
                let answer = match self.pending.get(&approval) {
                    Some(pending) => Answer::Shown { approval: pending.clone() },
                    None => Answer::Refused { why: format!("approval {approval} does not wait") },
                };
                self.answer(number, &answer);
                None
            }
            Ok(Question::Order { note, .. } | Question::Stop { note }) if note.len() > MAX_NOTE => {
                self.answer(number, &Answer::Refused { why: format!("a note of over {MAX_NOTE} bytes") });
                None
            }
            Ok(Question::Order { order, note }) => {
                let who = Operator { note: note.clone(), ..who };
                Some((number, who, Question::Order { order, note }))
            }
            Ok(Question::Stop { note }) => {
                let who = Operator { note: note.clone(), ..who };
                Some((number, who, Question::Stop { note }))
            }
            Err(error) => {
                self.answer(number, &Answer::Refused { why: format!("not a question of this version: {error}") });
                None
            }
        }
    }

    /// Answers a question, if its asker is still there.
    pub(crate) fn answer(&mut self, number: u64, answer: &Answer) {
        // One question a connection. What a command does not take is its own loss.
        let Some(client) = self.clients.remove(&number) else { return };
        if let Ok(text) = serde_json::to_vec(answer) {
            let _gone = send(client.socket.as_raw_fd(), &text, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL);
        }
    }

    /// A call waits.
    pub(crate) fn asked(&mut self, pending: Pending) {
        self.pending.insert(pending.approval, pending);
    }

    /// It waits no more.
    pub(crate) fn settled(&mut self, approval: u64) {
        self.pending.remove(&approval);
    }
}

/// Who is at the other end: root, by a process that still is.
fn who(socket: &OwnedFd) -> Option<Operator> {
    let peer = getsockopt(socket, sockopt::PeerCredentials).ok().filter(|peer| peer.uid() == 0)?;
    let login = fs::read_to_string(format!("/proc/{}/loginuid", peer.pid())).ok();
    let login_uid = login.and_then(|text| text.trim().parse().ok()).filter(|uid| *uid != NOBODY);
    Some(Operator { uid: peer.uid(), pid: peer.pid(), login_uid, note: String::new() })
}
