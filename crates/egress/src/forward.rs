//! One request: asked about, sent on in the spelling that was decided, and its answer brought back.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use hyper::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, HeaderName,
    HeaderValue,
};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use stockade_wire::egress::{Carries, ToShim};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::spawn_local;
use tokio::time::timeout;

use crate::dial::dial;
use crate::error::Refusal;
use crate::run::World;
use crate::shim::Grant;
use crate::vault::Scanner;

/// Longest wait for the head of an answer.
const HEAD: Duration = Duration::from_secs(300);

/// Fields that speak of one connection and not of the message (RFC 9110, 7.6.1), and those by which a client
/// identifies itself to a proxy.
const OF_ONE_CONNECTION: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "host",
];

/// What an answer's body is.
pub type AnswerBody = Pin<Box<dyn Body<Data = Bytes, Error = Failure>>>;
/// An answer to the cell.
pub type Answer = Response<AnswerBody>;
/// Why a body breaks off.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `host:port`, in the client's spelling.
    pub to: String,
    /// Over TLS.
    pub tls: bool,
}

/// An answer of our own.
pub fn said(status: StatusCode, body: Option<String>) -> Answer {
    let body: AnswerBody = match body {
        Some(text) => Box::pin(Full::new(Bytes::from(text)).map_err(|never| match never {})),
        None => Box::pin(Empty::new().map_err(|never| match never {})),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Says why not.
pub fn refused(refusal: &Refusal) -> Answer {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_GATEWAY);
    said(status, Some(format!("{}\n", refusal.body())))
}

/// Asks, sends, and brings the answer.
pub async fn forward(world: &World, request: Request<Incoming>, target: &Target) -> Answer {
    match try_forward(world, request, target).await {
        Ok(answer) => answer,
        Err(refusal) => refused(&refusal),
    }
}

async fn try_forward(world: &World, request: Request<Incoming>, target: &Target) -> Result<Answer, Refusal> {
    let hosts: Vec<&HeaderValue> = request.headers().get_all(HOST).iter().collect();
    let host = match hosts.as_slice() {
        [one] => one.to_str().map_err(|_| Refusal::failed("bad_request", "its Host field is no text"))?.to_owned(),
        _ => return Err(Refusal::failed("bad_request", "a request has one Host field (RFC 9112, 3.2)")),
    };
    let method = request.method().to_string();
    let (path, query) = (request.uri().path().to_owned(), request.uri().query().unwrap_or_default().to_owned());
    let Target { to, tls } = target.clone();
    let grant = world.shim.request(|ask| ToShim::Request { ask, to, tls, host, method, path, query }).await?;
    exchange(world, grant, request).await
}

/// Sends a request that was granted. The grant ends with the answer's last byte.
async fn exchange(world: &World, mut grant: Grant, request: Request<Incoming>) -> Result<Answer, Refusal> {
    let Carries::Request { tls, method, path, secret } = grant.granted.carries.clone() else {
        return Err(grant.fail(Refusal::failed("shim", "what was granted is no request")));
    };
    let mut request = request;
    strip(request.headers_mut());
    if let Some(name) = &secret {
        put(world, name, tls, request.headers_mut()).map_err(|why| grant.fail(why))?;
        grant.outcome().credential = true;
    }
    let stream = dial(world, &mut grant).await?;
    let sent = match tls {
        true => {
            let stream = world.tls.connect(&grant.granted.host, stream).await.map_err(|why| grant.fail(why))?;
            send(&mut grant, request, stream, (&method, &path)).await
        }
        false => send(&mut grant, request, stream, (&method, &path)).await,
    };
    let response = sent.map_err(|why| grant.fail(why))?;
    let (mut parts, body) = response.into_parts();
    grant.outcome().status = Some(parts.status.as_u16());
    let encoded = parts.headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity");
    if secret.is_some() && encoded {
        let why =
            "the answer is compressed though it was asked not to be, so it cannot be looked through for the secret";
        return Err(grant.fail(Refusal::failed("encoded", why)));
    }
    if world.vault.finds_in(&parts.headers) {
        return Err(grant.fail(came_back()));
    }
    strip(&mut parts.headers);
    let body: AnswerBody = Box::pin(Counted { body, grant: Some(grant), scanner: world.vault.scanner(), ended: false });
    Ok(Response::from_parts(parts, body))
}

/// Puts a secret into its field, in place of whatever the agent has there or identifies itself with.
fn put(world: &World, name: &str, tls: bool, headers: &mut HeaderMap) -> Result<(), Refusal> {
    let (field, value) = world
        .vault
        .field(name)
        .filter(|_| tls)
        .ok_or_else(|| Refusal::failed("secret", "its secret is not there, or would go in the clear"))?;
    headers.remove(AUTHORIZATION);
    headers.insert(field, value);
    // What is compressed hides what is looked for.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    Ok(())
}

fn came_back() -> Refusal {
    Refusal::failed("secret_came_back", "the answer has a secret of this host in it; it was cut")
}

async fn send<S>(
    grant: &mut Grant,
    request: Request<Incoming>,
    stream: S,
    (method, path): (&str, &str),
) -> Result<Response<Incoming>, Refusal>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let failed = |error: hyper::Error| Refusal::failed("http", short(&error.to_string()));
    let bad = |why: &dyn std::fmt::Display| Refusal::failed("bad_request", short(&why.to_string()));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    spawn_local(async move {
        // Its errors are those of the request, or come after its end.
        let _ended = connection.await;
    });
    let (mut parts, body) = request.into_parts();
    let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    parts.uri = format!("{path}{query}").parse::<Uri>().map_err(|why| bad(&why))?;
    parts.method = method.parse().map_err(|why| bad(&why))?;
    parts.version = hyper::Version::HTTP_11;
    let host = HeaderValue::from_str(&host_field(grant)).map_err(|why| bad(&why))?;
    parts.headers.insert(HOST, host);
    let counted = Sent { body, count: std::rc::Rc::default() };
    let count = std::rc::Rc::clone(&counted.count);
    let answered = timeout(HEAD, sender.send_request(Request::from_parts(parts, counted))).await;
    grant.outcome().sent = count.get();
    let late = |_| Refusal::failed("timeout", format!("no answer in {} s", HEAD.as_secs()));
    answered.map_err(late)?.map_err(failed)
}

/// The Host field of what was granted, in its one spelling.
fn host_field(grant: &Grant) -> String {
    let granted = &grant.granted;
    let host = if granted.host.contains(':') { format!("[{}]", granted.host) } else { granted.host.clone() };
    match (&granted.carries, granted.port) {
        (Carries::Request { tls: true, .. }, 443) | (Carries::Request { tls: false, .. }, 80) => host,
        (_, port) => format!("{host}:{port}"),
    }
}

/// Takes out what speaks of one connection, and what `Connection` names.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|field| field.to_str().ok())
        .flat_map(|field| field.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in OF_ONE_CONNECTION {
        headers.remove(name);
    }
}

/// Text of the other side's making is kept short and in one line.
fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// A body that counts its bytes.
struct Sent {
    body: Incoming,
    count: std::rc::Rc<std::cell::Cell<u64>>,
}

impl Body for Sent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            let len = frame.data_ref().map_or(0, |data| data.len() as u64);
            self.count.set(self.count.get() + len);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The answer's body, which counts its bytes into the grant. What breaks off is told as such.
struct Counted {
    body: Incoming,
    grant: Option<Grant>,
    scanner: Scanner,
    ended: bool,
}

impl Counted {
    /// Takes a piece of the answer; gives what goes on to the cell.
    fn take(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, Refusal> {
        let Ok(data) = frame.into_data() else {
            // Trailers speak of one connection, or are more than anybody needs.
            return Ok(Frame::data(Bytes::new()));
        };
        if let Some(grant) = &mut self.grant {
            grant.outcome().received += data.len() as u64;
        }
        self.scanner.push(&data).map(Frame::data).map_err(|_| came_back())
    }

    fn break_off(&mut self, why: Refusal) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        self.ended = true;
        let text = why.body().to_string();
        if let Some(mut grant) = self.grant.take() {
            grant.fail(why);
        }
        Poll::Ready(Some(Err(text.into())))
    }
}

impl Body for Counted {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else { return Poll::Pending };
        match frame {
            Some(Ok(frame)) => match this.take(frame) {
                Ok(frame) => Poll::Ready(Some(Ok(frame))),
                Err(why) => this.break_off(why),
            },
            Some(Err(error)) => this.break_off(Refusal::failed("http", short(&error.to_string()))),
            None => {
                this.ended = true;
                this.grant = None;
                let rest = this.scanner.end();
                Poll::Ready((!rest.is_empty()).then(|| Ok(Frame::data(rest))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        // A body that turns out to be cut must not look whole: its length is that of the field, which goes on.
        self.body.size_hint()
    }
}
