//! A connection before its time as a WebSocket: the upgrade request with its answer.

mod decide;

use self::decide::{Asked, Place, ask};
use super::connection::{Connection, End, Upgraded};
use super::desk::Seated;
use super::linger;
use crate::client::Client;
use crate::handler::Wants;
use crate::protocol::handshake::{self, MAX_HEAD, Refusal, Upgrade, Verdict};
use crate::protocol::response::Fields;
use crate::tls::TlsFacts;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::SystemTime;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, timeout_at};

/// First allocation for a request; browsers send about half of it.
const FIRST_READ: usize = 1024;

/// Serves one connection from its first byte to its last.
pub(super) fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    peer: SocketAddr,
    seated: Seated,
) -> impl Future<Output = ()> {
    let due = Instant::now() + seated.desk.shared.config.open_timeout;
    serve_until(due, stream, peer, None, seated)
}

/// As [`serve`]; the upgrade request has to be there at `due`.
pub(super) fn serve_until<S: AsyncRead + AsyncWrite + Unpin>(
    due: Instant,
    stream: S,
    peer: SocketAddr,
    tls: Option<Arc<TlsFacts>>,
    seated: Seated,
) -> impl Future<Output = ()> {
    // Boxed, and made outside of the task: what the upgrade needs is not kept for the time after it.
    let opening = Box::pin(open(due, stream, peer, tls, seated));
    async move {
        let Some(mut connection) = opening.await else {
            return;
        };
        if poll_fn(|cx| connection.poll(cx)).await == End::Linger {
            let (stream, seated) = connection.leave();
            Box::pin(linger::linger(stream, seated)).await;
        }
    }
}

async fn open<S: AsyncRead + AsyncWrite + Unpin>(
    due: Instant,
    mut stream: S,
    peer: SocketAddr,
    tls: Option<Arc<TlsFacts>>,
    seated: Seated,
) -> Option<Connection<S>> {
    let (client, upgraded) = upgrade(due, &mut stream, peer, tls, &seated).await?;
    Some(Connection::new(stream, client, upgraded, seated))
}

/// Reads the request and answers it. With an upgrade: the client, and what came after the request.
async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(
    due: Instant,
    stream: &mut S,
    peer: SocketAddr,
    tls: Option<Arc<TlsFacts>>,
    seated: &Seated,
) -> Option<(Arc<Client>, Upgraded)> {
    let desk = &seated.desk;
    let shared = &desk.shared;
    let refuse =
        |refusal: &Refusal| handshake::refuse_response(refusal, &shared.policy, SystemTime::now());
    let response = match timeout_at(due, read_request(stream, seated)).await {
        Ok(Ok((mut head, Verdict::Upgrade(upgrade)))) => {
            let limit = shared.config.max_connections.unwrap_or(usize::MAX);
            if let Some(place) = Place::take(shared, limit) {
                let mut rest = head.split_off(upgrade.head_len);
                let asked = if shared.handler.wants().has(Wants::HANDSHAKE) {
                    ask(stream, peer, tls.clone(), &head, &mut rest, due, seated).await
                } else {
                    Asked::Accept(Fields::default(), None)
                };
                match asked {
                    Asked::Accept(extra, chosen) => {
                        let upgrade = Upgrade {
                            subprotocol: chosen.or(upgrade.subprotocol),
                            ..upgrade
                        };
                        let now = SystemTime::now();
                        let response =
                            handshake::accept_response(&upgrade, &shared.policy, now, &extra);
                        let client = Client::new(
                            shared.next_id.fetch_add(1, Ordering::Relaxed),
                            peer,
                            upgrade,
                            tls,
                            seated.index,
                            head.into(),
                            shared.workers[desk.index()].orders.clone(),
                        );
                        place.keep();
                        return Some((client, Upgraded { response, rest }));
                    }
                    Asked::Refuse(response) => response,
                    Asked::Gone => return None,
                }
            } else {
                refuse(&Refusal::full(limit))
            }
        }
        Ok(Ok((_, Verdict::Refuse(refusal)))) => refuse(&refusal),
        Ok(Ok((_, Verdict::Plain(plain)))) => refuse(&Refusal::plain(&plain)),
        // Gone, or we are: nobody to answer.
        Ok(Ok((_, Verdict::Incomplete)) | Err(_)) => return None,
        Err(_) => refuse(&Refusal::timeout()),
    };
    desk.counters().handshakes_refused.add(1);
    linger::answer(stream, &response, seated).await;
    None
}

/// Until the bytes received give a verdict; `Incomplete` at the end of the stream or of the server.
async fn read_request<S: AsyncRead + Unpin>(
    stream: &mut S,
    seated: &Seated,
) -> io::Result<(Vec<u8>, Verdict)> {
    let policy = &seated.desk.shared.policy;
    let mut head = Vec::with_capacity(FIRST_READ);
    loop {
        if head.len() == head.capacity() {
            head.reserve(head.len().min(MAX_HEAD));
        }
        if read_more(stream, &mut head, seated).await? == 0 {
            return Ok((head, Verdict::Incomplete));
        }
        match handshake::check(&head, policy) {
            Verdict::Incomplete => {}
            verdict => return Ok((head, verdict)),
        }
    }
}

/// Reads into the buffer's spare room; nothing at the end of the stream and when the server is to stop.
pub(super) async fn read_more<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
    seated: &Seated,
) -> io::Result<usize> {
    poll_fn(|cx| {
        seated.seat.register(cx);
        if seated.desk.is_stopping() {
            return Poll::Ready(Ok(0));
        }
        pin!(stream.read_buf(buffer)).poll(cx)
    })
    .await
}
