//! TLS in front of a connection: the handshake, what is answered to those who don't speak it, and what the rest of
//! the server gets to know of it.

mod files;
pub(super) mod identity;
pub(super) mod reading;
mod reason;
pub(super) mod scratch;
mod self_signed;
mod stream;

use self::stream::TlsStream;
use super::http;
use super::linger;
use super::opening;
use super::opening::newcomer::Newcomer;
use super::opening::read::read_more;
use super::wire::Wire;
use crate::tls::TlsFacts;
use rustls::server::UnbufferedServerConnection;
use rustls::{ProtocolVersion, ServerConfig};
use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::sync::Arc;
use std::task::Poll;

/// First allocation for a client hello; those of browsers have room in it.
const FIRST_READ: usize = 2048;
/// The fatal alert `protocol_version` in a record of TLS 1.0 (RFC 5246 section 7.2).
const PROTOCOL_VERSION: [u8; 7] = [21, 3, 1, 0, 2, 2, 70];

/// Serves one connection from its first byte to its last. The handshake and the upgrade request together have
/// `open_timeout`.
pub(super) fn serve<W: Wire>(
    newcomer: Newcomer<W>,
    config: Arc<ServerConfig>,
) -> impl Future<Output = ()> {
    // Boxed, and made outside of the task: what the handshake needs is not kept for the time after it.
    let opening = Box::pin(open(newcomer, config));
    async move {
        if let Some(newcomer) = opening.await {
            opening::serve(newcomer).await;
        }
    }
}

/// Does the handshake; `None` if it fails, and then all is done that can be done.
async fn open<W: Wire>(
    newcomer: Newcomer<W>,
    config: Arc<ServerConfig>,
) -> Option<Newcomer<Box<TlsStream<W>>>> {
    let Newcomer {
        seated,
        mut wire,
        ends,
        proxied_by,
        due,
        charge,
        head,
        ..
    } = newcomer;
    let desk = &seated.desk;
    let clock = &desk.clock;
    // What has come behind a PROXY header.
    let mut first = head;
    if first.is_empty() {
        first = Vec::with_capacity(FIRST_READ);
    }
    let begun = async {
        match first.len() {
            0 => read_more(&mut wire, &mut first, &seated).await,
            len => Ok(len),
        }
    };
    match clock.before(due, begun).await {
        Some(Ok(1..)) => {}
        // Gone without a word, as those who only look whether the port is open.
        Some(_) => {
            if seated.seat.is_reset() {
                wire.reset_on_drop();
            }
            return None;
        }
        None => {
            desk.report_tls(ends.peer, "no TLS handshake within open_timeout", false);
            return None;
        }
    }
    if first[0].is_ascii_uppercase() {
        let answer = http::write(&http::needs_tls(), desk);
        desk.count(|counters| counters.handshakes_refused.add(1));
        desk.report_tls(ends.peer, "the client speaks plain HTTP", false);
        linger::answer(&mut wire, &answer, &[], &seated).await;
        return None;
    }
    if is_too_old(&first) {
        desk.report_tls(ends.peer, "the client speaks no TLS newer than 1.1", false);
        linger::answer(&mut wire, &PROTOCOL_VERSION, &[], &seated).await;
        return None;
    }
    let mut stream = match TlsStream::new(wire, config, first, ends.peer, desk.clone()) {
        Ok(stream) => stream,
        Err(error) => {
            desk.report_tls(ends.peer, &reason::sentence(&error), false);
            return None;
        }
    };
    let mut server_name = None;
    let handshake = poll_fn(|cx| {
        seated.seat.register(cx);
        if seated.has_to_end() {
            return Poll::Ready(Err(ErrorKind::Interrupted.into()));
        }
        let polled = stream.poll_open(cx);
        // Before another client's hello on this thread.
        if let Some(name) = identity::take_server_name() {
            server_name = Some(name);
        }
        polled
    });
    match clock.before(due, handshake).await {
        Some(Ok(())) => {
            let facts = facts(stream.agreed(), server_name);
            // Boxed, since each function that it is handed to keeps room for it in the task.
            return Some(Newcomer {
                wire: Box::new(stream),
                ends,
                proxied_by,
                tls: Some(Arc::new(facts)),
                due,
                charge,
                head: Vec::new(),
                is_served: false,
                seated,
            });
        }
        Some(Err(error)) => match error.kind() {
            ErrorKind::Interrupted if seated.seat.is_reset() => stream.io().reset_on_drop(),
            ErrorKind::Interrupted => {}
            // The client gets to read the alert only if TCP ends in order.
            ErrorKind::InvalidData => {
                let due = clock.now() + desk.shared.config.close_timeout;
                linger::linger(stream.io(), &seated, due).await;
            }
            ErrorKind::UnexpectedEof => stream.report("the client left in the middle of it"),
            _ => stream.report(&format!("the connection broke: {error}")),
        },
        None => stream.report("the handshake was not done within open_timeout"),
    }
    None
}

/// Whether this begins a client hello of SSL 3, TLS 1.0 or 1.1; later ones say 1.2 here (RFC 8446 section 4.1.2).
/// rustls misses an extension of 1.2 before it looks at the version, and sends another alert.
fn is_too_old(hello: &[u8]) -> bool {
    // In a record that is long enough for its version: a hello may be cut into any.
    matches!(hello, [22, 3, _, high, low, 1, _, _, _, 3, 0..=2, ..] if (*high, *low) >= (0, 6))
}

/// What others get to know of the handshake.
fn facts(agreed: &UnbufferedServerConnection, server_name: Option<String>) -> TlsFacts {
    let suite = agreed
        .negotiated_cipher_suite()
        .and_then(|suite| suite.suite().as_str())
        .unwrap_or_default();
    let certificate = agreed.peer_certificates().and_then(<[_]>::first);
    TlsFacts {
        version: match agreed.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "TLSv1.2",
        },
        // rustls has a name of its own for those of 1.3.
        cipher: suite.replace("TLS13_", "TLS_"),
        server_name,
        alpn: agreed
            .alpn_protocol()
            .map(|name| String::from_utf8_lossy(name).into_owned()),
        peer: certificate.map(|certificate| {
            // rustls has verified it, so it is one; a name that can't be written down is none.
            let subject = files::subject(certificate).unwrap_or_default();
            (subject, certificate.to_vec())
        }),
    }
}
