//! One host: a name of the DNS or an IP address.

use super::address::{Embedding, canonical};
use super::as_text;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest name in bytes, without a trailing dot (RFC 1035, 2.3.4).
pub const MAX_NAME: usize = 253;
/// Longest label in bytes (RFC 1035, 2.3.4).
pub const MAX_LABEL: usize = 63;
/// Longest text that is looked at, in bytes: every spelling of a name of 253 bytes fits.
const MAX_TEXT: usize = 1024;

/// A host in its one spelling. [`std::str::FromStr`] takes every spelling a dialer takes.
///
/// A name is in lower case, in A-labels, without a trailing dot. An IPv4 address is a dotted quad, an IPv6
/// address as RFC 5952 has it, without brackets. An IPv4-mapped or NAT64 address is the IPv4 address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Host(Kind);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    Name(String),
    Ip(IpAddr),
}

as_text!(Host, str::parse::<Host>);

impl Host {
    /// A host by its address.
    ///
    /// # Errors
    /// [`HostError::Hides`] for an IPv6 address that carries an IPv4 address without being it.
    pub fn from_ip(address: IpAddr) -> Result<Self, HostError> {
        match canonical(address) {
            Ok(address) => Ok(Self(Kind::Ip(address))),
            Err((how, v4)) => Err(HostError::Hides(how, v4)),
        }
    }

    /// Its address, if it is one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self.0 {
            Kind::Ip(address) => Some(address),
            Kind::Name(_) => None,
        }
    }

    /// Its name, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match &self.0 {
            Kind::Name(name) => Some(name),
            Kind::Ip(_) => None,
        }
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Kind::Name(name) => f.write_str(name),
            Kind::Ip(address) => write!(f, "{address}"),
        }
    }
}

/// Why a text is no host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostError {
    /// Nothing there.
    Empty,
    /// Over 1,024 bytes of text, over 253 of name, or a label over 63.
    TooLong(usize),
    /// A character no host has, a control character or a space.
    Character(char),
    /// A `%`: percent encoding, or the zone of an IPv6 address.
    Percent,
    /// `[` without `]`, or what is in them is no IPv6 address.
    Brackets,
    /// Two dots in a row, or one at the beginning.
    EmptyLabel,
    /// It ends in a number and so must be an IPv4 address, and is none (WHATWG URL, 3.5).
    Ipv4,
    /// It has colons and is no IPv6 address.
    Ipv6,
    /// Not valid under UTS #46.
    Idna,
    /// An IPv6 address of a deprecated or local form, which carries this IPv4 address.
    Hides(Embedding, Ipv4Addr),
}

impl std::fmt::Display for HostError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty"),
            Self::TooLong(n) => {
                write!(f, "it has {n} bytes; a name may have {MAX_NAME}, each of its labels {MAX_LABEL}")
            }
            Self::Character(c) => write!(f, "a host has no `{}`", c.escape_debug()),
            Self::Percent => f.write_str("it has a `%`; write it without percent encoding and without a zone"),
            Self::Brackets => f.write_str("brackets hold one IPv6 address and nothing else"),
            Self::EmptyLabel => f.write_str("it has an empty label"),
            Self::Ipv4 => f.write_str("it ends in a number and is not an IPv4 address"),
            Self::Ipv6 => f.write_str("it has colons and is not an IPv6 address; a port goes elsewhere"),
            Self::Idna => f.write_str("it is not a valid internationalised name (UTS #46)"),
            Self::Hides(how, v4) => {
                write!(f, "it carries {v4} ({}); write the address that is meant", how.name())
            }
        }
    }
}

impl std::error::Error for HostError {}

impl std::str::FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        match text {
            "" => return Err(HostError::Empty),
            _ if text.len() > MAX_TEXT => return Err(HostError::TooLong(text.len())),
            // `url` would decode it, so that `%3127.0.0.1` is an address.
            _ if text.contains('%') => return Err(HostError::Percent),
            _ => {}
        }
        if let Some(c) = text.chars().find(|c| c.is_control() || c.is_whitespace()) {
            return Err(HostError::Character(c));
        }
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(HostError::Brackets)?;
            let address: Ipv6Addr = inner.parse().map_err(|_| HostError::Brackets)?;
            return Self::from_ip(IpAddr::V6(address));
        }
        if text.contains(':') {
            let address: Ipv6Addr = text.parse().map_err(|_| HostError::Ipv6)?;
            return Self::from_ip(IpAddr::V6(address));
        }
        match url::Host::parse(text) {
            Ok(url::Host::Domain(domain)) => name(&domain).map(|name| Self(Kind::Name(name))),
            Ok(url::Host::Ipv4(address)) => Ok(Self(Kind::Ip(IpAddr::V4(address)))),
            Ok(url::Host::Ipv6(address)) => Self::from_ip(IpAddr::V6(address)),
            Err(url::ParseError::InvalidIpv4Address) => Err(HostError::Ipv4),
            Err(url::ParseError::EmptyHost) => Err(HostError::Empty),
            Err(_) => Err(match text.chars().find(|c| c.is_ascii() && !is_host(*c)) {
                Some(c) => HostError::Character(c),
                None => HostError::Idna,
            }),
        }
    }
}

/// Letters, digits, hyphen and dot as RFC 1123 has them, and `_`, which names in use have.
fn is_host(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// What `url` leaves open: one trailing dot, lengths, empty labels, and characters a URL may have in a host
/// but no resolver takes alike.
fn name(domain: &str) -> Result<String, HostError> {
    let name = domain.strip_suffix('.').unwrap_or(domain);
    if name.is_empty() {
        return Err(HostError::Empty);
    }
    if let Some(c) = name.chars().find(|c| !is_host(*c) || c.is_ascii_uppercase()) {
        return Err(HostError::Character(c));
    }
    if name.len() > MAX_NAME {
        return Err(HostError::TooLong(name.len()));
    }
    for label in name.split('.') {
        match label.len() {
            0 => return Err(HostError::EmptyLabel),
            n if n > MAX_LABEL => return Err(HostError::TooLong(n)),
            _ => {}
        }
    }
    Ok(name.to_owned())
}
