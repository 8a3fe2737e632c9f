//! Places outside. Patterns of hosts are nested or apart, so one host of each that is in no narrower one stands
//! for the rest of it; ports, methods and paths that no rule names behave alike.

use super::tools::{by_author, undecided};
use super::{Change, Pair, Tally, witnesses};
use crate::attempt::{Attempt, Http};
use crate::host::{Host, HostPattern, UrlPath};
use crate::model::{CeilingEgress, EgressRule, Policy, Scheme};
use crate::tool::{EGRESS_HTTP, EGRESS_TCP};
use serde_json::json;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Requests to one host, and to all, that are put to both policies; where more are told apart, nothing is decided.
const MAX_ATTEMPTS: [usize; 2] = [20_000, 100_000];

pub(super) fn changes(pair: &Pair<'_>, lists: &Pair<'_>) -> Vec<Change> {
    let rules: Vec<&EgressRule> = pair.a.egress.iter().chain(&pair.b.egress).collect();
    let bounds = [pair.a, pair.b].into_iter().filter_map(|policy| policy.bundle.ceiling_egress.as_ref()).flatten();
    let mut patterns: BTreeSet<&HostPattern> = rules.iter().map(|rule| &rule.host).collect();
    patterns.extend(bounds.map(|bound| &bound.host));
    let mut all = Vec::new();
    let mut open = Vec::new();
    for pattern in &patterns {
        let Some(host) = example(pattern, &patterns) else {
            // Where the narrower patterns leave nothing of it there is nothing to ask either, but that is not known.
            open.push(undecided("egress", format!("no example was found for {pattern}")));
            continue;
        };
        let about: Vec<&EgressRule> = rules.iter().copied().filter(|rule| rule.host.matches(&host)).collect();
        match attempts(&host, &about, pair) {
            Some(attempts) if all.len() + attempts.len() <= MAX_ATTEMPTS[1] => all.extend(attempts),
            _ => open.push(undecided("egress", format!("the rules tell too many requests to {pattern} apart"))),
        }
    }
    // The same entries in the same order need no example.
    if entries(pair.a) == entries(pair.b) {
        open.clear();
    }
    let mut tally = Tally::new("egress", "egress");
    for attempt in &all {
        let name = attempt.to_string();
        tally.ask(pair, attempt, name.strip_prefix("host ").unwrap_or(&name).to_owned());
    }
    let mut changes = tally.changes();
    changes.append(&mut open);
    for action in [EGRESS_HTTP, EGRESS_TCP] {
        let http = action == EGRESS_HTTP;
        let of = |attempt: &&Attempt| matches!(attempt, Attempt::Host { http: spoken, .. } if spoken.is_some() == http);
        let attempts: Vec<&Attempt> = all.iter().filter(of).collect();
        // Where neither policy has an entry, no rule can permit anything: the gate stands before all of them.
        if !attempts.is_empty() {
            changes.extend(by_author(pair, lists, action, &attempts));
        }
    }
    changes
}

/// All that decides on places outside, in order.
fn entries(policy: &Policy) -> serde_json::Value {
    let rule = |rule: &EgressRule| json!([rule.host, rule.scheme, rule.ports, rule.methods, rule.paths]);
    let bound = |bound: &CeilingEgress| json!([bound.host, bound.ports, bound.methods]);
    let bounds = policy.bundle.ceiling_egress.as_ref().map(|all| all.iter().map(bound).collect::<Vec<_>>());
    json!([policy.egress.iter().map(rule).collect::<Vec<_>>(), bounds])
}

/// A host that is in a pattern and in none that is narrower.
fn example(pattern: &HostPattern, all: &BTreeSet<&HostPattern>) -> Option<Host> {
    let narrower: Vec<&&HostPattern> = all.iter().filter(|other| **other != pattern && pattern.covers(other)).collect();
    let free = |host: &Host| pattern.matches(host) && !narrower.iter().any(|other| other.matches(host));
    if let Some(host) = pattern.host() {
        return Some(host.clone());
    }
    let text = pattern.to_string();
    if let Some(base) = text.strip_prefix('*') {
        let base = if base.is_empty() { ".invalid" } else { base };
        // Short ones too, where the base leaves no room for more.
        let names = witnesses().chain(('a'..='z').map(String::from)).map(|label| format!("{label}{base}"));
        return names.filter_map(|name| name.parse().ok()).find(free);
    }
    // A network: its first address, or the first behind one of the narrower ones.
    let (net, _) = text.split_once('/')?;
    let behind = narrower.iter().filter_map(|other| last(other)).filter_map(next);
    let first = net.parse::<IpAddr>().ok();
    // Addresses that carry another one are no hosts; those in the middle and at the end may be.
    let candidates = first
        .into_iter()
        .chain(behind)
        .chain(last(pattern))
        .chain(first.zip(last(pattern)).into_iter().flat_map(between));
    candidates.filter_map(|address| Host::from_ip(address).ok()).find(free)
}

/// Some addresses between two.
fn between((first, last): (IpAddr, IpAddr)) -> Vec<IpAddr> {
    let (IpAddr::V6(first), IpAddr::V6(last)) = (first, last) else { return Vec::new() };
    let (first, last) = (u128::from(first), u128::from(last));
    let step = (last.saturating_sub(first) / 64).max(1);
    (1..64)
        .filter_map(|n| first.checked_add(step.checked_mul(n)?)?.checked_add(1))
        .map(|at| IpAddr::V6(at.into()))
        .collect()
}

/// The last address of a pattern of addresses.
fn last(pattern: &HostPattern) -> Option<IpAddr> {
    if let Some(address) = pattern.host().and_then(Host::ip) {
        return Some(address);
    }
    let text = pattern.to_string();
    let (net, length) = text.split_once('/')?;
    let length: u32 = length.parse().ok()?;
    Some(match net.parse().ok()? {
        IpAddr::V4(net) => IpAddr::V4((u32::from(net) | u32::MAX.checked_shr(length).unwrap_or(0)).into()),
        IpAddr::V6(net) => IpAddr::V6((u128::from(net) | u128::MAX.checked_shr(length).unwrap_or(0)).into()),
    })
}

fn next(address: IpAddr) -> Option<IpAddr> {
    Some(match address {
        IpAddr::V4(v4) => IpAddr::V4(u32::from(v4).checked_add(1)?.into()),
        IpAddr::V6(v6) => IpAddr::V6(u128::from(v6).checked_add(1)?.into()),
    })
}

/// One of each class of requests to a host that these rules tell apart; `None` if there are too many.
fn attempts(host: &Host, rules: &[&EgressRule], pair: &Pair<'_>) -> Option<Vec<Attempt>> {
    let bounds = || [pair.a, pair.b].into_iter().filter_map(|policy| policy.bundle.ceiling_egress.as_ref()).flatten();
    let mut ports: BTreeSet<u16> = rules.iter().flat_map(|rule| rule.ports.iter().copied()).collect();
    ports.extend(bounds().flat_map(|bound| bound.ports.iter().copied()));
    // One that nobody names.
    ports.extend((1..=u16::MAX).find(|port| !ports.contains(port)));
    let mut methods: BTreeSet<String> =
        rules.iter().flat_map(|rule| rule.methods.iter().flatten()).map(ToString::to_string).collect();
    methods.extend(bounds().flat_map(|bound| bound.methods.iter().flatten()).map(ToString::to_string));
    methods.extend(witnesses().map(|word| word.to_ascii_uppercase()).find(|word| !methods.contains(word)));
    let named: Vec<&UrlPath> = rules.iter().flat_map(|rule| &rule.paths).collect();
    let segment = witnesses().find(|word| !named.iter().any(|path| path.as_str().contains(word.as_str())))?;
    let below = |path: &UrlPath| format!("{}/{segment}", path.as_str().trim_end_matches('/'));
    let mut paths: BTreeSet<String> = named.iter().flat_map(|path| [path.to_string(), below(path)]).collect();
    paths.extend(["/".to_owned(), format!("/{segment}")]);
    let product = ports.len().checked_mul(methods.len().checked_mul(paths.len())?)?;
    if product > MAX_ATTEMPTS[0] {
        return None;
    }
    let mut attempts = Vec::new();
    for port in ports {
        let endpoint = crate::host::Endpoint { host: host.clone(), port }.to_string();
        attempts.push(Attempt::Host { endpoint: endpoint.clone(), http: None });
        for tls in [true, false] {
            let scheme = if tls { Scheme::Https } else { Scheme::Http };
            if !rules.iter().any(|rule| rule.scheme == scheme) {
                continue;
            }
            for method in &methods {
                for path in &paths {
                    let http = Http { tls, method: method.clone(), path: path.clone() };
                    attempts.push(Attempt::Host { endpoint: endpoint.clone(), http: Some(http) });
                }
            }
        }
    }
    Some(attempts)
}
