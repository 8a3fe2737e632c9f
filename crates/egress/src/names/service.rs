//! The name service inside the cell (RFC 1035). It knows the names that some rule speaks of, and asks nobody else.

use std::rc::Rc;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{DNSClass, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::run::World;

/// Longest question that is read, in bytes.
const MAX_QUESTION: usize = 1232;
/// Seconds that an answer is good for.
const TTL: u32 = 300;
/// A connection without a question is closed.
const IDLE: Duration = Duration::from_secs(10);

/// Serves datagrams, one after the other: each answer takes one question to the shim.
pub async fn serve_datagrams(world: &Rc<World>, socket: &UdpSocket) {
    let mut question = [0; MAX_QUESTION];
    loop {
        let Ok((len, from)) = socket.recv_from(&mut question).await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        if let Some(answer) = answer(world, question.get(..len).unwrap_or_default()).await {
            // Who asked may be gone.
            let _gone = socket.send_to(&answer, from).await;
        }
    }
}

/// Serves a connection (RFC 7766).
pub async fn serve_stream(world: &Rc<World>, mut stream: TcpStream) {
    let mut question = [0; MAX_QUESTION];
    while let Ok(Ok(len)) = timeout(IDLE, stream.read_u16()).await {
        let Some(question) = question.get_mut(..len.into()) else { return };
        if !matches!(timeout(IDLE, stream.read_exact(question)).await, Ok(Ok(_))) {
            return;
        }
        let Some(answer) = answer(world, question).await else { return };
        let Ok(len) = u16::try_from(answer.len()) else { return };
        let whole = [len.to_be_bytes().as_slice(), &answer].concat();
        if !matches!(timeout(IDLE, stream.write_all(&whole)).await, Ok(Ok(()))) {
            return;
        }
    }
}

/// What is no question gets no answer.
async fn answer(world: &World, question: &[u8]) -> Option<Vec<u8>> {
    let asked = Message::from_vec(question).ok()?;
    if asked.metadata.message_type != MessageType::Query {
        return None;
    }
    let mut answer = Message::response(asked.metadata.id, asked.metadata.op_code);
    answer.metadata.recursion_desired = asked.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    answer.metadata.response_code = match asked.queries.as_slice() {
        [query] if asked.metadata.op_code == OpCode::Query => {
            answer.add_query(query.clone());
            let name = query.name().to_ascii();
            match world.shim.look_up(name.trim_end_matches('.')).await {
                Err(_) => ResponseCode::ServFail,
                Ok(None) => ResponseCode::NXDomain,
                // A name that exists, without what was asked for: programs go on with what there is.
                Ok(Some(_)) if query.query_class() != DNSClass::IN || query.query_type() != RecordType::A => {
                    ResponseCode::NoError
                }
                Ok(Some(name)) => match world.book.address(&name) {
                    None => ResponseCode::ServFail,
                    Some(address) => {
                        answer.add_answer(Record::from_rdata(query.name().clone(), TTL, RData::A(A(address))));
                        ResponseCode::NoError
                    }
                },
            }
        }
        _ => ResponseCode::NotImp,
    };
    answer.to_vec().ok()
}
