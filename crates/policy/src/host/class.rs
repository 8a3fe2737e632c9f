//! What an address is for, by the IANA special-purpose registries (RFC 6890) and the metadata services of clouds.

use super::address::{Embedding, embedded};
use super::name::Host;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is for. All but [`AddressClass::Global`] lie where an agent has no business unless a policy
/// names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressClass {
    /// Reachable from anywhere.
    Global,
    /// This host: `127.0.0.0/8` (RFC 1122), `::1`.
    Loopback,
    /// `10.0.0.0/8`, `172.16.0.0/12`, `192.168.0.0/16` (RFC 1918).
    Private,
    /// `169.254.0.0/16` (RFC 3927), `fe80::/10`.
    LinkLocal,
    /// Where a cloud gives its machines their credentials.
    Metadata,
    /// `224.0.0.0/4`, `ff00::/8`.
    Multicast,
    /// `255.255.255.255`.
    Broadcast,
    /// `0.0.0.0`, `::`; Linux dials this host.
    Unspecified,
    /// For examples: `192.0.2.0/24`, `198.51.100.0/24`, `203.0.113.0/24` (RFC 5737), `2001:db8::/32`, `3fff::/20`.
    Documentation,
    /// `198.18.0.0/15` (RFC 2544), `2001:2::/48`.
    Benchmark,
    /// `100.64.0.0/10` (RFC 6598).
    CarrierGradeNat,
    /// `fc00::/7` (RFC 4193).
    UniqueLocal,
    /// Carries an IPv4 address by a deprecated or local mechanism: 6to4, Teredo, IPv4-compatible, `64:ff9b:1::/48`.
    Transition,
    /// Anything else that is not assigned for use.
    Reserved,
}

impl AddressClass {
    /// Whether an address of this class is the Internet's.
    #[must_use]
    pub fn is_global(self) -> bool {
        self == Self::Global
    }

    /// In words, for a finding.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::LinkLocal => "link-local",
            Self::Metadata => "cloud metadata",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::Unspecified => "unspecified",
            Self::Documentation => "documentation",
            Self::Benchmark => "benchmark",
            Self::CarrierGradeNat => "carrier-grade NAT",
            Self::UniqueLocal => "unique local",
            Self::Transition => "transition",
            Self::Reserved => "reserved",
        }
    }
}

use AddressClass as C;

/// Network, prefix length, class; of several that hold an address the longest counts.
const V4: &[([u8; 4], u32, C)] = &[
    ([0, 0, 0, 0], 0, C::Global),
    ([0, 0, 0, 0], 8, C::Reserved),
    ([0, 0, 0, 0], 32, C::Unspecified),
    ([10, 0, 0, 0], 8, C::Private),
    ([100, 64, 0, 0], 10, C::CarrierGradeNat),
    // Alibaba Cloud.
    ([100, 100, 100, 200], 32, C::Metadata),
    ([127, 0, 0, 0], 8, C::Loopback),
    // Azure's WireServer.
    ([168, 63, 129, 16], 32, C::Metadata),
    ([169, 254, 0, 0], 16, C::LinkLocal),
    // Tencent Cloud.
    ([169, 254, 0, 23], 32, C::Metadata),
    // Scaleway.
    ([169, 254, 42, 42], 32, C::Metadata),
    // AWS: time, DNS; and AWS, Azure, Google, Oracle, OpenStack, DigitalOcean, Hetzner: instance metadata.
    ([169, 254, 169, 123], 32, C::Metadata),
    ([169, 254, 169, 253], 32, C::Metadata),
    ([169, 254, 169, 254], 32, C::Metadata),
    // AWS: task credentials of ECS, pod credentials of EKS.
    ([169, 254, 170, 2], 32, C::Metadata),
    ([169, 254, 170, 23], 32, C::Metadata),
    ([172, 16, 0, 0], 12, C::Private),
    ([192, 0, 0, 0], 24, C::Reserved),
    // Oracle Cloud, its older generation.
    ([192, 0, 0, 192], 32, C::Metadata),
    ([192, 0, 2, 0], 24, C::Documentation),
    ([192, 88, 99, 0], 24, C::Reserved),
    ([192, 168, 0, 0], 16, C::Private),
    ([198, 18, 0, 0], 15, C::Benchmark),
    ([198, 51, 100, 0], 24, C::Documentation),
    ([203, 0, 113, 0], 24, C::Documentation),
    ([224, 0, 0, 0], 4, C::Multicast),
    ([240, 0, 0, 0], 4, C::Reserved),
    ([255, 255, 255, 255], 32, C::Broadcast),
];

const V6: &[([u16; 8], u32, C)] = &[
    ([0; 8], 0, C::Reserved),
    ([0x2000, 0, 0, 0, 0, 0, 0, 0], 3, C::Global),
    // What carries an IPv4 address; see `embedded`.
    ([0; 8], 96, C::Transition),
    ([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, C::Transition),
    ([0, 0, 0, 0, 0xffff, 0, 0, 0], 96, C::Transition),
    ([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, C::Transition),
    ([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, C::Transition),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, C::Transition),
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, C::Transition),
    ([0; 8], 128, C::Unspecified),
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, C::Loopback),
    // IETF protocol assignments; the few global ones among them serve no application.
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, C::Reserved),
    ([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, C::Benchmark),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, C::Documentation),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, C::Documentation),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, C::UniqueLocal),
    // AWS: instance metadata, DNS, time, pod credentials.
    ([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128, C::Metadata),
    ([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x253], 128, C::Metadata),
    ([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x123], 128, C::Metadata),
    ([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23], 128, C::Metadata),
    // Google Cloud.
    ([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128, C::Metadata),
    // Scaleway.
    ([0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42], 128, C::Metadata),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, C::LinkLocal),
    // Hetzner, OpenStack.
    ([0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe], 128, C::Metadata),
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, C::Multicast),
];

/// Names that have an address by convention, with what is below them (RFC 6761, clouds).
const NAMES: &[(&str, C)] = &[
    ("localhost", C::Loopback),
    ("localhost.localdomain", C::Loopback),
    ("ip6-localhost", C::Loopback),
    ("ip6-loopback", C::Loopback),
    ("metadata", C::Metadata),
    ("metadata.google.internal", C::Metadata),
    ("metadata.goog", C::Metadata),
    ("instance-data", C::Metadata),
    ("instance-data.ec2.internal", C::Metadata),
    ("metadata.tencentyun.com", C::Metadata),
];

/// The high `length` bits of `bits`.
pub(super) fn masked(bits: u128, length: u32, width: u32) -> u128 {
    let low = width.saturating_sub(length);
    bits.checked_shr(low).unwrap_or(0).checked_shl(low).unwrap_or(0)
}

fn v4_networks() -> impl Iterator<Item = (u128, u32, C)> {
    V4.iter().map(|(net, length, class)| (u128::from(u32::from(Ipv4Addr::from(*net))), *length, *class))
}

fn v6_networks() -> impl Iterator<Item = (u128, u32, C)> {
    V6.iter().map(|(net, length, class)| (u128::from(Ipv6Addr::from(*net)), *length, *class))
}

fn longest(networks: impl Iterator<Item = (u128, u32, C)>, bits: u128, width: u32) -> C {
    networks
        .filter(|(net, length, _)| masked(bits, *length, width) == *net)
        .max_by_key(|(_, length, _)| *length)
        .map_or(C::Reserved, |(.., class)| class)
}

/// What an address is for. An IPv4-mapped or NAT64 address has the class of the IPv4 address.
#[must_use]
pub fn class(address: IpAddr) -> AddressClass {
    match address {
        IpAddr::V4(v4) => longest(v4_networks(), u128::from(u32::from(v4)), 32),
        IpAddr::V6(v6) => match embedded(v6) {
            Some((Embedding::Mapped | Embedding::Nat64, v4)) => class(IpAddr::V4(v4)),
            Some(_) => C::Transition,
            None => longest(v6_networks(), u128::from(v6), 128),
        },
    }
}

/// The classes of a network's addresses, each once, sorted.
pub(super) fn classes_in(network: IpAddr, length: u32) -> Vec<AddressClass> {
    let (bits, width, networks) = match network {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)), 32, v4_networks().collect::<Vec<_>>()),
        IpAddr::V6(v6) => (u128::from(v6), 128, v6_networks().collect()),
    };
    let around = networks.iter().copied().filter(|(_, l, _)| *l <= length);
    let mut found = vec![longest(around, bits, width)];
    let inside = networks.iter().filter(|(net, l, _)| *l > length && masked(*net, length, width) == bits);
    found.extend(inside.map(|(.., class)| *class));
    found.sort();
    found.dedup();
    found
}

impl Host {
    /// What it is for: by its address, or by its name if that has an address by convention. `None` says that
    /// only the addresses it resolves to can tell.
    #[must_use]
    pub fn class(&self) -> Option<AddressClass> {
        if let Some(address) = self.ip() {
            return Some(class(address));
        }
        let name = self.name()?;
        let below = |top: &str| name.strip_suffix(top).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        NAMES.iter().find(|(top, _)| below(top)).map(|(_, class)| *class)
    }
}
