//! HTTP/1.1 from the cell: a proxy that was named, or a connection on which requests are decided one by one.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::HOST;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::spawn_local;

use super::pass::pass;
use crate::dial::dial;
use crate::error::Refusal;
use crate::forward::{Answer, Target, forward, refused, said};
use crate::run::World;
use crate::shim::Connection;

/// Longest time for the head of a request.
const HEAD: Duration = Duration::from_secs(30);
/// Longest head, in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// Most header fields.
const MAX_FIELDS: usize = 128;

fn server() -> http1::Builder {
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(MAX_HEAD).max_headers(MAX_FIELDS);
    server
}

/// Serves one connection to the proxy.
pub async fn http(world: Rc<World>, stream: TcpStream) {
    let service = service_fn(|request| {
        let world = Rc::clone(&world);
        async move { Ok::<_, Infallible>(proxied(world, request).await) }
    });
    // A client that speaks no HTTP, or hangs up, is nobody's error.
    let _ended = server().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}

/// Serves requests to one host, on a connection that a program takes for one to that host.
pub async fn requests<S>(world: Rc<World>, stream: S, host: String, port: u16)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let target = Rc::new((host, port));
    let service = service_fn(|request: Request<Incoming>| {
        let (world, target) = (Rc::clone(&world), Rc::clone(&target));
        async move {
            let (host, port) = target.as_ref();
            let target = match (request.uri().scheme(), request.method() == Method::CONNECT) {
                (None, false) => Ok(Target { to: joined(host, *port), tls: false }),
                _ => Err(bad("a request to a server names a path, not a URL")),
            };
            Ok::<_, Infallible>(match target {
                Ok(target) => forward(&world, request, &target).await,
                Err(refusal) => refused(&refusal),
            })
        }
    });
    let _ended = server().serve_connection(TokioIo::new(stream), service).await;
}

fn bad(why: &str) -> Refusal {
    Refusal::failed("bad_request", why)
}

fn joined(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

async fn proxied(world: Rc<World>, request: Request<Incoming>) -> Answer {
    if request.method() == Method::CONNECT {
        return connect(world, request).await;
    }
    let tls = match request.uri().scheme_str() {
        Some("http") => false,
        // The client trusts the proxy with what TLS would hide from it, so that methods and paths can be decided on.
        Some("https") => true,
        _ => return refused(&bad("a request to a proxy names a whole URL: GET https://HOST/PATH")),
    };
    let Some(authority) = request.uri().authority() else { return refused(&bad("the URL names no host")) };
    if authority.as_str().contains('@') {
        return refused(&bad("a URL with a user in it"));
    }
    let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let target = Target { to: format!("{}:{port}", authority.host()), tls };
    forward(&world, request, &target).await
}

async fn connect(world: Rc<World>, mut request: Request<Incoming>) -> Answer {
    let Some(authority) = request.uri().authority().map(ToString::to_string) else {
        return refused(&bad("CONNECT names a host and a port"));
    };
    // RFC 9112, 3.2.3; a Host field that says something else is meant for somebody else (3.2).
    let told =
        request.headers().get_all(HOST).iter().all(|host| host.as_bytes().eq_ignore_ascii_case(authority.as_bytes()));
    if !told && !same_host(&request, &authority) {
        return refused(&bad("its Host field names another host"));
    }
    let connection = match world.shim.connect(&authority).await {
        Ok(connection) => connection,
        Err(refusal) => return refused(&refusal),
    };
    let upgrade = hyper::upgrade::on(&mut request);
    match connection {
        Connection::Requests(host) => {
            let port = request.uri().port_u16().unwrap_or(80);
            spawn_local(async move {
                if let Ok(stream) = upgrade.await {
                    requests(world, TokioIo::new(stream), host, port).await;
                }
            });
        }
        Connection::Granted(mut grant) => {
            let outside = match dial(&world, &mut grant).await {
                Ok(outside) => outside,
                Err(refusal) => return refused(&refusal),
            };
            spawn_local(async move {
                if let Ok(stream) = upgrade.await {
                    pass(*grant, TokioIo::new(stream), outside).await;
                }
            });
        }
    }
    said(StatusCode::OK, None)
}

/// Clients send the host alone, too.
fn same_host(request: &Request<Incoming>, authority: &str) -> bool {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let fields = request.headers().get_all(HOST);
    fields.iter().all(|field| field.as_bytes().eq_ignore_ascii_case(host.as_bytes()))
}
