//! The inside of a network namespace: what listens there.
//!
//! A namespace without listeners has an interface that is down and no route. One with listeners has `lo` and one
//! route, by which every IPv4 address is local (ip-route(8), `local`): whatever a program connects to, it gets to one
//! of the listeners or nowhere. The listeners are sockets that are made inside and served outside.

use alloc::vec::Vec;

use crate::{CheckError, Plan, Role};

/// Most listeners of one plan.
pub const MAX_LISTENERS: usize = 64;

/// Transport of a [`Listener`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Transport {
    /// `SOCK_STREAM`, listening.
    Tcp = 1,
    /// `SOCK_DGRAM`, bound.
    Udp = 2,
}

impl Transport {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Tcp, Self::Udp];
}

/// A socket that is made inside the network namespace and handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener {
    /// Its transport.
    pub transport: Transport,
    /// Whether it takes what is sent to any address, and not to `127.0.0.1` alone.
    pub any: bool,
    /// Its port.
    pub port: u16,
}

impl Plan {
    pub(crate) fn check_net(&self) -> Result<(), CheckError> {
        let refuse = |why| Err(CheckError::Net(why));
        if !self.listeners.is_empty() && self.role != Role::Native {
            return refuse("only native cells have listeners");
        }
        if self.listeners.len() > MAX_LISTENERS {
            return refuse("there are too many listeners");
        }
        let same = |a: &Listener, b: &Listener| a.transport == b.transport && a.port == b.port;
        for (i, listener) in self.listeners.iter().enumerate() {
            if listener.port == 0 || self.listeners.iter().skip(i + 1).any(|other| same(listener, other)) {
                return refuse("a listener has port 0, or another one's");
            }
        }
        if !self.landlock.connect.is_sorted_by(|a, b| a < b) {
            return refuse("a port is there twice or out of order");
        }
        let served: Vec<u16> =
            self.listeners.iter().filter(|l| l.transport == Transport::Tcp).map(|l| l.port).collect();
        match self.role {
            Role::Native if self.landlock.connect.iter().any(|port| !served.contains(port)) => {
                refuse("a cell may connect to ports that nothing of ours listens on")
            }
            Role::Native | Role::Egress => Ok(()),
            _ if self.landlock.connect.is_empty() => Ok(()),
            _ => refuse("only native cells and egress connect"),
        }
    }
}
