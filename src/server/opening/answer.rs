//! What a newcomer gets.

use crate::client::Client;
use crate::server::connection::Upgraded;
use std::sync::Arc;

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
