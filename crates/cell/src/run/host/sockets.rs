//! Sockets and name lookups: there are none. An attempt is put to the shim as the tool
//! `wasi.socket`, so that the record has it with the policy's refusal; whatever the answer, the
//! agent gets `access-denied`, because this cell has nothing behind it.

use serde_json::{Value, json};
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{self, ResolveAddressStream};
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, IpAddress, IpAddressFamily, Network};
use wasmtime_wasi::p2::bindings::sockets::{tcp_create_socket, udp_create_socket};
use wasmtime_wasi::p2::{DynPollable, SocketError, SocketResult, TcpSocket, UdpSocket};

use super::Host;
use crate::message::prefix;

/// The name under which attempts are recorded. No policy can grant it anything.
const SOCKET: &str = "wasi.socket";
/// Longest host name that is recorded (RFC 1035 has 253).
const MAX_NAME: usize = 256;

impl Host {
    fn refuse(&mut self, what: Value) -> SocketError {
        match self.ask(SOCKET, what.to_string()) {
            Ok(_) => ErrorCode::AccessDenied.into(),
            Err(stop) => SocketError::trap(stop),
        }
    }
}

fn family(family: IpAddressFamily) -> &'static str {
    match family {
        IpAddressFamily::Ipv4 => "ipv4",
        IpAddressFamily::Ipv6 => "ipv6",
    }
}

/// Errors and the network handle are wasmtime's own; the handle opens nothing.
impl network::Host for Host {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        self.sockets_view().convert_error_code(error)
    }

    fn network_error_code(&mut self, error: Resource<wasmtime::Error>) -> wasmtime::Result<Option<ErrorCode>> {
        self.sockets_view().network_error_code(error)
    }
}

impl network::HostNetwork for Host {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        self.sockets_view().drop(network)
    }
}

impl tcp_create_socket::Host for Host {
    fn create_tcp_socket(&mut self, version: IpAddressFamily) -> SocketResult<Resource<TcpSocket>> {
        Err(self.refuse(json!({ "create": "tcp", "family": family(version) })))
    }
}

impl udp_create_socket::Host for Host {
    async fn create_udp_socket(&mut self, version: IpAddressFamily) -> SocketResult<Resource<UdpSocket>> {
        Err(self.refuse(json!({ "create": "udp", "family": family(version) })))
    }
}

impl ip_name_lookup::Host for Host {
    fn resolve_addresses(
        &mut self,
        _network: Resource<Network>,
        name: String,
    ) -> SocketResult<Resource<ResolveAddressStream>> {
        Err(self.refuse(json!({ "resolve": prefix(&name, MAX_NAME) })))
    }
}

/// No such stream is ever made, so every handle to one is a forgery.
impl ip_name_lookup::HostResolveAddressStream for Host {
    fn resolve_next_address(&mut self, _stream: Resource<ResolveAddressStream>) -> SocketResult<Option<IpAddress>> {
        Err(ErrorCode::InvalidState.into())
    }

    fn subscribe(&mut self, _stream: Resource<ResolveAddressStream>) -> wasmtime::Result<Resource<DynPollable>> {
        Err(wasmtime::Error::msg("no name lookup was ever started"))
    }

    fn drop(&mut self, _stream: Resource<ResolveAddressStream>) -> wasmtime::Result<()> {
        Err(wasmtime::Error::msg("no name lookup was ever started"))
    }
}
