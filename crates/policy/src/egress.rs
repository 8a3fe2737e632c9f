//! Decisions on connections: one request, a tunnel, a name that is looked up, and the address that it led to.

use crate::bundle::Rule;
use crate::context::{http_args, tcp_args};
use crate::decide::{Asked, Decider, Judged};
use crate::denial::Denial;
use crate::facts::Facts;
use crate::host::{Endpoint, Host, Method, UrlPath, class};
use crate::model::{EgressRule, HostPatterns, Scheme};
use crate::schema;
use crate::tool::{EGRESS_HTTP, EGRESS_TCP};
use crate::verdict::NOBODY_TO_ASK;
use std::net::IpAddr;

/// What can be seen of an HTTP request: whether it goes over TLS, its method and its path.
pub type Spoken<'a> = (bool, &'a Method, &'a UrlPath);

/// Leave for one request or one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EgressGrant {
    /// The entry that it belongs to.
    pub rule: EgressRule,
    /// Ids of the rules that allow it, sorted.
    pub rules: Vec<String>,
    /// The same, with file and line.
    pub reason: String,
}

/// What a connection may carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tunnel {
    /// Bytes.
    Bytes(EgressGrant),
    /// TLS with this very host, in which nobody looks.
    Tls(EgressGrant),
    /// HTTP, of which every request is decided on its own.
    Requests,
}

impl Decider {
    /// Decides one HTTP request.
    ///
    /// # Errors
    /// Its denial. Nobody can be asked about a connection: what needs an approval is denied.
    pub fn decide_http(&self, to: &Endpoint, spoken: Spoken<'_>, facts: &Facts) -> Result<EgressGrant, Box<Denial>> {
        self.with_host(to, Some(spoken), |asked, rule| self.grant_host(asked, rule, facts))
    }

    /// Decides a connection of which nothing but its host and port is known.
    ///
    /// # Errors
    /// As [`Self::decide_http`].
    pub fn decide_tunnel(&self, to: &Endpoint, facts: &Facts) -> Result<Tunnel, Box<Denial>> {
        self.with_host(to, None, |asked, rule| {
            let reaches = |scheme| {
                self.bundle
                    .egress
                    .iter()
                    .find(|rule| rule.scheme == scheme && rule.ports.contains(&to.port) && rule.host.matches(&to.host))
            };
            match (rule, reaches(Scheme::Http), reaches(Scheme::Https)) {
                (Some(rule), ..) => {
                    let grant = self.grant_host(asked, Some(rule), facts)?;
                    Ok(if rule.scheme == Scheme::Tcp { Tunnel::Bytes(grant) } else { Tunnel::Tls(grant) })
                }
                (None, Some(_), _) => Ok(Tunnel::Requests),
                (None, None, Some(hidden)) => Err(Box::new(self.hides(asked, hidden))),
                (None, None, None) => {
                    let denied = self.grant_host(asked, None, facts);
                    // Without an entry the gate denies; were it gone, nothing would be allowed all the same.
                    Err(denied
                        .err()
                        .unwrap_or_else(|| Box::new(self.hidden_denial(asked, "no [[egress]] rule covers it"))))
                }
            }
        })
    }

    /// Whether some entry speaks of a name, so that it may be looked up. What is asked there is decided then.
    #[must_use]
    pub fn may_look_up(&self, host: &Host) -> bool {
        self.bundle.egress.iter().any(|rule| rule.host.matches(host))
    }

    /// A request or connection as it is asked about, with the entry that it belongs to.
    pub(crate) fn with_host<T>(
        &self,
        to: &Endpoint,
        http: Option<Spoken<'_>>,
        then: impl FnOnce(&Asked<'_>, Option<&EgressRule>) -> T,
    ) -> T {
        let id = to.to_string();
        let rule = self.matching_egress(to, http);
        let (action, args, object) = match http {
            Some((tls, method, path)) => {
                let scheme = if tls { Scheme::Https } else { Scheme::Http }.name();
                let object = format!("{method} {scheme}://{id}{path}");
                (EGRESS_HTTP, http_args(scheme, to, method, path), object)
            }
            None => (EGRESS_TCP, tcp_args(to), id.clone()),
        };
        let asked = Asked {
            action,
            kind: schema::Resource::Host,
            server: false,
            id: &id,
            object: &object,
            args,
            argv: &[],
            rule: rule.map(|rule| rule.id.as_str()),
        };
        then(&asked, rule)
    }

    fn grant_host(
        &self,
        asked: &Asked<'_>,
        rule: Option<&EgressRule>,
        facts: &Facts,
    ) -> Result<EgressGrant, Box<Denial>> {
        match (self.judge(asked, facts), rule) {
            (Judged::Allowed(outcome), Some(rule)) => {
                let rules = self.permitting(asked.action, &outcome);
                let reason = format!("allowed by {}", self.describe(&rules));
                Ok(EgressGrant { rule: rule.clone(), rules, reason })
            }
            (Judged::Asks(before, _), _) => {
                let mut denial = self.denial(asked, &before);
                NOBODY_TO_ASK.clone_into(&mut denial.agent_reason);
                Err(Box::new(denial))
            }
            (Judged::Denied(outcome) | Judged::Allowed(outcome), _) => Err(Box::new(self.denial(asked, &outcome))),
        }
    }

    /// A tunnel would hide what an entry decides on.
    fn hides(&self, asked: &Asked<'_>, rule: &EgressRule) -> Denial {
        let mut denial = self.hidden_denial(
            asked,
            "its rule looks at methods or paths, or puts a secret in, and a tunnel shows neither; send the proxy an absolute-form request (GET https://HOST/PATH)",
        );
        denial.rule = Some(rule.id.clone());
        denial.origin = Some(rule.origin.clone());
        denial.public_rule = true;
        denial
    }

    fn hidden_denial(&self, asked: &Asked<'_>, why: &str) -> Denial {
        Denial::of("policy", asked.object.to_owned(), why.to_owned(), &self.bundle.digest).fixed_by(Vec::new())
    }

    /// Whether an author's own Cedar policy may refuse HTTP requests by what a tunnel hides.
    pub(crate) fn author_looks_at_requests(&self) -> bool {
        let looks = |rule: &&Rule| {
            let about = |uid: &crate::code::Uid| uid.1 == EGRESS_HTTP;
            rule.author && rule.code.forbid && rule.code.actions.as_ref().is_none_or(|some| some.iter().any(about))
        };
        self.bundle.rules.iter().any(|rule| looks(&rule))
    }
}

/// Whether an address that a host led to may be dialled: it is the Internet's and none of this machine's `own`, or
/// `networks` name it.
///
/// # Errors
/// What the address is, in words.
pub fn check_address(address: IpAddr, networks: &HostPatterns, own: &[IpAddr]) -> Result<(), String> {
    // In the spelling that is dialled: an IPv4-mapped address is the IPv4 one.
    let host = Host::from_ip(address).map_err(|error| format!("{address}: {error}"))?;
    if networks.iter().any(|network| network.matches(&host)) {
        return Ok(());
    }
    let reached = host.ip().unwrap_or(address);
    match class(reached) {
        _ if own.contains(&reached) => Err(format!("{reached} is this machine\u{2019}s own")),
        class if class.is_global() => Ok(()),
        class => Err(format!("{reached} is a {} address", class.name())),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::load::parse_policy;

    fn decider(text: &str) -> Decider {
        let policy = parse_policy("t.toml", &format!("version = 1\nid = \"t\"\nextends = [\"preset:base@1\"]\n{text}"));
        Decider::new(&policy.unwrap().bundle).unwrap()
    }

    #[test]
    fn a_tunnel_goes_only_where_it_hides_nothing() {
        let decider = decider(
            "[[egress]]\nid = \"open\"\nhost = \"open.example\"\nmethods = [\"*\"]\n\
             [[egress]]\nid = \"some\"\nhost = \"some.example\"\nmethods = [\"GET\"]\n\
             [[egress]]\nid = \"clear\"\nhost = \"clear.example\"\nscheme = \"http\"\nmethods = [\"GET\"]\n\
             [[egress]]\nid = \"db\"\nhost = \"db.example\"\nscheme = \"tcp\"\nport = 5432\n",
        );
        let ask = |to: &str| decider.decide_tunnel(&to.parse().unwrap(), &Facts::default());
        assert!(matches!(ask("open.example:443"), Ok(Tunnel::Tls(grant)) if grant.rule.id == "open"));
        assert!(matches!(ask("db.example:5432"), Ok(Tunnel::Bytes(grant)) if grant.rule.id == "db"));
        assert_eq!(ask("clear.example:80"), Ok(Tunnel::Requests));
        let denial = ask("some.example:443").unwrap_err();
        assert_eq!(denial.rule.as_deref(), Some("some"));
        assert!(denial.reason.contains("absolute-form"), "{}", denial.reason);
        let denial = ask("other.example:443").unwrap_err();
        assert!(denial.reason.contains("no [[egress]] rule"), "{}", denial.reason);
        assert!(decider.may_look_up(&"db.example".parse().unwrap()));
        assert!(!decider.may_look_up(&"x.db.example".parse().unwrap()));
    }

    #[test]
    fn an_address_is_the_internets_or_named() {
        let none: HostPatterns = Vec::new();
        let own = ["93.184.216.34".parse().unwrap()];
        for bad in [
            "127.0.0.1",
            "10.1.2.3",
            "169.254.169.254",
            "::1",
            "::ffff:127.0.0.1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "0.0.0.0",
            "fe80::1",
            "93.184.216.34",
            "::ffff:93.184.216.34",
        ] {
            assert!(check_address(bad.parse().unwrap(), &none, &own).is_err(), "{bad}");
        }
        for good in ["8.8.8.8", "2606:4700::1111"] {
            assert_eq!(check_address(good.parse().unwrap(), &none, &own), Ok(()), "{good}");
        }
        let named = vec!["10.0.0.0/8".parse().unwrap()];
        assert_eq!(check_address("10.1.2.3".parse().unwrap(), &named, &own), Ok(()));
        assert!(check_address("127.0.0.1".parse().unwrap(), &named, &own).is_err());
    }
}
