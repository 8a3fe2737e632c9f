//! A host and a port.

use super::as_text;
use super::name::{Host, HostError};
use serde::{Deserialize, Serialize};

/// Where a connection goes. [`std::str::FromStr`] takes `host:port` and `[v6]:port`, the host in any spelling;
/// it is printed as `api.github.com:443`, `192.0.2.1:443`, `[2001:db8::1]:443`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Endpoint {
    /// The host.
    pub host: Host,
    /// The TCP or UDP port, from 1 if it was read from text.
    pub port: u16,
}

as_text!(Endpoint, str::parse::<Endpoint>);

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.ip() {
            Some(address) => write!(f, "{}", std::net::SocketAddr::new(address, self.port)),
            None => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Why a text is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointError {
    /// No `:` and digits at its end.
    NoPort,
    /// Not a number from 1 to 65535 in plain digits.
    Port,
    /// An IPv6 address without brackets, so that its last group could be the port.
    Unbracketed,
    /// The host in it.
    Host(HostError),
}

impl std::fmt::Display for EndpointError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoPort => f.write_str("it has no port; write `host:443`"),
            Self::Port => f.write_str("a port is a number from 1 to 65535"),
            Self::Unbracketed => f.write_str("an IPv6 address before a port stands in brackets; write `[::1]:443`"),
            Self::Host(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for EndpointError {}

impl std::str::FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let (host, port) = text.rsplit_once(':').ok_or(EndpointError::NoPort)?;
        if port.ends_with(']') {
            return Err(EndpointError::NoPort);
        }
        if host.contains(':') && !host.starts_with('[') {
            return Err(EndpointError::Unbracketed);
        }
        // `u16` would take `+443` and `000443`.
        let plain = port.len() <= 5 && !port.starts_with('0') && port.bytes().all(|b| b.is_ascii_digit());
        let port = port.parse().ok().filter(|_| plain).ok_or(EndpointError::Port)?;
        Ok(Self { host: host.parse().map_err(EndpointError::Host)?, port })
    }
}
