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
    /// This response, and then the end of the connection.
    Http(Vec<u8>),
    /// The end, without a word.
    Silence,
    /// The same, and not in order.
    Reset,
}

impl Answer {
    /// A refusal of the server's own, which is counted and reported.
    pub(super) fn refusal(refusal: &Refusal, peer: SocketAddr, desk: &Desk) -> Self {
        let reason = format!("{}, {}", refusal.status, refusal.reason);
        desk.report_refusal(peer, &reason);
        Self::Http(http::refuse(refusal, desk))
    }

    /// A refusal of the handler's.
    pub(super) fn told(response: &Response, peer: SocketAddr, desk: &Desk) -> Self {
        let reason = format!("{} of on_handshake", response.status());
        desk.report_refusal(peer, &reason);
        let server_header = &desk.shared.config.server_header;
        Self::Http(response.to_bytes(server_header, SystemTime::now()))
    }

    /// The status of the response, if there is one.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Switch(..) => Some(101),
            // "HTTP/1.1 503 ..."
            Self::Http(response) => str::from_utf8(response.get(9..12)?).ok()?.parse().ok(),
            Self::Silence | Self::Reset => None,
        }
    }
}
