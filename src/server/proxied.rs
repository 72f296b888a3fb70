//! The PROXY protocol in front of a connection, and of its TLS: a balancer that may do so says for whom it has connected.

mod header;

use self::header::{Header, Reason};
use super::opening;
use super::opening::newcomer::Newcomer;
use super::opening::read::read_more;
use super::wire::Wire;
use super::{linger, tls};
use crate::endpoint::Peer;
use rustls::ServerConfig;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

/// First allocation for a header: those of version 1 fit, and those of version 2 with little beside the addresses.
const FIRST_READ: usize = 256;

/// What has become of a header.
enum Read {
    /// It was whole, and has named this client, if any.
    Whole(Option<SocketAddr>),
    Refused(Reason),
    /// Nobody is there, or the server is to stop.
    Gone,
}

/// Serves one connection from its first byte to its last. The header, the TLS handshake and the upgrade request together
/// have `open_timeout`.
pub(super) fn serve<W: Wire>(
    newcomer: Newcomer<W>,
    tls: Option<Arc<ServerConfig>>,
) -> impl Future<Output = ()> {
    // Boxed, and made outside of the task: what the header needs is not kept for the time after it.
    let opening = Box::pin(open(newcomer));
    async move {
        let Some(newcomer) = opening.await else {
            return;
        };
        match tls {
            None => Box::pin(opening::serve(newcomer)).await,
            Some(config) => Box::pin(tls::serve(newcomer, config)).await,
        }
    }
}

/// Reads the header; `None` if there is no good one, and then all is done that can be done.
async fn open<W: Wire>(mut newcomer: Newcomer<W>) -> Option<Newcomer<W>> {
    let desk = newcomer.seated.desk.clone();
    let reason = match desk.clock.before(newcomer.due, read(&mut newcomer)).await {
        Some(Read::Whole(client)) => {
            if let Some(client) = client {
                newcomer.proxied_by = Some(Box::new(newcomer.ends.peer));
                newcomer.ends.peer = Peer::Ip(super::listener::plain(client));
            }
            return Some(newcomer);
        }
        Some(Read::Gone) => {
            if newcomer.seated.seat.is_reset() {
                newcomer.wire.reset_on_drop();
            }
            return None;
        }
        Some(Read::Refused(reason)) => reason,
        None => "it was not there in time (open_timeout)".into(),
    };
    desk.report_proxy(newcomer.ends.peer, &reason);
    let Newcomer {
        mut wire,
        seated,
        charge,
        head,
        ..
    } = newcomer;
    // Nothing of its header is kept any more.
    drop((charge, head));
    linger::answer(&mut wire, &[], &[], &seated).await;
    None
}

/// What comes behind the header stays in `newcomer.head`.
async fn read<W: Wire>(newcomer: &mut Newcomer<W>) -> Read {
    let Newcomer {
        wire,
        seated,
        charge,
        head,
        ..
    } = newcomer;
    loop {
        match header::parse(head) {
            Ok(Header::Part) => {}
            Ok(Header::Whole(len, client)) => {
                head.drain(..len);
                return Read::Whole(client);
            }
            Err(reason) => return Read::Refused(reason),
        }
        if head.len() == head.capacity() && charge.grow(head, FIRST_READ.max(head.len())).is_err() {
            return Read::Refused("there is no room for it (memory_limit)".into());
        }
        match read_more(wire, head, seated).await {
            Ok(1..) => {}
            Ok(0) if !head.is_empty() && !seated.has_to_end() => {
                return Read::Refused("the connection has ended in the middle of it".into());
            }
            // As those who only look whether the port is open.
            Ok(0) | Err(_) => return Read::Gone,
        }
    }
}
