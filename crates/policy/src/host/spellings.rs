//! Random spellings: each is the host it is made of, or refused; never another host.

use super::*;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// SplitMix64: the same spellings on every machine.
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n.max(1) as u64).unwrap()
    }

    fn one_of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

fn number(n: u32, rng: &mut Rng) -> String {
    let zeros = "0".repeat(rng.below(4));
    match rng.below(4) {
        0 => format!("0{zeros}{n:o}"),
        1 => format!("0x{zeros}{n:x}"),
        2 => format!("0X{zeros}{n:X}"),
        _ => n.to_string(),
    }
}

/// As `inet_aton` reads it: the last part fills what is left.
fn spell_v4(address: Ipv4Addr, rng: &mut Rng) -> String {
    let [a, b, c, d] = address.octets().map(u32::from);
    let parts = match rng.below(4) {
        0 => vec![u32::from(address)],
        1 => vec![a, (b << 16) | (c << 8) | d],
        2 => vec![a, b, (c << 8) | d],
        _ => vec![a, b, c, d],
    };
    let parts: Vec<String> = parts.into_iter().map(|p| number(p, rng)).collect();
    parts.join(".")
}

fn spell_v6(address: Ipv6Addr, rng: &mut Rng) -> String {
    let groups: Vec<String> = address
        .segments()
        .iter()
        .map(|s| match rng.below(3) {
            0 => format!("{s:04x}"),
            1 => format!("{s:X}"),
            _ => format!("{s:x}"),
        })
        .collect();
    let text = if rng.below(2) == 0 { groups.join(":") } else { address.to_string() };
    if rng.below(2) == 0 { format!("[{text}]") } else { text }
}

/// Other code points that UTS #46 maps to the same.
fn disguise(text: &str, rng: &mut Rng) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let wide = || u32::from(c).checked_add(0xfee0).and_then(char::from_u32).unwrap_or(c);
        match rng.below(6) {
            0 if c.is_ascii_graphic() && c != ':' => out.push(wide()),
            1 if c == '.' => out.push(rng.one_of(&['\u{3002}', '\u{ff0e}', '\u{ff61}'])),
            2 => out.extend(c.to_uppercase()),
            3 => out.extend([c, rng.one_of(&['\u{ad}', '\u{200b}', '\u{2060}', '\u{fe0f}'])]),
            _ => out.push(c),
        }
    }
    if rng.below(4) == 0 {
        out.push('.');
    }
    out
}

fn spell(host: &str, rng: &mut Rng) -> String {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(v4)) => match rng.below(4) {
            0 => spell_v6(v4.to_ipv6_mapped(), rng),
            1 => spell_v6(Ipv6Addr::from((0x64_ff9b_u128 << 96) | u128::from(u32::from(v4))), rng),
            2 => format!("::ffff:{v4}"),
            _ => {
                let text = spell_v4(v4, rng);
                disguise(&text, rng)
            }
        },
        Ok(IpAddr::V6(v6)) => spell_v6(v6, rng),
        Err(_) => disguise(host, rng),
    }
}

#[test]
fn no_spelling_of_a_host_is_another_host() {
    let mut rng = Rng(1);
    for host in ["127.0.0.1", "169.254.169.254", "::1", "example.com", "xn--bcher-kva.de", "0.0.0.0", "10.200.3.255"] {
        let (mut read, mut seen) = (0, BTreeSet::new());
        for _ in 0..4_000 {
            let text = spell(host, &mut rng);
            if let Ok(found) = text.parse::<Host>() {
                assert_eq!(found.to_string(), host, "{text:?}");
                read += 1;
            }
            seen.insert(text);
        }
        assert!(read > 2_000 && seen.len() > 20, "{host}: {read} read of {}", seen.len());
    }
}

#[test]
fn what_is_read_reads_as_itself() {
    let alphabet: Vec<char> = "abx019.:-_[]/%*@;!~ \\\u{0}éßü。\u{ad}\u{200d}１xn--0x".chars().collect();
    let mut rng = Rng(2);
    for _ in 0..60_000 {
        let text: String = (0..rng.below(12)).map(|_| rng.one_of(&alphabet)).collect();
        if let Ok(host) = text.parse::<Host>() {
            assert_eq!(host.to_string().parse::<Host>().as_ref(), Ok(&host), "{text:?}");
            assert!(host.to_string().bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase()), "{text:?}");
        }
        if let Ok(pattern) = text.parse::<HostPattern>() {
            assert_eq!(pattern.to_string(), text);
        }
        if let Ok(endpoint) = text.parse::<Endpoint>() {
            assert_eq!(endpoint.to_string().parse::<Endpoint>(), Ok(endpoint));
        }
        if let Ok(path) = UrlPath::from_call(&format!("/{text}")) {
            assert_eq!(UrlPath::from_policy(path.as_str()).as_ref(), Ok(&path));
            assert!(path.covers(&path));
        }
        drop(Method::from_call(&text));
    }
}

#[test]
fn inclusion_is_what_matching_says() {
    let names = ["a", "b.a", "c.b.a", "ab.a", "ba"];
    let addresses = ["10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "::4", "::5", "::6", "::7", "::8"];
    // `::4` would be IPv4-compatible, so the hosts lie elsewhere.
    let address = |a: &str| a.replace("::", "2606::");
    let hosts: Vec<Host> =
        names.iter().map(|n| (*n).to_owned()).chain(addresses.map(address)).map(|h| h.parse().unwrap()).collect();
    let mut patterns: Vec<HostPattern> = hosts.iter().cloned().map(HostPattern::exact).collect();
    let sets =
        ["*", "*.a", "*.b.a", "10.0.0.0/30", "10.0.0.0/31", "10.0.0.2/31", "2606::4/126", "2606::4/127", "2606::6/127"];
    patterns.extend(sets.map(|t| t.parse::<HostPattern>().unwrap()));
    for a in &patterns {
        for b in &patterns {
            let inside = hosts.iter().filter(|h| b.matches(h)).all(|h| a.matches(h));
            // `*.b.a` has one host here, and `*` all of the names; neither is that host.
            let few = [("c.b.a", "*.b.a")].contains(&(a.to_string().as_str(), b.to_string().as_str()));
            assert_eq!(a.covers(b), inside && !few, "{a} {b}");
            let both: Vec<&Host> = hosts.iter().filter(|h| a.matches(h) && b.matches(h)).collect();
            let met = a.intersect(b);
            assert_eq!(met, b.intersect(a), "{a} {b}");
            let found: Vec<&Host> = hosts.iter().filter(|h| met.as_ref().is_some_and(|m| m.matches(h))).collect();
            assert_eq!(found, both, "{a} {b}");
        }
    }
}

#[test]
fn url_spellings_of_a_path_are_that_path() {
    let mut rng = Rng(3);
    for want in ["/repos/a.b/~x-y_z", "/", "/v1/", "/a%20b/%C3%A9"] {
        let rule = UrlPath::from_policy(want).unwrap();
        for _ in 0..2_000 {
            let mut text = String::new();
            let mut bytes = want.bytes();
            while let Some(byte) = bytes.next() {
                match (byte, rng.below(3)) {
                    (b'%', _) => {
                        let digits: String =
                            [bytes.next(), bytes.next()].iter().map(|b| char::from(b.unwrap())).collect();
                        text.push('%');
                        text.push_str(&if rng.below(2) == 0 { digits.to_lowercase() } else { digits });
                    }
                    (_, 0) if byte != b'/' => text.push_str(&format!("%{byte:02x}")),
                    (_, 1) if byte != b'/' => text.push_str(&format!("%{byte:02X}")),
                    _ => text.push(char::from(byte)),
                }
            }
            assert_eq!(UrlPath::from_call(&text).as_ref(), Ok(&rule), "{text}");
        }
    }
}
