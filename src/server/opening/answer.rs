//! What a newcomer gets.

use crate::client::Client;
use crate::protocol::http::{Refusal, Response};
use crate::server::connection::Upgraded;
use crate::server::desk::Desk;
use crate::server::http;
use crate::tungstenite::http::StatusCode;
use std::sync::Arc;
use std::time::SystemTime;

/// What a newcomer gets.
#[derive(Debug)]
pub(super) enum Answer {
    /// 101, and then this client is served.
    Switch(Arc<Client>, Upgraded),
    /// This response, and then the end of the connection.
    Http {
        status: u16,
        response: Vec<u8>,
        /// What is sent after that, and is nobody's memory.
        body: &'static [u8],
        /// Why, if it refuses what was asked for.
        refusal: Option<String>,
    },
    /// The end, without a word.
    Silence,
    /// The same, and not in order.
    Reset,
}

impl Answer {
    /// What plain HTTP gets.
    pub(super) fn plain(response: &Refusal, desk: &Desk) -> Self {
        Self::Http {
            status: response.status.as_u16(),
            response: http::write(response, desk),
            body: &[],
            refusal: None,
        }
    }

    /// The page.
    pub(super) fn page((response, body): (Vec<u8>, &'static [u8])) -> Self {
        Self::Http {
            status: StatusCode::OK.as_u16(),
            response,
            body,
            refusal: None,
        }
    }

    /// A refusal of the server's own.
    pub(super) fn refusal(refusal: &Refusal, desk: &Desk) -> Self {
        Self::Http {
            status: refusal.status.as_u16(),
            response: http::write(refusal, desk),
            body: &[],
            refusal: Some(format!("{}, {}", refusal.status, refusal.reason)),
        }
    }

    /// A refusal of the handler's.
    pub(super) fn told(response: &Response, desk: &Desk) -> Self {
        let server_header = &desk.shared.config.server_header;
        Self::Http {
            status: response.status(),
            response: response.to_bytes(server_header, SystemTime::now()),
            body: &[],
            refusal: Some(format!("{} of on_handshake", response.status())),
        }
    }
}
