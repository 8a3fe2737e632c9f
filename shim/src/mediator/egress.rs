//! What egress asks: names, connections, requests, addresses.

use std::time::Instant;

use nix::poll::PollFlags;
use serde_json::{Value, json};
use stockade_journal::{Call, Outcome as End, Payload, Record};
use stockade_policy::{Denial, EgressGrant, Facts, Tunnel, check_address};
use stockade_wire::egress::{Carries, FromShim, Granted, Outcome, ToShim};

use super::Mediator;
use super::call::{Decision, OVER_SHOWN, facts};
use crate::egress::{Flight, Question, Unclear};
use crate::error::ShimError;

/// Messages served before other descriptors get their turn.
const BATCH: usize = 32;

impl Mediator {
    /// Takes what egress sent, or sends what it did not take yet.
    pub(super) fn serve_egress(&mut self, events: PollFlags) -> Result<(), ShimError> {
        let Some(desk) = &mut self.egress else { return Ok(()) };
        if desk.congested() {
            let flushed = desk.flush();
            return self.unless_egress_gone(flushed);
        }
        if !events.intersects(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR) {
            return Ok(());
        }
        for _ in 0..BATCH {
            let Some(desk) = self.egress.as_mut().filter(|desk| !desk.congested()) else { return Ok(()) };
            match desk.next_message() {
                Ok(Some(message)) => self.asked_by_egress(&message)?,
                Ok(None) => return Ok(()),
                Err(why) => return self.unless_egress_gone(Err(why)),
            }
        }
        Ok(())
    }

    /// Without egress the run has a door that nobody holds: it ends. Nothing that was granted is left open.
    fn unless_egress_gone(&mut self, done: Result<(), String>) -> Result<(), ShimError> {
        let Err(why) = done else { return Ok(()) };
        self.close_egress("its egress is gone")?;
        self.egress = None;
        if self.condemned.is_some() || self.closed.is_some() {
            return Ok(());
        }
        self.condemn(&format!("egress: {why}"))
    }

    /// Records the end of all that is under way.
    pub(super) fn close_egress(&mut self, why: &str) -> Result<(), ShimError> {
        let Some(desk) = &mut self.egress else { return Ok(()) };
        let uncounted = desk.uncounted();
        for flight in desk.end_all() {
            let outcome =
                Outcome { error: Some("gone".to_owned()), message: Some(why.to_owned()), ..Outcome::default() };
            self.end_flight(flight, &outcome)?;
        }
        if uncounted > 0 {
            self.ledger.lifecycle("lookups_refused", json!({ "unrecorded": uncounted }))?;
        }
        Ok(())
    }

    fn asked_by_egress(&mut self, message: &ToShim) -> Result<(), ShimError> {
        match message {
            ToShim::Lookup { ask, name } => self.look_up(*ask, name),
            ToShim::Found { ask, addresses } => {
                let answer = self.found(*ask, addresses);
                self.tell_egress(&answer)
            }
            ToShim::Done { ask, outcome } => {
                let flight = self.egress.as_mut().and_then(|desk| desk.end(*ask));
                flight.map_or(Ok(()), |flight| self.end_flight(flight, outcome))
            }
            ToShim::Connect { ask, .. } | ToShim::Request { ask, .. } => match Question::of(message) {
                Some(Ok(question)) => self.connection(*ask, &question),
                Some(Err(unclear)) => self.unclear(*ask, unclear),
                None => Ok(()),
            },
        }
    }

    fn tell_egress(&mut self, message: &FromShim) -> Result<(), ShimError> {
        let sent = self.egress.as_mut().map_or(Ok(()), |desk| desk.send(message));
        self.unless_egress_gone(sent)
    }

    fn look_up(&mut self, ask: u64, name: &str) -> Result<(), ShimError> {
        let host = name.parse::<stockade_policy::host::Host>().ok().filter(|host| self.decider.may_look_up(host));
        if let Some(host) = host {
            return self.tell_egress(&FromShim::Known { ask, name: host.to_string() });
        }
        let shown: String = name.chars().take(256).collect();
        if self.egress.as_mut().is_some_and(|desk| desk.shows(&shown)) {
            self.calls.denied += 1;
            let policy = &self.decider.bundle().digest;
            let detail = json!({ "name": shown, "reason": "no [[egress]] rule speaks of this name", "policy": policy });
            self.ledger.lifecycle("lookup_refused", detail)?;
        }
        self.tell_egress(&FromShim::Refused { ask, body: Value::Null })
    }

    fn connection(&mut self, ask: u64, question: &Question) -> Result<(), ShimError> {
        let begun = Instant::now();
        let allowed = self.decider.bundle().calls;
        if self.calls.decided >= allowed {
            let denial = Denial::over_calls(self.decider.bundle(), format!("{}", question.to));
            self.calls.over += 1;
            if self.calls.over > OVER_SHOWN {
                self.calls.over_unrecorded += 1;
                return self.tell_egress(&FromShim::Refused { ask, body: denial.for_agent() });
            }
            return self.refuse_connection(ask, question.tool(), question.args(), &denial);
        }
        if let Some(Decision::Refused(denial, _)) = self.frozen(question.tool()) {
            self.count_connection(begun);
            return self.refuse_connection(ask, question.tool(), question.args(), &denial);
        }
        let facts = self.facts_of_connection(begun);
        let (to, decider) = (&question.to, &self.decider);
        let decided = match &question.request {
            Some((tls, method, path, _)) => decider.decide_http(to, (*tls, method, path), &facts).map(|grant| {
                let (method, path) = (method.to_string(), path.to_string());
                let secret = grant.rule.credential.clone();
                Some((grant, Carries::Request { tls: *tls, method, path, secret }))
            }),
            None => decider.decide_tunnel(to, &facts).map(|tunnel| match tunnel {
                Tunnel::Bytes(grant) => Some((grant, Carries::Bytes)),
                Tunnel::Tls(grant) => Some((grant, Carries::Tls)),
                Tunnel::Requests => None,
            }),
        };
        match decided {
            Ok(Some((grant, carries))) => self.grant_connection(ask, question, &grant, carries, begun),
            Ok(None) => self.tell_egress(&FromShim::Requests { ask, host: to.host.to_string() }),
            Err(denial) => {
                self.count_connection(begun);
                self.refuse_connection(ask, question.tool(), question.args(), &denial)
            }
        }
    }

    fn facts_of_connection(&mut self, now: Instant) -> Facts {
        let moment = self.moment(now);
        Facts { calls: self.rates.counts(None, moment), ..facts() }
    }

    fn count_connection(&mut self, now: Instant) {
        self.calls.decided += 1;
        let moment = self.moment(now);
        self.rates.count(None, moment);
    }

    fn grant_connection(
        &mut self,
        ask: u64,
        question: &Question,
        grant: &EgressGrant,
        carries: Carries,
        begun: Instant,
    ) -> Result<(), ShimError> {
        self.count_connection(begun);
        let call = self.next_egress_call();
        self.record_connection(call, question.tool(), question.args(), Ok(grant))?;
        // It leaves this host: the intent outlives a crash.
        self.ledger.commit()?;
        let networks = grant.rule.networks();
        if let Some(desk) = &mut self.egress {
            desk.begin(ask, Flight { call, begun, networks, refused: None });
        }
        let granted = Granted { host: question.to.host.to_string(), port: question.to.port, carries };
        self.tell_egress(&FromShim::Granted { ask, granted })
    }

    /// What has no canonical spelling is decided by nobody.
    fn unclear(&mut self, ask: u64, unclear: Unclear) -> Result<(), ShimError> {
        let Unclear { tool, args, why } = unclear;
        self.count_connection(Instant::now());
        let object = args.get("to").and_then(Value::as_str).unwrap_or_default().to_owned();
        let denial = Denial::of("schema", object, why, &self.decider.bundle().digest);
        self.refuse_connection(ask, tool, args, &denial)
    }

    fn refuse_connection(
        &mut self,
        ask: u64,
        tool: &'static str,
        args: Value,
        denial: &Denial,
    ) -> Result<(), ShimError> {
        self.calls.denied += 1;
        let call = self.next_egress_call();
        self.record_connection(call, tool, args, Err(denial))?;
        let body = denial.for_agent();
        let end = End { id: call, status: "denied".to_owned(), body: Payload::Inline(body.clone()), micros: 0 };
        self.ledger.append(Record::Result(end))?;
        self.tell_egress(&FromShim::Refused { ask, body })
    }

    fn record_connection(
        &mut self,
        id: u64,
        tool: &'static str,
        args: Value,
        decided: Result<&EgressGrant, &Denial>,
    ) -> Result<(), ShimError> {
        let (decision, rules, reason, layer) = match decided {
            Ok(grant) => ("allow", grant.rules.clone(), grant.reason.clone(), "policy"),
            Err(denial) => ("deny", denial.rule.iter().cloned().collect(), denial.to_string(), denial.layer),
        };
        let private = self.decider.bundle().is_private(tool);
        let args = if private { self.ledger.private(args)? } else { Payload::Inline(args) };
        self.ledger.append(Record::Call(Call {
            id,
            fuel: None,
            tool: tool.to_owned(),
            args,
            effect: "remote".to_owned(),
            decision: decision.to_owned(),
            rules,
            reason,
            layer: layer.to_owned(),
            policy_digest: self.decider.bundle().digest.clone(),
            denial: decided.err().map(Denial::record),
        }))
    }

    /// Of the addresses that a host led to, those that may be dialled; where none may, that is the end.
    fn found(&mut self, ask: u64, addresses: &[std::net::IpAddr]) -> FromShim {
        let own = &self.setup.own_addresses;
        let digest = &self.decider.bundle().digest;
        let Some(flight) = self.egress.as_mut().and_then(|desk| desk.flight(ask)) else {
            return FromShim::Refused { ask, body: Value::Null };
        };
        let judged = addresses.iter().map(|address| check_address(*address, &flight.networks, own).map(|()| *address));
        // One bad address condemns the name: what leads inside as well as outside is no mistake to steer around.
        match judged.collect::<Result<Vec<_>, String>>() {
            Ok(addresses) if !addresses.is_empty() && flight.refused.is_none() => FromShim::Dial { ask, addresses },
            Ok(_) => FromShim::Refused { ask, body: Value::Null },
            Err(why) => {
                let reason = format!(
                    "the host leads to where its rule does not: {why}; `addresses` of the [[egress]] entry names what it may"
                );
                let denial = Denial::of(
                    "address",
                    addresses.first().map(ToString::to_string).unwrap_or_default(),
                    reason,
                    digest,
                );
                let body = denial.fixed_by(Vec::new()).for_agent();
                flight.refused = Some(body.clone());
                self.calls.denied += 1;
                FromShim::Refused { ask, body }
            }
        }
    }

    fn end_flight(&mut self, flight: Flight, outcome: &Outcome) -> Result<(), ShimError> {
        let micros = u64::try_from(flight.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        let (status, body) = match (flight.refused, &outcome.error) {
            (Some(body), _) => ("denied", body),
            (None, Some(error)) => {
                let denies = matches!(error.as_str(), "sni" | "no_tls" | "host_header" | "secret_came_back");
                self.calls.denied += u64::from(denies);
                (if denies { "denied" } else { "failed" }, json!(outcome))
            }
            (None, None) => ("ok", json!(outcome)),
        };
        let end = End { id: flight.call, status: status.to_owned(), body: Payload::Inline(body), micros };
        self.ledger.append(Record::Result(end))
    }

    fn next_egress_call(&mut self) -> u64 {
        self.last_call += 1;
        self.last_call
    }
}
