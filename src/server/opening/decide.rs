//! Whether a client may come in: its place among `max_connections`, and what the handler says.

use crate::admission::{Decision, Request, Unheard};
use crate::protocol::handshake::{self, MAX_HEAD, Refusal};
use crate::protocol::response::Fields;
use crate::server::desk::Seated;
use crate::server::shared::Shared;
use crate::tls::TlsFacts;
use bytes::BufMut;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::SystemTime;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, sleep_until};

/// Bytes after the request that are read while the decision is awaited. A client that has sent so many is not read from
/// until then, and its end is not seen before.
const MAX_EARLY: usize = MAX_HEAD;

/// One of the places for clients, given back when dropped.
#[derive(Debug)]
pub(in crate::server) struct Place<'a>(&'a Shared);

impl<'a> Place<'a> {
    /// `None` if all `limit` are taken.
    pub(in crate::server) fn take(shared: &'a Shared, limit: usize) -> Option<Self> {
        let place = Self(shared);
        (shared.open.fetch_add(1, Ordering::Relaxed) < limit).then_some(place)
    }

    /// The client stays; its connection gives the place back.
    pub(in crate::server) fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What has come of asking.
#[derive(Debug)]
pub(in crate::server) enum Asked {
    /// 101 with these lines and, if one was chosen, this subprotocol.
    Accept(Fields, Option<String>),
    /// This response.
    Refuse(Vec<u8>),
    /// Nobody to answer.
    Gone,
}

/// Nobody waits for the decision after the task: it may have been aborted.
#[derive(Debug)]
struct Waiting(Arc<Request>);

impl Drop for Waiting {
    fn drop(&mut self) {
        // Decided or not, there is nobody to tell.
        drop(self.0.give_up(Unheard::Gone));
    }
}

/// Asks the handler about an upgrade request, whose `head` it is, and reads meanwhile what the client sends after it, to
/// `rest`.
pub(in crate::server) async fn ask<S: AsyncRead + Unpin>(
    stream: &mut S,
    peer: SocketAddr,
    tls: Option<Arc<TlsFacts>>,
    head: &[u8],
    rest: &mut Vec<u8>,
    deadline: Instant,
    seated: &Seated,
) -> Asked {
    let shared = &seated.desk.shared;
    let waiting = Waiting(Arc::new(Request::new(peer, tls, head.into())));
    let request = &waiting.0;
    shared.handler.on_handshake(request);
    let mut time = pin!(sleep_until(deadline));
    let decision = poll_fn(|cx| {
        seated.seat.register(cx);
        if let Poll::Ready(decision) = request.poll_decided(cx) {
            return Poll::Ready(Ok(decision));
        }
        let why_not = if is_gone(stream, rest, cx) {
            None
        } else if seated.desk.is_stopping() {
            Some((Unheard::Gone, Refusal::stopping()))
        } else if time.as_mut().poll(cx).is_ready() {
            Some((Unheard::Late, Refusal::undecided()))
        } else {
            return Poll::Pending;
        };
        Poll::Ready(match why_not {
            None => Err(None),
            Some((why, refusal)) => request.give_up(why).ok_or(Some(refusal)),
        })
    })
    .await;
    let refuse = |refusal: &Refusal| {
        let response = handshake::refuse_response(refusal, &shared.policy, SystemTime::now());
        Asked::Refuse(response)
    };
    match decision {
        Ok(Decision::Accept {
            fields,
            subprotocol,
        }) => Asked::Accept(fields, subprotocol),
        Ok(Decision::Refuse(response)) => {
            Asked::Refuse(response.to_bytes(&shared.policy, SystemTime::now()))
        }
        Ok(Decision::Fail) => refuse(&Refusal::failed()),
        Err(Some(refusal)) => refuse(&refusal),
        Err(None) => Asked::Gone,
    }
}

/// Reads what has come; whether the client has gone. One that has sent messages and then its end is answered all the
/// same.
fn is_gone<S: AsyncRead + Unpin>(stream: &mut S, rest: &mut Vec<u8>, cx: &mut Context<'_>) -> bool {
    while rest.len() < MAX_EARLY {
        let room = MAX_EARLY - rest.len();
        match pin!(stream.read_buf(&mut (&mut *rest).limit(room))).poll(cx) {
            Poll::Pending => break,
            Poll::Ready(Ok(0)) => return rest.is_empty(),
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(_)) => return true,
        }
    }
    false
}
