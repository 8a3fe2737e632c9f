//! Messages of `stockade-egress`, which speaks with the outside: one JSON object per `SOCK_SEQPACKET` datagram, with
//! its shim and with the supervisor.
//!
//! The process has no policy: it asks the shim for each name, request, connection and address, and does what it is
//! answered. It has no way out either: the supervisor makes each socket in the host's network namespace and hands it
//! over, unconnected.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Longest datagram in bytes, every way.
pub const MAX_MESSAGE: usize = 96 * 1024;
/// Most descriptors with one datagram.
pub const MAX_RIGHTS: usize = 64;
/// Most questions that wait for their answers or ends at one time.
pub const MAX_ASKS: usize = 512;
/// Most addresses of one host that are looked at.
pub const MAX_ADDRESSES: usize = 16;

/// What a socket of the cell's is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Serves {
    /// An HTTP proxy (RFC 9110, 7.6; RFC 9112, 3.2.2).
    Proxy,
    /// A SOCKS5 proxy (RFC 1928).
    Socks,
    /// The OpenAI-compatible interface to the policy's models.
    Model,
    /// Names, over UDP (RFC 1035).
    Names,
    /// Names, over TCP.
    NamesTcp,
    /// Whatever connects to this port of any address.
    Any(u16),
}

/// A socket that the supervisor makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// IPv6, else IPv4.
    pub v6: bool,
    /// UDP, else TCP.
    pub udp: bool,
}

/// What the supervisor tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum FromSupervisor {
    /// First. Descriptors: the socket to the shim; sealed memfds with certificates of authorities (PEM) and with the
    /// secrets (a [`Secrets`]).
    Setup(Setup),
    /// A cell's sockets. Descriptors: as many, in this order.
    Listeners {
        /// What each is for.
        serves: Vec<Serves>,
    },
    /// The answer to the oldest [`ToSupervisor::Socket`] that has none. Descriptor: the socket; none if it could not
    /// be made.
    Socket,
}

/// What egress must know before anything else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// Name servers of the host (resolv.conf(5)).
    pub resolvers: Vec<SocketAddr>,
    /// Names that the host itself knows (hosts(5)), in lower case.
    pub hosts: Vec<(String, IpAddr)>,
    /// The policy's model endpoints.
    pub models: Vec<Model>,
}

/// A model endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Its name in the policy.
    pub name: String,
    /// Base URL, `https://HOST[:PORT]/PATH`.
    pub url: String,
    /// Models that it serves; `*` is any.
    pub models: Vec<String>,
}

/// Secrets by name. Only in a sealed memfd, from the supervisor to egress.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secrets(pub Vec<Secret>);

/// One secret.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// Its name in the policy.
    pub name: String,
    /// The header it is put into, in lower case.
    pub header: String,
    /// What is put there, whole.
    pub value: String,
    /// What must not come back: the value as its source has it.
    pub raw: String,
}

/// What egress tells the supervisor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ToSupervisor {
    /// It is set up.
    Ready,
    /// It needs a socket.
    Socket(Wanted),
}

/// What egress asks and tells the shim. Numbers are egress's own, each used once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ToShim {
    /// May this name be looked up?
    Lookup {
        /// Number.
        ask: u64,
        /// As it was asked for.
        name: String,
    },
    /// May this connection be made?
    Connect {
        /// Number.
        ask: u64,
        /// `host:port`, `[v6]:port`, in any spelling.
        to: String,
    },
    /// May this request be made?
    Request {
        /// Number.
        ask: u64,
        /// As in [`ToShim::Connect`].
        to: String,
        /// Over TLS.
        tls: bool,
        /// Its Host field, as it came.
        host: String,
        /// As it came.
        method: String,
        /// As it came, without the query.
        path: String,
        /// Without its `?`; for the record.
        query: String,
    },
    /// To a [`FromShim::Granted`]: what the host is.
    Found {
        /// Its number.
        ask: u64,
        /// At most [`MAX_ADDRESSES`].
        addresses: Vec<IpAddr>,
    },
    /// What became of a [`FromShim::Granted`].
    Done {
        /// Its number.
        ask: u64,
        /// What.
        outcome: Outcome,
    },
}

impl ToShim {
    /// Its number.
    #[must_use]
    pub fn ask(&self) -> u64 {
        match self {
            Self::Lookup { ask, .. }
            | Self::Connect { ask, .. }
            | Self::Request { ask, .. }
            | Self::Found { ask, .. }
            | Self::Done { ask, .. } => *ask,
        }
    }
}

/// How a connection or request ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// Why not, if it did not go as it should: a stable word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The same for people, without anything that the other side sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The address that was dialled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
    /// Status of the answer, of HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Bytes that went out: of the body of a request, of all of a connection.
    pub sent: u64,
    /// Bytes that came back, likewise.
    pub received: u64,
    /// Whether a secret went along.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub credential: bool,
}

/// What the shim answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum FromShim {
    /// Yes, to a [`ToShim::Lookup`].
    Known {
        /// The question's number.
        ask: u64,
        /// The name in its one spelling.
        name: String,
    },
    /// Yes, and it is on record. [`ToShim::Found`] and [`ToShim::Done`] are owed.
    Granted {
        /// The question's number.
        ask: u64,
        /// What was granted, in its one spelling.
        granted: Granted,
    },
    /// To a [`ToShim::Connect`]: HTTP is spoken there, and each request is to be asked about.
    Requests {
        /// The question's number.
        ask: u64,
        /// The host in its one spelling.
        host: String,
    },
    /// No. The question is over.
    Refused {
        /// The question's number.
        ask: u64,
        /// For the agent, as JSON.
        body: Value,
    },
    /// To a [`ToShim::Found`]: these may be dialled, in this order. There is at least one.
    Dial {
        /// The question's number.
        ask: u64,
        /// Those of the addresses that may be.
        addresses: Vec<IpAddr>,
    },
}

/// What may be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Granted {
    /// A name in its one spelling, or an address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// How.
    pub carries: Carries,
}

/// What goes over a granted connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Carries {
    /// Anything.
    Bytes,
    /// TLS whose first message names the host.
    Tls,
    /// One request.
    Request {
        /// Over TLS.
        tls: bool,
        /// In its one spelling.
        method: String,
        /// In its one spelling.
        path: String,
        /// The secret that goes along, by name.
        secret: Option<String>,
    },
}
