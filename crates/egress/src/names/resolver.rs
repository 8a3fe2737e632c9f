//! A stub resolver (RFC 1035, RFC 5452): the host's file, then the host's name servers.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::answers::{Answers, read};
use crate::error::Refusal;
use crate::outside::Outside;

/// Longest wait for one server.
const PATIENCE: Duration = Duration::from_secs(3);
/// Times that the servers are gone through.
const ROUNDS: usize = 2;
/// Names that one leads to, one after the other.
const MAX_CHAIN: usize = 8;
/// Longest answer over UDP that is asked for without EDNS, and some.
const MAX_DATAGRAM: usize = 4096;

/// Who is asked.
#[derive(Debug)]
pub struct Resolver {
    outside: Outside,
    servers: Vec<SocketAddr>,
    hosts: Vec<(String, IpAddr)>,
}

impl Resolver {
    /// Asks these servers for what is not among the host's own names.
    pub fn new(outside: Outside, servers: Vec<SocketAddr>, hosts: Vec<(String, IpAddr)>) -> Self {
        Self { outside, servers, hosts }
    }

    /// All addresses of a name in its one spelling; IPv4 first.
    pub async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, Refusal> {
        let own: Vec<IpAddr> =
            self.hosts.iter().filter(|(known, _)| known == name).map(|(_, address)| *address).collect();
        if !own.is_empty() {
            return Ok(own);
        }
        let mut found = Vec::new();
        let mut why = None;
        for kind in [RecordType::A, RecordType::AAAA] {
            match self.of_kind(name, kind).await {
                Ok(more) => found.extend(more),
                Err(refusal) => why = Some(refusal),
            }
        }
        match why {
            // Half an answer would make what is dialled depend on who is slow; but a family that fails alone is common.
            Some(why) if found.is_empty() => Err(why),
            _ if found.is_empty() => Err(Refusal::failed("no_address", format!("{name} has no address"))),
            _ => Ok(found),
        }
    }

    async fn of_kind(&self, name: &str, kind: RecordType) -> Result<Vec<IpAddr>, Refusal> {
        let bad = |_| Refusal::failed("resolver", format!("{name} is no name of the DNS"));
        let mut at = Name::from_ascii(format!("{name}.")).map_err(bad)?;
        for _ in 0..MAX_CHAIN {
            match self.ask(&at, kind).await? {
                Answers::Addresses(found) => return Ok(found),
                Answers::Nothing => return Ok(Vec::new()),
                Answers::Alias(next) => at = next,
            }
        }
        Err(Refusal::failed("resolver", format!("{name} leads from name to name, more than {MAX_CHAIN} times")))
    }

    async fn ask(&self, name: &Name, kind: RecordType) -> Result<Answers, Refusal> {
        let mut last = Refusal::failed("resolver", "the host names no name server");
        for server in std::iter::repeat_n(&self.servers, ROUNDS).flatten() {
            match timeout(PATIENCE, self.ask_one(*server, name, kind)).await {
                Ok(Ok(answers)) => return Ok(answers),
                Ok(Err(refusal)) => last = refusal,
                Err(_) => last = Refusal::failed("resolver", format!("{server} did not answer")),
            }
        }
        Err(last)
    }

    async fn ask_one(&self, server: SocketAddr, name: &Name, kind: RecordType) -> Result<Answers, Refusal> {
        let failed = |why: &dyn std::fmt::Display| Refusal::failed("resolver", format!("{server}: {why}"));
        let mut id = [0; 2];
        // By system call: what a static program falls back to is not in its root.
        let len = rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::empty());
        if len.map_err(|error| failed(&error))? != id.len() {
            return Err(failed(&"the kernel gave too little chance"));
        }
        let query = Query::query(name.clone(), kind);
        let mut message = Message::new(u16::from_ne_bytes(id), MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(query.clone());
        let bytes = message.to_vec().map_err(|error| failed(&error))?;
        // A socket a question: its port is as hard to guess as its number.
        let socket = self.outside.datagrams(server).await?;
        socket.send(&bytes).await.map_err(|error| failed(&error.kind()))?;
        let mut datagram = [0; MAX_DATAGRAM];
        loop {
            let len = socket.recv(&mut datagram).await.map_err(|error| failed(&error.kind()))?;
            match read(datagram.get(..len).unwrap_or_default(), message.metadata.id, &query) {
                // Not to this question: somebody guesses. The right answer may still come.
                None => {}
                Some(Ok(answers)) => return Ok(answers),
                Some(Err(None)) => break,
                Some(Err(Some(why))) => return Err(failed(&why)),
            }
        }
        // Cut short: the same over TCP.
        let mut stream = self.outside.connect(server).await?;
        let len = u16::try_from(bytes.len()).map_err(|error| failed(&error))?;
        let whole = [len.to_be_bytes().as_slice(), &bytes].concat();
        stream.write_all(&whole).await.map_err(|error| failed(&error.kind()))?;
        let len = stream.read_u16().await.map_err(|error| failed(&error.kind()))?;
        let mut answer = vec![0; len.into()];
        stream.read_exact(&mut answer).await.map_err(|error| failed(&error.kind()))?;
        match read(&answer, message.metadata.id, &query) {
            Some(Ok(answers)) => Ok(answers),
            Some(Err(Some(why))) => Err(failed(&why)),
            None | Some(Err(None)) => Err(failed(&"an answer over TCP that is none")),
        }
    }
}
