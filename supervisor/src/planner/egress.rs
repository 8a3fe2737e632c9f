//! What a policy's places outside make of plans: the sockets inside a cell, and the process that serves them.

use std::os::fd::OwnedFd;

use nix::libc;
use stockade_plan::{Listener, MAX_LISTENERS, Role, Transport};
use stockade_policy::Policy;
use stockade_wire::egress::Serves;

use super::draft::{Draft, Finish};
use crate::cgroup::CellGroup;
use crate::error::RunError;
use crate::fit::Gap;
use crate::home::{Home, dev_null};
use crate::launch::Order;

/// Where a cell's own services listen, unless the policy needs the port.
const PROXY: u16 = 3128;
const SOCKS: u16 = 1080;
const MODEL: u16 = 8088;
/// The port of name servers.
const NAMES: u16 = 53;
/// Address space of egress: connections with their buffers, many times over.
const ADDRESS_SPACE: u64 = 1 << 30;

/// Whether a run under this policy has a process that speaks with the outside.
pub(crate) fn reaches_out(policy: &Policy) -> bool {
    !policy.egress.is_empty() || !policy.models.is_empty()
}

/// The inside of a cell's network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Inside {
    /// What listens, and what for.
    pub listeners: Vec<(Listener, Serves)>,
}

impl Inside {
    /// What a cell under this policy has; nothing if it reaches nothing.
    pub(crate) fn of(policy: &Policy) -> Result<Self, Gap> {
        let mut inside = Self::default();
        if !reaches_out(policy) {
            return Ok(inside);
        }
        let mut ports: Vec<u16> = policy.egress.iter().flat_map(|rule| rule.ports.iter().copied()).collect();
        ports.sort_unstable();
        ports.dedup();
        // Names are asked for on this port, over TCP too.
        ports.retain(|port| *port != NAMES);
        // Its own services have five at most.
        if let Some(rule) = policy.egress.last().filter(|_| ports.len() > MAX_LISTENERS - 5) {
            let message =
                format!("the [[egress]] entries name {} ports; a cell can have {}", ports.len(), MAX_LISTENERS - 5);
            return Err(Gap::at("egress", &rule.origin, message));
        }
        let free = |from: u16| (from..u16::MAX).find(|port| !ports.contains(port)).unwrap_or(from);
        let mut add = |transport, any, port, serves| inside.listeners.push((Listener { transport, any, port }, serves));
        if !policy.egress.is_empty() {
            add(Transport::Tcp, false, free(PROXY), Serves::Proxy);
            add(Transport::Tcp, false, free(SOCKS), Serves::Socks);
            add(Transport::Udp, true, NAMES, Serves::Names);
            add(Transport::Tcp, true, NAMES, Serves::NamesTcp);
        }
        if !policy.models.is_empty() {
            add(Transport::Tcp, false, free(MODEL), Serves::Model);
        }
        ports.iter().for_each(|port| add(Transport::Tcp, true, *port, Serves::Any(*port)));
        Ok(inside)
    }

    /// Whether there is one.
    pub(crate) fn is_empty(&self) -> bool {
        self.listeners.is_empty()
    }

    /// What each socket is for, in the order of the plan.
    pub(crate) fn serves(&self) -> Vec<Serves> {
        self.listeners.iter().map(|(_, serves)| *serves).collect()
    }

    /// Puts it into a plan.
    pub(crate) fn put(&self, draft: &mut Draft) {
        draft.listeners = self.listeners.iter().map(|(listener, _)| *listener).collect();
        let tcp = draft.listeners.iter().filter(|listener| listener.transport == Transport::Tcp);
        draft.connect = tcp.map(|listener| listener.port).collect();
    }

    fn port(&self, of: Serves) -> Option<u16> {
        self.listeners.iter().find(|(_, serves)| *serves == of).map(|(listener, _)| listener.port)
    }

    /// Variables by which programs find their way; what the policy sets itself stays.
    pub(crate) fn environment(&self, policy: &Policy, own: bool, env: &mut Vec<(String, String)>) {
        let mut more: Vec<(String, String)> = Vec::new();
        let mut both = |name: &str, value: String| {
            more.push((name.to_owned(), value.clone()));
            more.push((name.to_ascii_uppercase(), value));
        };
        if let (Some(proxy), Some(socks)) = (self.port(Serves::Proxy), self.port(Serves::Socks)) {
            both("http_proxy", format!("http://127.0.0.1:{proxy}"));
            both("https_proxy", format!("http://127.0.0.1:{proxy}"));
            both("all_proxy", format!("socks5h://127.0.0.1:{socks}"));
            both("no_proxy", "localhost,127.0.0.1".to_owned());
        }
        if let Some(model) = self.port(Serves::Model) {
            more.push(("OPENAI_BASE_URL".to_owned(), format!("http://127.0.0.1:{model}/v1")));
            more.push(("OPENAI_API_KEY".to_owned(), "stockade:model".to_owned()));
        }
        more.extend(policy.secrets.iter().filter(|_| own).map(|secret| {
            let name = secret.name.to_ascii_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
            (format!("STOCKADE_SECRET_{name}"), format!("stockade:secret:{}", secret.name))
        }));
        more.retain(|(name, _)| !env.iter().any(|(set, _)| set == name));
        env.extend(more);
        env.sort();
    }
}

/// What egress is given.
pub(crate) struct EgressInputs<'a> {
    pub host_id: u32,
    pub group: &'a CellGroup,
    pub landlock_abi: u8,
    pub control: OwnedFd,
    pub diagnostics: OwnedFd,
    pub policy: &'a Policy,
}

/// The process that speaks with the outside: an empty root and a network of its own, in which is nothing.
pub(crate) fn egress(home: &Home, inputs: EgressInputs<'_>) -> Result<Order, RunError> {
    let mut draft = Draft::default();
    draft.descriptor(inputs.control, 0)?;
    draft.descriptor(dev_null()?, 1)?;
    draft.descriptor(inputs.diagnostics, 2)?;
    // Landlock counts what this process connects, wherever the socket was made.
    draft.connect = inputs.policy.egress.iter().flat_map(|rule| rule.ports.iter().copied()).chain([NAMES]).collect();
    draft.connect.extend(inputs.policy.models.iter().filter_map(|model| port_of(&model.url)));
    draft.common_rlimits(4096);
    draft.rlimit(libc::RLIMIT_NPROC, 1);
    draft.rlimit(libc::RLIMIT_FSIZE, 0);
    draft.rlimit(libc::RLIMIT_AS, ADDRESS_SPACE);
    draft.finish(Finish {
        what: "egress",
        role: Role::Egress,
        hostname: "egress",
        host_id: inputs.host_id,
        group: inputs.group,
        landlock_abi: inputs.landlock_abi,
        profile: "egress",
        listener: false,
        additions: Vec::new(),
        program: home.program("stockade-egress")?,
        argv: vec!["stockade-egress".into()],
        env: Vec::new(),
        cwd: "/",
    })
}

/// The port of a URL that the policy's reader has taken.
fn port_of(url: &str) -> Option<u16> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let port =
        authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).and_then(|(_, port)| port.parse().ok());
    port.or(if scheme == "https" { Some(443) } else { Some(80) })
}
