//! What a granted connection carries, once both sides are there.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::error::Refusal;
use crate::hello;
use crate::shim::Grant;
use crate::tally::tunnel;
use stockade_wire::egress::Carries;

/// Longest wait for the first message of TLS.
const HELLO: Duration = Duration::from_secs(30);

/// Copies between the cell and the host that was dialled. Of TLS the first message must name that host.
pub async fn pass<S>(mut grant: Grant, mut inside: S, mut outside: TcpStream)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut begun = 0;
    if grant.granted.carries == Carries::Tls {
        match first_message(&grant, &mut inside).await {
            Ok(bytes) if outside.write_all(&bytes).await.is_ok() => begun = bytes.len() as u64,
            Ok(_) => {
                grant.fail(Refusal::failed("closed", "the other side closed before it was spoken to"));
                return;
            }
            Err(refusal) => {
                grant.fail(refusal);
                return;
            }
        }
    }
    let (sent, received) = tunnel(inside, outside).await;
    let outcome = grant.outcome();
    (outcome.sent, outcome.received) = (sent + begun, received);
}

async fn first_message(grant: &Grant, inside: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, Refusal> {
    let read = timeout(HELLO, hello::read(inside)).await;
    let (bytes, name) = read.map_err(|_| Refusal::failed("no_tls", "no TLS was begun in time"))??;
    hello::check(name.as_deref(), &grant.granted.host)?;
    Ok(bytes)
}
