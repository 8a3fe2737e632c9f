//! The first message of TLS, which names the host (RFC 8446, 4.1.2; RFC 6066, 3).

use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::error::Refusal;

/// Longest first message, with what it is wrapped in.
const MAX_HELLO: usize = 32 * 1024;

/// Reads the first message; gives all bytes that were read, and the name in it.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<(Vec<u8>, Option<String>), Refusal> {
    let no_tls = |why: &str| Refusal::failed("no_tls", format!("its rule is for https, and this is no TLS: {why}"));
    let mut acceptor = Acceptor::default();
    let mut seen = Vec::new();
    let mut part = [0; 4096];
    loop {
        let len = stream.read(&mut part).await.map_err(|error| no_tls(&error.kind().to_string()))?;
        let mut rest = part.get(..len).filter(|rest| !rest.is_empty()).ok_or_else(|| no_tls("it ends at once"))?;
        seen.extend_from_slice(rest);
        if seen.len() > MAX_HELLO {
            return Err(no_tls("its first message is too long"));
        }
        while !rest.is_empty() {
            acceptor.read_tls(&mut rest).map_err(|error| no_tls(&error.to_string()))?;
            match acceptor.accept() {
                Ok(None) => {}
                Ok(Some(accepted)) => {
                    let name = accepted.client_hello().server_name().map(str::to_owned);
                    return Ok((seen, name));
                }
                Err((error, _)) => return Err(no_tls(&error.to_string())),
            }
        }
    }
}

/// Whether the name is that of the host which was decided on. An address has no name (RFC 6066, 3).
pub fn check(name: Option<&str>, host: &str) -> Result<(), Refusal> {
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    match name {
        None if is_address => Ok(()),
        Some(name) if !is_address && name.trim_end_matches('.').eq_ignore_ascii_case(host) => Ok(()),
        None => Err(Refusal::failed("sni", format!("the TLS inside names no host, and {host} was decided on"))),
        Some(name) => {
            let name: String = name.chars().take(256).collect();
            Err(Refusal::failed("sni", format!("the TLS inside is for {name}, and {host} was decided on")))
        }
    }
}
