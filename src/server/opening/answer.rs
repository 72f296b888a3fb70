//! What a newcomer gets.

use crate::client::Client;
use crate::protocol::http::{Refusal, Response};
use crate::server::connection::Upgraded;
use crate::server::desk::Desk;
use crate::server::http;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

/// What a newcomer gets.
#[derive(Debug)]
pub(super) enum Answer {
    /// 101, and then this client is served.
    Switch(Arc<Client>, Upgraded),
    /// This response, of that status, and then the end of the connection.
    Http(u16, Vec<u8>),
    /// The end, without a word.
    Silence,
    /// The same, and not in order.
    Reset,
}

impl Answer {
    /// A response of the server's own.
    pub(super) fn http(refusal: &Refusal, desk: &Desk) -> Self {
        Self::Http(refusal.status.as_u16(), http::write(refusal, desk))
    }

    /// The same, counted and reported as a refusal.
    pub(super) fn refusal(refusal: &Refusal, peer: SocketAddr, desk: &Desk) -> Self {
        let reason = format!("{}, {}", refusal.status, refusal.reason);
        desk.report_refusal(peer, &reason);
        Self::http(refusal, desk)
    }

    /// A refusal of the handler's.
    pub(super) fn told(response: &Response, peer: SocketAddr, desk: &Desk) -> Self {
        let reason = format!("{} of on_handshake", response.status());
        desk.report_refusal(peer, &reason);
        let server_header = &desk.shared.config.server_header;
        let written = response.to_bytes(server_header, SystemTime::now());
        Self::Http(response.status(), written)
    }

    /// The status of the response, if there is one.
    pub(super) const fn status(&self) -> Option<u16> {
        match self {
            Self::Switch(..) => Some(101),
            Self::Http(status, _) => Some(*status),
            Self::Silence | Self::Reset => None,
        }
    }
}
