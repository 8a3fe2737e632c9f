//! IPv6 addresses that stand for an IPv4 address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How an IPv6 address carries an IPv4 one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Embedding {
    /// `::ffff:0:0/96` (RFC 4291, 2.5.5.2): the kernel sends IPv4.
    Mapped,
    /// `64:ff9b::/96` (RFC 6052): a translator sends IPv4.
    Nat64,
    /// `::/96` but `::` and `::1` (RFC 4291, 2.5.5.1), deprecated.
    Compatible,
    /// `::ffff:0:0:0/96` (RFC 2765), deprecated.
    Translated,
    /// `64:ff9b:1::/48` (RFC 8215): which IPv4 it means is known to the local network only.
    LocalNat64,
    /// `2002::/16` (RFC 3056), deprecated: a host *behind* that IPv4 router.
    SixToFour,
    /// `2001::/32` (RFC 4380), deprecated: a client behind a NAT.
    Teredo,
}

impl Embedding {
    /// Whether dialing the IPv6 address reaches the IPv4 address itself, so that the one may stand for the other.
    #[must_use]
    pub fn is_same_host(self) -> bool {
        matches!(self, Self::Mapped | Self::Nat64)
    }

    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mapped => "IPv4-mapped",
            Self::Nat64 => "NAT64",
            Self::Compatible => "IPv4-compatible",
            Self::Translated => "IPv4-translated",
            Self::LocalNat64 => "local NAT64",
            Self::SixToFour => "6to4",
            Self::Teredo => "Teredo",
        }
    }
}

/// The IPv4 address in an IPv6 address, and how it is there. The last 32 bits are taken for
/// [`Embedding::LocalNat64`], whose real place is not known.
#[must_use]
pub fn embedded(address: Ipv6Addr) -> Option<(Embedding, Ipv4Addr)> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    let last = v4(g, h);
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0xffff] => Some((Embedding::Mapped, last)),
        [0x64, 0xff9b, 0, 0, 0, 0] => Some((Embedding::Nat64, last)),
        [0, 0, 0, 0, 0, 0] if u32::from(last) > 1 => Some((Embedding::Compatible, last)),
        [0, 0, 0, 0, 0xffff, 0] => Some((Embedding::Translated, last)),
        [0x64, 0xff9b, 1, ..] => Some((Embedding::LocalNat64, last)),
        [0x2002, ..] => Some((Embedding::SixToFour, v4(b, c))),
        [0x2001, 0, ..] => Some((Embedding::Teredo, v4(!g, !h))),
        _ => None,
    }
}

/// The address that is reached, or how the address hides another.
pub(super) fn canonical(address: IpAddr) -> Result<IpAddr, (Embedding, Ipv4Addr)> {
    match address {
        IpAddr::V4(_) => Ok(address),
        IpAddr::V6(v6) => match embedded(v6) {
            None => Ok(address),
            Some((how, v4)) if how.is_same_host() => Ok(IpAddr::V4(v4)),
            Some(hidden) => Err(hidden),
        },
    }
}
