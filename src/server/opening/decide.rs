//! What becomes of a request: whether it is one for a WebSocket, whether there is room, and what the handler says.

use super::newcomer::Newcomer;
use super::read::Read;
use crate::admission::{Decision, Request, Unheard};
use crate::client::Client;
use crate::handler::Wants;
use crate::protocol::account::Account;
use crate::protocol::handshake::{MAX_HEAD, Upgrade, Verdict};
use crate::protocol::http::{Fields, Refusal, accept_response};
use crate::server::connection::Upgraded;
use crate::server::http;
use crate::server::shared::Shared;
use bytes::BufMut;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::SystemTime;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes after the request that are read while the decision is awaited. A client that has sent so many is not read from
/// until then, and its end is not seen before.
const MAX_EARLY: usize = MAX_HEAD;
/// First allocation for them.
const FIRST_EARLY: usize = 256;

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

/// One of the places for clients, given back when dropped.
#[derive(Debug)]
struct Place<'a>(&'a Shared);

impl<'a> Place<'a> {
    /// `None` if all `limit` are taken.
    fn take(shared: &'a Shared, limit: usize) -> Option<Self> {
        let place = Self(shared);
        (shared.open.fetch_add(1, Ordering::Relaxed) < limit).then_some(place)
    }

    /// The client stays; its connection gives the place back.
    fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The answer to what was read. Asks the handler, if that wants to be asked, and waits for what it says.
pub(super) async fn decide<W: AsyncRead + Unpin>(newcomer: &mut Newcomer<W>, read: Read) -> Answer {
    let desk = newcomer.seated.desk.clone();
    let shared = &desk.shared;
    let refuse = |refusal: &Refusal| Answer::Http(http::refuse(refusal, &desk));
    let answer = match read {
        Read::Judged(head, Verdict::Upgrade(upgrade)) => {
            let limit = shared.config.max_connections.unwrap_or(usize::MAX);
            match Place::take(shared, limit) {
                None => refuse(&http::full(limit)),
                Some(place) => match admit(newcomer, head, upgrade).await {
                    Ok((client, upgraded)) => {
                        place.keep();
                        return Answer::Switch(client, upgraded);
                    }
                    Err(answer) => answer,
                },
            }
        }
        Read::Judged(_, Verdict::Plain(plain)) => {
            return Answer::Http(http::respond(&plain, &desk));
        }
        Read::Judged(_, Verdict::Refuse(refusal)) => refuse(&refusal),
        Read::Late => refuse(&http::late()),
        Read::TooMuch => refuse(&http::exhausted(shared.config.memory_limit)),
        Read::Judged(_, Verdict::Incomplete) | Read::Gone => Answer::Silence,
    };
    if matches!(answer, Answer::Http(_)) {
        desk.counters().handshakes_refused.add(1);
    }
    answer
}

/// Makes a client of somebody whose request is good, unless the handler does not want it.
async fn admit<W: AsyncRead + Unpin>(
    newcomer: &mut Newcomer<W>,
    mut head: Vec<u8>,
    upgrade: Upgrade,
) -> Result<(Arc<Client>, Upgraded), Answer> {
    let desk = newcomer.seated.desk.clone();
    let shared = &desk.shared;
    let mut rest = head.split_off(upgrade.head_len);
    let (fields, chosen) = if shared.handler.wants().has(Wants::HANDSHAKE) {
        ask(newcomer, &head, &mut rest).await?
    } else {
        (Fields::default(), None)
    };
    let upgrade = Upgrade {
        subprotocol: chosen.or(upgrade.subprotocol),
        ..upgrade
    };
    let now = SystemTime::now();
    let response = accept_response(
        &upgrade.agreement(),
        &shared.config.server_header,
        now,
        &fields,
    );
    // From now on it counts for itself.
    newcomer.charge = Account::new(shared.memory.clone());
    let mut charge = Account::new(shared.memory.clone());
    if charge.charge(Client::cost(head.len())).is_err() {
        let refusal = http::exhausted(shared.config.memory_limit);
        return Err(Answer::Http(http::refuse(&refusal, &desk)));
    }
    let charge = Arc::new(charge);
    let client = Client::new(
        shared.next_id.fetch_add(1, Ordering::Relaxed),
        newcomer.ends,
        upgrade,
        newcomer.tls.take(),
        head.into(),
        (newcomer.seated.index, desk.face().orders.clone()),
        &charge,
    );
    let upgraded = Upgraded {
        response,
        rest,
        charge,
    };
    Ok((client, upgraded))
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
/// `rest`. Lines for the 101 and a subprotocol if it may come in.
async fn ask<W: AsyncRead + Unpin>(
    newcomer: &mut Newcomer<W>,
    head: &[u8],
    rest: &mut Vec<u8>,
) -> Result<(Fields, Option<String>), Answer> {
    let Newcomer {
        wire,
        ends,
        tls,
        due,
        charge,
        seated,
    } = newcomer;
    let shared = &seated.desk.shared;
    let too_much = || http::exhausted(shared.config.memory_limit);
    if charge.charge(size_of::<Request>() + head.len()).is_err() {
        return Err(Answer::Http(http::refuse(&too_much(), &seated.desk)));
    }
    let waiting = Waiting(Arc::new(Request::new(ends.peer, tls.clone(), head.into())));
    let request = &waiting.0;
    shared.handler.on_handshake(request);
    let mut time = pin!(shared.clock.sleep_until(*due));
    let decision = poll_fn(|cx| {
        seated.seat.register(cx);
        if let Poll::Ready(decision) = request.poll_decided(cx) {
            return Poll::Ready(Ok(decision));
        }
        let news = listen(wire, rest, charge, cx);
        let why_not = if news == Heard::End {
            None
        } else if news == Heard::TooMuch {
            Some((Unheard::Gone, too_much()))
        } else if seated.desk.is_stopping() {
            Some((Unheard::Gone, http::stopping()))
        } else if time.as_mut().poll(cx).is_ready() {
            Some((Unheard::Late, http::undecided()))
        } else {
            return Poll::Pending;
        };
        Poll::Ready(match why_not {
            None => Err(None),
            Some((why, refusal)) => request.give_up(why).ok_or(Some(refusal)),
        })
    })
    .await;
    let refuse = |refusal: &Refusal| Answer::Http(http::refuse(refusal, &seated.desk));
    Err(match decision {
        Ok(Decision::Accept {
            fields,
            subprotocol,
        }) => return Ok((fields, subprotocol)),
        Ok(Decision::Refuse(response)) => {
            let server_header = &shared.config.server_header;
            Answer::Http(response.to_bytes(server_header, SystemTime::now()))
        }
        Ok(Decision::Fail) => refuse(&http::failed()),
        Ok(Decision::Silence) | Err(None) => Answer::Silence,
        Ok(Decision::Reset) => Answer::Reset,
        Err(Some(refusal)) => refuse(&refusal),
    })
}

/// What came of a client that waits for the decision.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    /// Nothing, or what is kept for later.
    Nothing,
    /// Its end. One that has sent messages and then its end is answered all the same.
    End,
    /// More than there is memory for.
    TooMuch,
}

/// Reads what has come.
fn listen<W: AsyncRead + Unpin>(
    wire: &mut W,
    rest: &mut Vec<u8>,
    charge: &mut Account,
    cx: &mut Context<'_>,
) -> Heard {
    while rest.len() < MAX_EARLY {
        if rest.len() == rest.capacity() {
            let more = rest.len().max(FIRST_EARLY).min(MAX_EARLY - rest.len());
            if charge.charge(more).is_err() {
                return Heard::TooMuch;
            }
            rest.reserve_exact(more);
        }
        let room = rest.capacity() - rest.len();
        match pin!(wire.read_buf(&mut (&mut *rest).limit(room))).poll(cx) {
            Poll::Ready(Ok(0)) if rest.is_empty() => return Heard::End,
            Poll::Ready(Err(_)) => return Heard::End,
            Poll::Pending | Poll::Ready(Ok(0)) => break,
            Poll::Ready(Ok(_)) => {}
        }
    }
    Heard::Nothing
}
