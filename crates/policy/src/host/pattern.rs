//! Sets of hosts, as a policy writes them.

use super::as_text;
use super::class::{AddressClass, classes_in, masked};
use super::name::{Host, HostError, MAX_NAME};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A set of hosts. [`std::str::FromStr`] takes a policy's text, which must be canonical.
///
/// - `*`: every name, and no address;
/// - `*.example.com`: every name with one or more labels before `example.com`, which itself is not in it;
/// - `10.0.0.0/8`, `2001:db8::/32`: every address of the network (RFC 4632), and no name that resolves to one;
/// - `example.com`, `192.0.2.1`, `2001:db8::1`: this host.
///
/// Two patterns share no host, or one covers the other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPattern(Set);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Set {
    AnyName,
    /// Below this name.
    Below(String),
    /// Address with no bit set below the prefix, and the prefix's length.
    Net(IpAddr, u32),
    One(Host),
}

as_text!(HostPattern, str::parse::<HostPattern>);

impl HostPattern {
    /// Exactly this host.
    #[must_use]
    pub fn exact(host: Host) -> Self {
        Self(Set::One(host))
    }

    /// The host it names, if it names one.
    #[must_use]
    pub fn host(&self) -> Option<&Host> {
        match &self.0 {
            Set::One(host) => Some(host),
            _ => None,
        }
    }

    /// Whether it is a network of addresses.
    #[must_use]
    pub fn is_network(&self) -> bool {
        matches!(self.0, Set::Net(..))
    }

    /// Whether a host is in the set.
    #[must_use]
    pub fn matches(&self, host: &Host) -> bool {
        match &self.0 {
            Set::AnyName => host.name().is_some(),
            Set::Below(base) => host.name().is_some_and(|name| is_below(name, base)),
            Set::Net(net, length) => host.ip().is_some_and(|ip| holds(*net, *length, ip)),
            Set::One(one) => one == host,
        }
    }

    /// Whether everything `other` matches is matched by `self`: set inclusion. Networks are compared as sets of
    /// all addresses, also those that no [`Host`] is spelled as.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (_, Set::One(host)) => self.matches(host),
            (Set::AnyName, Set::AnyName | Set::Below(_)) => true,
            (Set::Below(base), Set::Below(name)) => name == base || is_below(name, base),
            (Set::Net(net, length), Set::Net(address, inner)) => inner >= length && holds(*net, *length, *address),
            _ => false,
        }
    }

    /// What both match; `None` for nothing.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        if self.covers(other) {
            Some(other.clone())
        } else if other.covers(self) {
            Some(self.clone())
        } else {
            None
        }
    }

    /// What classes of addresses it names, each once. Empty for names, which are what they resolve to, but for
    /// those that have an address by convention.
    #[must_use]
    pub fn classes(&self) -> Vec<AddressClass> {
        match &self.0 {
            Set::AnyName => Vec::new(),
            Set::Below(base) => base.parse::<Host>().ok().and_then(|h| h.class()).into_iter().collect(),
            Set::Net(net, length) => classes_in(*net, *length),
            Set::One(host) => host.class().into_iter().collect(),
        }
    }
}

fn is_below(name: &str, base: &str) -> bool {
    name.strip_suffix(base).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

fn network(address: IpAddr, length: u32) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let bits = masked(u128::from(u32::from(v4)), length, 32);
            IpAddr::V4(Ipv4Addr::from(u32::try_from(bits).unwrap_or_default()))
        }
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(masked(u128::from(v6), length, 128))),
    }
}

fn holds(net: IpAddr, length: u32, address: IpAddr) -> bool {
    net.is_ipv4() == address.is_ipv4() && network(address, length) == net
}

impl std::fmt::Display for HostPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Set::AnyName => f.write_str("*"),
            Set::Below(base) => write!(f, "*.{base}"),
            Set::Net(net, length) => write!(f, "{net}/{length}"),
            Set::One(host) => write!(f, "{host}"),
        }
    }
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatternError {
    /// Another spelling; holds the canonical one.
    NotCanonical(String),
    /// A `*` that is neither alone nor the whole first label.
    Wildcard,
    /// `*.` before an address.
    BelowAddress,
    /// The length of a prefix is no number up to this.
    Prefix(u32),
    /// What is before a `/` is no address.
    NotAddress,
    /// A network of addresses that carry IPv4 addresses; holds no address that is dialed as it stands.
    NoHost,
    /// The host in it.
    Host(HostError),
}

impl std::fmt::Display for PatternError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotCanonical(want) => write!(f, "it is not in canonical form; write `{want}`"),
            Self::Wildcard => f.write_str("a `*` stands alone or is the first label, as in `*.example.com`"),
            Self::BelowAddress => f.write_str("an address has nothing below it; write a network, as in `10.0.0.0/8`"),
            Self::Prefix(most) => write!(f, "after the `/` comes a number from 0 to {most}"),
            Self::NotAddress => f.write_str("before a `/` comes an IP address; a host has no path"),
            Self::NoHost => f.write_str("its addresses carry IPv4 addresses; write the IPv4 network that is meant"),
            Self::Host(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for PatternError {}

impl std::str::FromStr for HostPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let pattern = parse(text)?;
        let canonical = pattern.to_string();
        if canonical == text { Ok(pattern) } else { Err(PatternError::NotCanonical(canonical)) }
    }
}

fn parse(text: &str) -> Result<HostPattern, PatternError> {
    if text == "*" {
        return Ok(HostPattern(Set::AnyName));
    }
    if let Some(base) = text.strip_prefix("*.") {
        if base.contains('*') {
            return Err(PatternError::Wildcard);
        }
        let host: Host = base.parse().map_err(PatternError::Host)?;
        let Some(name) = host.name() else { return Err(PatternError::BelowAddress) };
        // One label and a dot more must still be a name, or the set is empty.
        if name.len() > MAX_NAME - 2 {
            return Err(PatternError::Host(HostError::TooLong(name.len() + 2)));
        }
        return Ok(HostPattern(Set::Below(name.to_owned())));
    }
    if text.contains('*') {
        return Err(PatternError::Wildcard);
    }
    match text.rsplit_once('/') {
        Some((address, length)) => net(address, length),
        None => text.parse().map(HostPattern::exact).map_err(PatternError::Host),
    }
}

fn net(address: &str, length: &str) -> Result<HostPattern, PatternError> {
    // Not as a `Host`: what stands for another address there is only a number here.
    let bare = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
    let address: IpAddr = bare.parse().map_err(|_| PatternError::NotAddress)?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let digits = !length.is_empty() && length.len() <= 3 && length.bytes().all(|b| b.is_ascii_digit());
    let length = length.parse::<u32>().ok().filter(|n| digits && *n <= most).ok_or(PatternError::Prefix(most))?;
    if length == most {
        return Host::from_ip(address).map(HostPattern::exact).map_err(PatternError::Host);
    }
    let net = network(address, length);
    if address.is_ipv6() && classes_in(net, length) == [AddressClass::Transition] {
        return Err(PatternError::NoHost);
    }
    Ok(HostPattern(Set::Net(net, length)))
}
