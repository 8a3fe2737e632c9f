//! Connections of programs that know of no proxy: whatever they connect to, they come here. The address that they
//! meant is that of our end of the socket.

use std::net::IpAddr;
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

/// How long a refused connection may take to show whether it would have understood an answer.
const FIRST_WORD: Duration = Duration::from_secs(2);

/// Serves one connection.
pub async fn any(world: Rc<World>, stream: TcpStream) {
    let Ok(meant) = stream.local_addr() else { return };
    let host = match meant.ip() {
        IpAddr::V4(v4) => world.book.name(v4).unwrap_or_else(|| v4.to_string()),
        IpAddr::V6(v6) => format!("[{v6}]"),
    };
    match world.shim.connect(&format!("{host}:{}", meant.port())).await {
        Ok(Connection::Requests(host)) => requests(world, stream, host, meant.port()).await,
        Ok(Connection::Granted(mut grant)) => match dial(&world, &mut grant).await {
            Ok(outside) => pass(*grant, stream, outside).await,
            Err(refusal) => explain(stream, &refusal).await,
        },
        Err(refusal) => explain(stream, &refusal).await,
    }
}

/// Tells a program that speaks HTTP why; to any other the connection just ends.
async fn explain(mut stream: TcpStream, refusal: &Refusal) {
    let mut start = [0; 1024];
    let Ok(Ok(len)) = timeout(FIRST_WORD, stream.read(&mut start)).await else { return };
    let speaks_http = start.get(..len).unwrap_or_default().split(|byte| *byte == b' ').next();
    if speaks_http.is_some_and(|method| !method.is_empty() && method.iter().all(u8::is_ascii_uppercase)) {
        let body = refusal.body().to_string();
        let text = format!(
            "HTTP/1.1 {} Refused\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            refusal.status(),
            body.len()
        );
        // Who is refused may be gone.
        let _gone = timeout(FIRST_WORD, stream.write_all(text.as_bytes())).await;
        let _gone = timeout(FIRST_WORD, stream.shutdown()).await;
    }
}
