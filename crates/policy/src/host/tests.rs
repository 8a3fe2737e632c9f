//! Tables: what is what, what is refused and with which words.

use super::*;
use std::net::IpAddr;

fn host(text: &str) -> Result<String, String> {
    text.parse::<Host>().map(|h| h.to_string()).map_err(|e| e.to_string())
}

#[test]
fn spellings_become_one() {
    let long = "a".repeat(63);
    let table = [
        ("example.com", "example.com"),
        ("EXAMPLE.com.", "example.com"),
        ("a_b.example", "a_b.example"),
        ("r3---sn-x.example", "r3---sn-x.example"),
        ("bücher.de", "xn--bcher-kva.de"),
        ("BÜCHER.de", "xn--bcher-kva.de"),
        ("XN--BCHER-KVA.de", "xn--bcher-kva.de"),
        ("faß.de", "xn--fa-hia.de"),
        ("ｅｘａｍｐｌｅ。com", "example.com"),
        ("exa\u{ad}mple.com", "example.com"),
        ("example\u{ff0e}com\u{3002}", "example.com"),
        ("１２７.0.0.1", "127.0.0.1"),
        ("①②⑦.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("127.0.1", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("0X7F.1", "127.0.0.1"),
        ("017700000001", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0177.0.0.01", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("0", "0.0.0.0"),
        ("0x", "0.0.0.0"),
        ("1.2.3", "1.2.0.3"),
        ("::1", "::1"),
        ("[::1]", "::1"),
        ("[0:0::0:1]", "::1"),
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("[::FFFF:7f00:1]", "127.0.0.1"),
        ("64:ff9b::a9fe:a9fe", "169.254.169.254"),
        ("64:ff9b::10.0.0.1", "10.0.0.1"),
        ("::", "::"),
        (long.as_str(), long.as_str()),
        ("1.2.3.4x", "1.2.3.4x"),
        ("1e100.net", "1e100.net"),
        ("xn--", "it is not a valid internationalised name (UTS #46)"),
        ("xn--a", "it is not a valid internationalised name (UTS #46)"),
        // A-labels of plain ASCII and of what has another A-label.
        ("xn--example-.com", "it is not a valid internationalised name (UTS #46)"),
        ("", "it is empty"),
        (".", "it is empty"),
        ("\u{ad}", "it is empty"),
        ("..", "it has an empty label"),
        ("a..b", "it has an empty label"),
        (".a", "it has an empty label"),
        ("a..", "it has an empty label"),
        ("127.0.0.1..", "it has an empty label"),
        ("a\u{3002}\u{ff61}b", "it has an empty label"),
        ("256.1.1.1", "it ends in a number and is not an IPv4 address"),
        ("1.2.3.4.5", "it ends in a number and is not an IPv4 address"),
        ("4294967296", "it ends in a number and is not an IPv4 address"),
        ("127.0.0.08", "it ends in a number and is not an IPv4 address"),
        ("example.1", "it ends in a number and is not an IPv4 address"),
        ("example.0x1", "it ends in a number and is not an IPv4 address"),
        ("1..2", "it ends in a number and is not an IPv4 address"),
        ("127.0.0.1%00", "it has a `%`; write it without percent encoding and without a zone"),
        ("%31.0.0.1", "it has a `%`; write it without percent encoding and without a zone"),
        ("fe80::1%eth0", "it has a `%`; write it without percent encoding and without a zone"),
        ("[fe80::1%25eth0]", "it has a `%`; write it without percent encoding and without a zone"),
        ("a b", "a host has no ` `"),
        (" a", "a host has no ` `"),
        ("a\n", "a host has no `\\n`"),
        ("a\0b", "a host has no `\\0`"),
        ("a\u{a0}b", "a host has no `\\u{a0}`"),
        ("a\u{7f}", "a host has no `\\u{7f}`"),
        ("u@h", "a host has no `@`"),
        ("a/b", "a host has no `/`"),
        ("a\\b", "a host has no `\\\\`"),
        ("a#b", "a host has no `#`"),
        ("a?b", "a host has no `?`"),
        ("a!b", "a host has no `!`"),
        ("a*b", "a host has no `*`"),
        ("*.a", "a host has no `*`"),
        ("a|b", "a host has no `|`"),
        ("a;b", "a host has no `;`"),
        ("a]", "a host has no `]`"),
        // Only looks like a slash.
        ("a\u{2044}b", "xn--ab-c6t"),
        ("a\u{ff0f}b", "it is not a valid internationalised name (UTS #46)"),
        ("a\u{2100}b", "it is not a valid internationalised name (UTS #46)"),
        ("[::1", "brackets hold one IPv6 address and nothing else"),
        ("[127.0.0.1]", "brackets hold one IPv6 address and nothing else"),
        ("[a]", "brackets hold one IPv6 address and nothing else"),
        ("[[::1]]", "brackets hold one IPv6 address and nothing else"),
        ("a:80", "it has colons and is not an IPv6 address; a port goes elsewhere"),
        ("::1.2.3", "it has colons and is not an IPv6 address; a port goes elsewhere"),
        ("::0x7f.0.0.1", "it has colons and is not an IPv6 address; a port goes elsewhere"),
        ("::127.0.0.1", "it carries 127.0.0.1 (IPv4-compatible); write the address that is meant"),
        ("2002:7f00:1::", "it carries 127.0.0.1 (6to4); write the address that is meant"),
        ("2001:0:1::80ff:fffe", "it carries 127.0.0.1 (Teredo); write the address that is meant"),
        ("64:ff9b:1::7f00:1", "it carries 127.0.0.1 (local NAT64); write the address that is meant"),
        ("::ffff:0:7f00:1", "it carries 127.0.0.1 (IPv4-translated); write the address that is meant"),
    ];
    for (text, want) in table {
        let (Ok(found) | Err(found)) = host(text);
        assert_eq!(found, want, "{text:?}");
        if let Ok(found) = host(text) {
            assert_eq!(host(&found), Ok(found.clone()), "canonical");
        }
    }
}

#[test]
fn lengths_are_bounded() {
    let name = |n: usize| format!("{0}.{0}.{0}.{1}", "a".repeat(63), "a".repeat(n));
    assert!(host(&name(61)).is_ok() && host(&format!("{}.", name(61))).is_ok());
    assert!(host(&name(62)).unwrap_err().starts_with("it has 254 bytes"));
    assert!(host(&"a".repeat(64)).unwrap_err().starts_with("it has 64 bytes"));
    assert!(host(&"ü".repeat(63)).is_err());
    assert!(host(&"a.".repeat(100_000)).unwrap_err().starts_with("it has 200000 bytes"));
}

#[test]
fn patterns_are_canonical_or_refused() {
    for good in [
        "*",
        "*.example.com",
        "*.com",
        "example.com",
        "192.0.2.1",
        "2001:db8::1",
        "10.0.0.0/8",
        "0.0.0.0/0",
        "2001:db8::/32",
        "::/0",
        "*.xn--bcher-kva.de",
    ] {
        assert_eq!(good.parse::<HostPattern>().unwrap().to_string(), good);
        let json = serde_json::to_string(&good.parse::<HostPattern>().unwrap()).unwrap();
        assert_eq!(serde_json::from_str::<HostPattern>(&json).unwrap().to_string(), good);
    }
    let canonical = |want: &str| PatternError::NotCanonical(want.to_owned());
    let table = [
        ("API.github.com", canonical("api.github.com")),
        ("*.Example.com", canonical("*.example.com")),
        ("*.example.com.", canonical("*.example.com")),
        ("bücher.de", canonical("xn--bcher-kva.de")),
        ("127.1", canonical("127.0.0.1")),
        ("[::1]", canonical("::1")),
        ("::ffff:10.0.0.1", canonical("10.0.0.1")),
        ("10.1.2.3/8", canonical("10.0.0.0/8")),
        ("10.0.0.0/08", canonical("10.0.0.0/8")),
        ("[2001:db8::]/32", canonical("2001:db8::/32")),
        ("10.0.0.1/32", canonical("10.0.0.1")),
        ("::1/128", canonical("::1")),
        ("**", PatternError::Wildcard),
        ("a.*", PatternError::Wildcard),
        ("*a.b", PatternError::Wildcard),
        ("a.*.b", PatternError::Wildcard),
        ("*.*.b", PatternError::Wildcard),
        ("*.127.0.0.1", PatternError::BelowAddress),
        ("*.1", PatternError::BelowAddress),
        ("*.", PatternError::Host(HostError::Empty)),
        ("", PatternError::Host(HostError::Empty)),
        ("10.0.0.0/33", PatternError::Prefix(32)),
        ("10.0.0.0/", PatternError::Prefix(32)),
        ("10.0.0.0/+8", PatternError::Prefix(32)),
        ("::/129", PatternError::Prefix(128)),
        ("10.0/8", PatternError::NotAddress),
        ("example.com/x", PatternError::NotAddress),
        ("::ffff:0:0/96", PatternError::NoHost),
        ("64:ff9b::/96", PatternError::NoHost),
        ("2002::/16", PatternError::NoHost),
        ("a b", PatternError::Host(HostError::Character(' '))),
    ];
    for (text, want) in table {
        assert_eq!(text.parse::<HostPattern>().unwrap_err(), want, "{text}");
    }
    assert_eq!(canonical("a").to_string(), "it is not in canonical form; write `a`");
    assert!(serde_json::from_str::<HostPattern>("\"A.com\"").is_err());
}

#[test]
fn a_wildcard_is_below_and_never_the_apex() {
    let matches = |pattern: &str, host: &str| pattern.parse::<HostPattern>().unwrap().matches(&host.parse().unwrap());
    assert!(matches("*.example.com", "a.example.com") && matches("*.example.com", "a.b.example.com"));
    assert!(!matches("*.example.com", "example.com") && !matches("*.example.com", "xexample.com"));
    assert!(!matches("*.example.com", "example.com.evil.test"));
    assert!(matches("*", "example.com") && !matches("*", "192.0.2.1") && !matches("*", "::1"));
    assert!(matches("10.0.0.0/8", "10.1.2.3") && matches("10.0.0.0/8", "::ffff:10.1.2.3"));
    assert!(!matches("10.0.0.0/8", "11.0.0.0") && !matches("0.0.0.0/0", "::1") && !matches("::/0", "1.2.3.4"));
}

#[test]
fn endpoints_bracket_ipv6() {
    let read = |text: &str| text.parse::<Endpoint>().map(|e| e.to_string());
    assert_eq!(read("API.github.com.:443").unwrap(), "api.github.com:443");
    assert_eq!(read("[::1]:443").unwrap(), "[::1]:443");
    assert_eq!(read("[::ffff:127.0.0.1]:80").unwrap(), "127.0.0.1:80");
    assert_eq!(read("0x7f.1:65535").unwrap(), "127.0.0.1:65535");
    let table = [
        ("a", EndpointError::NoPort),
        ("[::1]", EndpointError::NoPort),
        ("::1:443", EndpointError::Unbracketed),
        ("a:1:2", EndpointError::Unbracketed),
        ("a:", EndpointError::Port),
        ("a:0", EndpointError::Port),
        ("a:65536", EndpointError::Port),
        ("a:+1", EndpointError::Port),
        ("a:01", EndpointError::Port),
        ("a: 1", EndpointError::Port),
        ("a:１", EndpointError::Port),
        (":1", EndpointError::Host(HostError::Empty)),
        ("u@h:1", EndpointError::Host(HostError::Character('@'))),
    ];
    for (text, want) in table {
        assert_eq!(read(text).unwrap_err(), want, "{text}");
    }
}

#[test]
fn addresses_have_a_class() {
    use AddressClass::*;
    let table = [
        (Global, "1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.0 172.32.0.1 2606:4700::1 2001:4860::8888 168.63.129.17"),
        (Loopback, "127.0.0.1 127.255.255.255 ::1 ::ffff:127.0.0.1"),
        (Private, "10.0.0.0 10.255.255.255 172.16.0.1 172.31.255.255 192.168.1.1 64:ff9b::a00:1"),
        (LinkLocal, "169.254.0.1 169.254.255.255 fe80::1 febf::1"),
        (
            Metadata,
            "169.254.169.254 169.254.170.2 100.100.100.200 168.63.129.16 192.0.0.192 fd00:ec2::254 fd20:ce::254",
        ),
        (Metadata, "::ffff:169.254.169.254 64:ff9b::a9fe:a9fe fe80::a9fe:a9fe fd00:ec2::23 169.254.170.23"),
        (Multicast, "224.0.0.1 239.255.255.255 ff02::1"),
        (Broadcast, "255.255.255.255"),
        (Unspecified, "0.0.0.0 ::"),
        (Documentation, "192.0.2.1 198.51.100.1 203.0.113.1 2001:db8::1 3fff:fff::1"),
        (Benchmark, "198.18.0.1 198.19.255.255 2001:2::1"),
        (CarrierGradeNat, "100.64.0.0 100.127.255.255"),
        (UniqueLocal, "fc00::1 fd00:ec2::1 fdff::"),
        (Transition, "2002:7f00:1:: 2001:0:1::1 ::127.0.0.1 64:ff9b:1::1 ::ffff:0:1.2.3.4"),
        (Reserved, "0.0.0.1 192.0.0.1 192.88.99.1 240.0.0.1 255.255.255.254 fec0::1 100::1 4000::1 5f00::1 2001:1::1"),
    ];
    for (want, addresses) in table {
        for address in addresses.split(' ') {
            assert_eq!(class(address.parse::<IpAddr>().unwrap()), want, "{address}");
        }
    }
    let of = |text: &str| text.parse::<HostPattern>().unwrap().classes();
    assert_eq!(of("10.1.0.0/16"), [Private]);
    assert_eq!(of("169.254.0.0/16"), [LinkLocal, Metadata]);
    assert_eq!(of("100.0.0.0/9"), [Global, Metadata, CarrierGradeNat]);
    assert_eq!(of("1.0.0.0/8"), [Global]);
    assert!(of("0.0.0.0/0").contains(&Loopback) && of("::/0").contains(&Metadata));
    assert_eq!(of("*.localhost"), [Loopback]);
    assert_eq!(of("metadata.google.internal"), [Metadata]);
    assert!(of("example.com").is_empty() && of("*").is_empty() && of("notlocalhost").is_empty());
}

#[test]
fn methods_are_in_upper_case() {
    assert_eq!(Method::from_call("get").unwrap().as_str(), "GET");
    assert_eq!(Method::from_policy("GET").unwrap().to_string(), "GET");
    assert_eq!(Method::from_policy("get").unwrap_err().to_string(), "methods are in upper case; write `GET`");
    for bad in ["", "G T", "GET\r\n", "GÉT", "GET/", "a\0", &"A".repeat(33)] {
        assert!(Method::from_call(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn url_paths_are_canonical_or_refused() {
    let read = |text: &str| UrlPath::from_call(text).map(|p| p.to_string());
    let good = [
        ("/", "/"),
        ("/repos/", "/repos/"),
        ("/%7Ea/%61", "/~a/a"),
        ("/a%2b+%3b;x", "/a%2B+%3B;x"),
        ("/é", "/%C3%A9"),
        ("/a%20b", "/a%20b"),
        ("/100%25", "/100%25"),
        ("/a...b/...", "/a...b/..."),
    ];
    for (text, want) in good {
        assert_eq!(read(text).unwrap(), want);
        assert_eq!(read(want).unwrap(), want);
    }
    let bad = [
        ("", PathFault::NotAbsolute),
        ("a", PathFault::NotAbsolute),
        ("*", PathFault::NotAbsolute),
        ("http://a/b", PathFault::NotAbsolute),
        ("/..", PathFault::DotSegment),
        ("/a/../b", PathFault::DotSegment),
        ("/a/./b", PathFault::DotSegment),
        ("/%2e%2E/b", PathFault::DotSegment),
        ("/.%2e", PathFault::DotSegment),
        ("/..;x=1/b", PathFault::DotSegment),
        ("/..%3bx/b", PathFault::DotSegment),
        ("//a", PathFault::EmptySegment),
        ("/a//", PathFault::EmptySegment),
        ("/;x/a", PathFault::EmptySegment),
        ("/a%2fb", PathFault::Hidden(b'/')),
        ("/a%5Cb", PathFault::Hidden(b'\\')),
        ("/a\\b", PathFault::Hidden(b'\\')),
        ("/a%00", PathFault::Hidden(0)),
        ("/a%0d%0a", PathFault::Hidden(13)),
        ("/a\n", PathFault::Hidden(10)),
        ("/%252e%252e/", PathFault::Hidden(b'%')),
        ("/%25%32%65", PathFault::Hidden(b'%')),
        ("/a?b", PathFault::Character('?')),
        ("/a#b", PathFault::Character('#')),
        ("/a b", PathFault::Character(' ')),
        ("/a{b", PathFault::Character('{')),
        ("/%", PathFault::Percent),
        ("/%4", PathFault::Percent),
        ("/%zz", PathFault::Percent),
        ("/%+1", PathFault::Percent),
        ("/%c0%ae", PathFault::Utf8),
        ("/%ff", PathFault::Utf8),
        ("/%c2%85", PathFault::Character('\u{85}')),
    ];
    for (text, want) in bad {
        assert_eq!(read(text).unwrap_err(), want, "{text}");
    }
    assert!(matches!(UrlPath::from_call(&format!("/{}", "é".repeat(3000))), Err(PathFault::TooLong(_))));
    assert_eq!(UrlPath::from_policy("/%7e").unwrap_err().to_string(), "it is not in canonical form; write `/~`");
}

#[test]
fn prefixes_end_at_segments() {
    let covers = |a: &str, b: &str| UrlPath::from_policy(a).unwrap().covers(&UrlPath::from_call(b).unwrap());
    for (a, b) in [
        ("/repos/", "/repos/x"),
        ("/repos/", "/repos/"),
        ("/repos", "/repos"),
        ("/repos", "/repos/x"),
        ("/repos", "/repos/"),
        ("/", "/"),
        ("/", "/a/b"),
        ("/a!", "/a%21/b"),
        ("/a%21", "/a!"),
    ] {
        assert!(covers(a, b), "{a} {b}");
    }
    for (a, b) in [("/repos/", "/repos"), ("/repos", "/repository"), ("/repos/x", "/repos"), ("/a", "/A"), ("/a", "/")]
    {
        assert!(!covers(a, b), "{a} {b}");
    }
}
