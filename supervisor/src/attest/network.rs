//! The network namespace: which routes it has, and what listens in it (proc(5), `/proc/PID/net`).

use serde_json::json;
use stockade_plan::{Listener, Plan, Transport};

use super::{Layer, Subject};

/// State of a listening TCP socket and of a bound UDP one (`include/net/tcp_states.h`).
const LISTENING: &str = "0A";
const BOUND: &str = "07";

pub(super) fn network(subject: &Subject, plan: &Plan) -> Layer {
    let mut layer = Layer::new("network");
    // The main table; routes of the local one are not there.
    let routes: Vec<String> = subject.read("net/route").lines().skip(1).map(squeeze).collect();
    layer.expect("main routing table", &routes.join("; "), "");
    // Without IPv6 there is no such file, and no such route.
    let v6 = subject.read("net/ipv6_route");
    let elsewhere = v6.lines().filter(|line| !line.starts_with("unreadable") && !line.trim_end().ends_with(" lo"));
    for route in elsewhere {
        layer.mismatches.push(format!("network: IPv6 has the route {}", squeeze(route)));
    }
    let all_local = subject.read("net/fib_trie").lines().any(|line| squeeze(line) == "/0 host LOCAL");
    let planned_local = !plan.listeners.is_empty();
    layer.expect("whole IPv4 local", &all_local.to_string(), &planned_local.to_string());
    let mut found = Vec::new();
    for (file, transport, state) in [("net/tcp", Transport::Tcp, LISTENING), ("net/udp", Transport::Udp, BOUND)] {
        found.extend(subject.read(file).lines().skip(1).filter_map(|line| bound(line, transport, state)));
    }
    found.sort();
    let mut planned: Vec<String> = plan.listeners.iter().map(|l| spelled(*l)).collect();
    planned.sort();
    layer.expect("listeners", &found.join(" "), &planned.join(" "));
    layer.summary = match planned.len() {
        0 => "no route and no listener".into(),
        n => format!("one route, to itself, for every IPv4 address; {n} listeners, each of ours"),
    };
    layer.details = json!({ "routes": routes, "whole_ipv4_local": all_local, "listeners": found });
    layer
}

fn squeeze(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn spelled(listener: Listener) -> String {
    let address = if listener.any { "0.0.0.0" } else { "127.0.0.1" };
    format!("{}:{address}:{}", name(listener.transport), listener.port)
}

fn name(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
    }
}

/// The socket of a line of `/proc/net/tcp`, if it waits for peers.
fn bound(line: &str, transport: Transport, state: &str) -> Option<String> {
    let mut fields = line.split_whitespace();
    let (local, _, found) = (fields.nth(1)?, fields.next()?, fields.next()?);
    if found != state {
        return None;
    }
    let (address, port) = local.split_once(':')?;
    // The address is in the order of the machine's bytes, the port is not.
    let address = std::net::Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?.to_ne_bytes());
    Some(format!("{}:{address}:{}", name(transport), u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernels_is_read() {
        let line = "   0: 0100007F:0C38 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0";
        assert_eq!(bound(line, Transport::Tcp, LISTENING).as_deref(), Some("tcp:127.0.0.1:3128"));
        assert_eq!(bound(line, Transport::Udp, BOUND), None);
    }
}
