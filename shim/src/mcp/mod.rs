//! The Model Context Protocol, both ways: a session with an agent, which asks ([`server`]), and a session with an MCP
//! server, which is asked ([`client`]). Neither does any input or output: bytes go in, events and bytes come out.
//!
//! Spoken are the revision 2026-07-28, in which each request names its version, and those before it that begin with
//! `initialize`. The types of an SDK would bring an asynchronous runtime into the process that holds the policy, and
//! give results in their own spelling instead of the server's bytes; the tests hold these sessions against one.

use nix::errno::Errno;

pub mod client;
pub mod link;
pub mod server;
pub mod wire;

/// The revision without a handshake: every request says what it speaks.
pub const STATELESS: &str = "2026-07-28";

/// The revisions that begin with `initialize`, the newest first.
pub const HANDSHAKES: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// Keys of `_meta` that a stateless request has (MCP 2026-07-28, Lifecycle).
pub(crate) mod meta {
    pub(crate) const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
    pub(crate) const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
    pub(crate) const CLIENT: &str = "io.modelcontextprotocol/clientInfo";
    pub(crate) const SERVER: &str = "io.modelcontextprotocol/serverInfo";
}

/// Hands what waits to whoever takes it, without blocking; false once no more is taken.
pub(crate) fn flush(output: &mut Vec<u8>, mut take: impl FnMut(&[u8]) -> nix::Result<usize>) -> bool {
    let mut sent = 0;
    let open = loop {
        match output.get(sent..).filter(|rest| !rest.is_empty()).map(&mut take) {
            None | Some(Err(Errno::EAGAIN)) => break true,
            Some(Ok(n)) => sent += n,
            Some(Err(Errno::EINTR)) => {}
            Some(Err(_)) => break false,
        }
    };
    output.drain(..sent);
    open
}

/// Who we say we are, to both sides.
pub(crate) fn implementation() -> serde_json::Value {
    serde_json::json!({ "name": "stockade", "version": env!("CARGO_PKG_VERSION") })
}
