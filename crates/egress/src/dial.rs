//! From a grant to a connection: resolve, have the addresses checked, dial one of them and no other.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::error::Refusal;
use crate::run::World;
use crate::shim::Grant;

/// Longest time to connect to one address.
const CONNECT: Duration = Duration::from_secs(10);
/// Addresses that are tried.
const TRIED: usize = 4;

/// Connects for a grant. The address that was checked is the one that is dialled; the name is not asked for again.
pub async fn dial(world: &World, grant: &mut Grant) -> Result<TcpStream, Refusal> {
    match try_dial(world, grant).await {
        Ok((stream, address)) => {
            grant.outcome().address = Some(address);
            Ok(stream)
        }
        Err(refusal) => Err(grant.fail(refusal)),
    }
}

async fn try_dial(world: &World, grant: &mut Grant) -> Result<(TcpStream, SocketAddr), Refusal> {
    let (host, port) = (grant.granted.host.clone(), grant.granted.port);
    let addresses: Vec<IpAddr> = match host.parse() {
        Ok(address) => vec![address],
        Err(_) => world.resolver.resolve(&host).await?,
    };
    let addresses = grant.found(addresses).await?;
    let mut last = Refusal::failed("connect", "there is no address");
    for address in addresses.into_iter().take(TRIED) {
        let to = SocketAddr::new(address, port);
        match timeout(CONNECT, world.outside.connect(to)).await {
            Ok(Ok(stream)) => return Ok((stream, to)),
            Ok(Err(refusal)) => last = refusal,
            Err(_) => last = Refusal::failed("timeout", format!("{to} did not answer in {} s", CONNECT.as_secs())),
        }
    }
    Err(last)
}
