//! Who has connected.

use crate::client::Ends;
use crate::endpoint::Peer;
use crate::protocol::account::Account;
use crate::server::desk::Seated;
use crate::tls::TlsFacts;
use std::sync::Arc;
use tokio::time::Instant;

/// Somebody who is to send a request, and has sent nothing of it.
#[derive(Debug)]
pub(in crate::server) struct Newcomer<W> {
    pub(in crate::server) wire: W,
    pub(in crate::server) ends: Ends,
    /// Who has connected for it, if it is not itself.
    pub(in crate::server) proxied_by: Option<Box<Peer>>,
    /// What its TLS handshake agreed on; `None` without TLS.
    pub(in crate::server) tls: Option<Arc<TlsFacts>>,
    /// When the request has to be there, and the decision about it.
    pub(in crate::server) due: Instant,
    /// For its request, and what it sends before that is decided about.
    pub(in crate::server) charge: Account,
    /// What has come of its request.
    pub(in crate::server) head: Vec<u8>,
    /// It has got a report before, and may send nothing more.
    pub(in crate::server) is_served: bool,
    pub(in crate::server) seated: Seated,
}

impl<W> Newcomer<W> {
    /// Without TLS, from now on.
    pub(in crate::server) fn new(wire: W, ends: Ends, seated: Seated) -> Self {
        let desk = &seated.desk;
        Self {
            wire,
            ends,
            proxied_by: None,
            tls: None,
            due: desk.clock.now() + desk.shared.config.open_timeout,
            charge: Account::new(desk.shared.memory.clone()),
            head: Vec::new(),
            is_served: false,
            seated,
        }
    }
}
