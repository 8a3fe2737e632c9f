//! A SOCKS5 proxy without authentication (RFC 1928): CONNECT, by name or address.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::http::requests;
use super::pass::pass;
use crate::dial::dial;
use crate::error::Refusal;
use crate::run::World;
use crate::shim::Connection;

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const NO_METHOD: u8 = 0xff;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Replies (RFC 1928, 6).
const SUCCEEDED: u8 = 0;
const FAILURE: u8 = 1;
const NOT_ALLOWED: u8 = 2;
const HOST_UNREACHABLE: u8 = 4;
const COMMAND: u8 = 7;
const ADDRESS_TYPE: u8 = 8;

/// Longest time for the beginning.
const BEGINNING: Duration = Duration::from_secs(10);

/// Serves one connection.
pub async fn socks(world: Rc<World>, mut stream: TcpStream) {
    let Ok(Ok(asked)) = timeout(BEGINNING, beginning(&mut stream)).await else { return };
    let (host, port) = match asked {
        Ok(asked) => asked,
        Err(reply) => return answer(&mut stream, reply).await,
    };
    // A program that looked the name up here meant the name.
    let host = host.parse::<Ipv4Addr>().ok().and_then(|address| world.book.name(address)).unwrap_or(host);
    match world.shim.connect(&format!("{host}:{port}")).await {
        Ok(Connection::Requests(host)) => {
            answer(&mut stream, SUCCEEDED).await;
            requests(world, stream, host, port).await;
        }
        Ok(Connection::Granted(mut grant)) => match dial(&world, &mut grant).await {
            Ok(outside) => {
                answer(&mut stream, SUCCEEDED).await;
                pass(*grant, stream, outside).await;
            }
            Err(refusal) => answer(&mut stream, reply_of(&refusal)).await,
        },
        Err(refusal) => answer(&mut stream, reply_of(&refusal)).await,
    }
}

fn reply_of(refusal: &Refusal) -> u8 {
    match refusal {
        Refusal::Denied(_) => NOT_ALLOWED,
        Refusal::Failed { code: "connect" | "timeout" | "no_address" | "resolver", .. } => HOST_UNREACHABLE,
        Refusal::Failed { .. } => FAILURE,
    }
}

/// The greeting and the request: host and port, or the reply that refuses it.
async fn beginning(stream: &mut TcpStream) -> std::io::Result<Result<(String, u16), u8>> {
    let [version, count] = array(stream).await?;
    let mut methods = vec![0; count.into()];
    stream.read_exact(&mut methods).await?;
    if version != VERSION || !methods.contains(&NO_AUTHENTICATION) {
        stream.write_all(&[VERSION, NO_METHOD]).await?;
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    stream.write_all(&[VERSION, NO_AUTHENTICATION]).await?;
    let [version, command, _reserved, kind] = array(stream).await?;
    if version != VERSION {
        return Ok(Err(FAILURE));
    }
    let host = match kind {
        IPV4 => Ipv4Addr::from(array::<4>(stream).await?).to_string(),
        IPV6 => format!("[{}]", Ipv6Addr::from(array::<16>(stream).await?)),
        NAME => {
            let mut name = vec![0; stream.read_u8().await?.into()];
            stream.read_exact(&mut name).await?;
            match String::from_utf8(name) {
                Ok(name) => name,
                Err(_) => return Ok(Err(NOT_ALLOWED)),
            }
        }
        _ => return Ok(Err(ADDRESS_TYPE)),
    };
    let port = stream.read_u16().await?;
    Ok(if command == CONNECT { Ok((host, port)) } else { Err(COMMAND) })
}

async fn array<const N: usize>(stream: &mut TcpStream) -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// With the address that we are bound to, which is nobody's business: zeros.
async fn answer(stream: &mut TcpStream, reply: u8) {
    // Who asked may be gone; the next read tells.
    let _gone = stream.write_all(&[VERSION, reply, 0, IPV4, 0, 0, 0, 0, 0, 0]).await;
}
