//! From the first message to the end: who is told what, and which socket is served how.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use stockade_wire::egress::{FromSupervisor, Secrets, Serves, Setup, ToSupervisor};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::spawn_local;

use crate::error::Fatal;
use crate::link::Link;
use crate::names::{Book, Resolver, serve_datagrams, serve_stream};
use crate::outside::Outside;
use crate::proxy;
use crate::shim::Shim;
use crate::tls::Tls;
use crate::vault::Vault;

/// Most bytes of a memory file that is handed over.
const MAX_MEMFD: u64 = 16 << 20;

/// What every connection needs.
#[derive(Debug)]
pub struct World {
    /// Who decides and records.
    pub shim: Shim,
    /// Who gives sockets.
    pub outside: Outside,
    /// Who knows addresses.
    pub resolver: Resolver,
    /// Which synthetic address stands for which name.
    pub book: Book,
    /// Certificates that are trusted.
    pub tls: Tls,
    /// Secrets that go along, and must not come back.
    pub vault: Rc<Vault>,
}

/// Serves until the supervisor or the shim is gone.
pub async fn run() -> Result<(), Fatal> {
    let fatal = |what: &'static str| move |error: std::io::Error| Fatal(format!("{what}: {error}"));
    let stdin = std::io::stdin().as_fd().try_clone_to_owned().map_err(fatal("descriptor 0"))?;
    let supervisor = Rc::new(Link::new(stdin).map_err(fatal("descriptor 0"))?);
    let first = supervisor.receive::<FromSupervisor>().await.map_err(fatal("setup"))?;
    let Some((FromSupervisor::Setup(setup), fds)) = first else {
        return Err(Fatal(
            "the first message is not `setup`; stockade-egress is started by stockade, not by hand".into(),
        ));
    };
    let [shim, authorities, secrets] = <[OwnedFd; 3]>::try_from(fds)
        .map_err(|fds| Fatal(format!("{} descriptors came with the setup, not three", fds.len())))?;
    let Setup { resolvers, hosts, models: _ } = setup;
    let tls = Tls::new(&read(authorities).map_err(fatal("authorities"))?).map_err(Fatal)?;
    let secrets = read(secrets).map_err(fatal("secrets"))?;
    let secrets: Secrets =
        serde_json::from_slice(&secrets).map_err(|_| Fatal("secrets: they cannot be read".to_owned()))?;
    let vault = Rc::new(Vault::new(secrets));
    let (shim, shim_ended) = Shim::start(Rc::new(Link::new(shim).map_err(fatal("shim"))?));
    let outside = Outside::new(Rc::clone(&supervisor));
    let resolver = Resolver::new(outside.clone(), resolvers, hosts);
    let world = Rc::new(World { shim, outside: outside.clone(), resolver, book: Book::default(), tls, vault });
    supervisor.send(&ToSupervisor::Ready).await.map_err(fatal("supervisor"))?;
    let orders = async {
        loop {
            match supervisor.receive::<FromSupervisor>().await {
                Ok(None) => return Ok(()),
                Ok(Some((FromSupervisor::Socket, fds))) => outside.answered(fds.into_iter().next()),
                Ok(Some((FromSupervisor::Listeners { serves }, fds))) => listen(&world, &serves, fds)?,
                Ok(Some((FromSupervisor::Setup(_), _))) => return Err(Fatal("`setup` was said twice".into())),
                Err(error) => return Err(Fatal(format!("supervisor: {error}"))),
            }
        }
    };
    tokio::select! {
        ended = orders => ended,
        why = shim_ended => match why {
            None => Ok(()),
            Some(why) => Err(Fatal(format!("shim: {why}"))),
        },
    }
}

fn listen(world: &Rc<World>, serves: &[Serves], fds: Vec<OwnedFd>) -> Result<(), Fatal> {
    if serves.len() != fds.len() {
        return Err(Fatal(format!("{} sockets came for {} listeners", fds.len(), serves.len())));
    }
    for (serves, fd) in serves.iter().copied().zip(fds) {
        let world = Rc::clone(world);
        let broken = |error: std::io::Error| Fatal(format!("listener {serves:?}: {error}"));
        if serves == Serves::Names {
            let socket = UdpSocket::from_std(std::net::UdpSocket::from(fd)).map_err(broken)?;
            spawn_local(async move { serve_datagrams(&world, &socket).await });
        } else {
            let listener = TcpListener::from_std(std::net::TcpListener::from(fd)).map_err(broken)?;
            spawn_local(accept(world, serves, listener));
        }
    }
    Ok(())
}

async fn accept(world: Rc<World>, serves: Serves, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                spawn_local(one(Rc::clone(&world), serves, stream, peer));
            }
            // The descriptors are used up, or the peer is gone already: others are served meanwhile.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
    }
}

async fn one(world: Rc<World>, serves: Serves, stream: TcpStream, _peer: SocketAddr) {
    // What cannot be set only costs time.
    let _slower = stream.set_nodelay(true);
    match serves {
        Serves::Proxy => proxy::http(world, stream).await,
        Serves::Socks => proxy::socks(world, stream).await,
        Serves::NamesTcp => serve_stream(&world, stream).await,
        Serves::Any(_) => proxy::any(world, stream).await,
        Serves::Names | Serves::Model => {}
    }
}

/// A sealed memory file, whole.
fn read(fd: OwnedFd) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::io::Seek::rewind(&mut std::fs::File::from(fd.try_clone()?))?;
    std::fs::File::from(fd).take(MAX_MEMFD).read_to_end(&mut bytes)?;
    Ok(bytes)
}
