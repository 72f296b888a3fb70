//! Whether a client may come in, as the handler says; until that has said so, only the client's end is looked for.

use super::answer::Answer;
use super::newcomer::Newcomer;
use crate::admission::{Decision, Request, Trick, Unheard};
use crate::protocol::handshake::{MAX_HEAD, Upgrade};
use crate::protocol::http::{Fields, Refusal};
use crate::server::desk::Desk;
use crate::server::http;
use bytes::BufMut;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::Instant;

/// Bytes after the request that are read while the decision is awaited. A client that has sent so many is not read from
/// until then, and its end is not seen before.
const MAX_EARLY: usize = MAX_HEAD;

/// Nobody waits for the decision after the task: it may have been aborted.
#[derive(Debug)]
struct Waiting<'a>(&'a Request);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // Decided or not, there is nobody to tell.
        drop(self.0.give_up(Unheard::Gone));
    }
}

/// Asks the handler about an upgrade request, and reads meanwhile what the client sends after it, to `rest`. Lines for
/// the 101, and what else it says, if the client may come in.
pub(super) async fn ask<W: AsyncRead + Unpin>(
    newcomer: &mut Newcomer<W>,
    request: &Arc<Request>,
    upgrade: Upgrade,
    rest: &mut Vec<u8>,
) -> Result<(Fields, Upgrade), Answer> {
    let desk = newcomer.seated.desk.clone();
    let (clock, config) = (desk.shared.clock, &desk.shared.config);
    let _waiting = Waiting(request);
    let mut known = None;
    loop {
        let decision = match known.take() {
            Some(decision) => decision,
            None => decided(newcomer, request, rest).await?,
        };
        return Err(match decision {
            Decision::Accept {
                fields,
                subprotocol,
            } => {
                let subprotocol = subprotocol.or(upgrade.subprotocol);
                let upgrade = Upgrade {
                    subprotocol,
                    ..upgrade
                };
                return Ok((fields, upgrade));
            }
            Decision::Trick(trick) => return Ok((Fields::default(), tricked(upgrade, trick))),
            Decision::Refuse(response) => {
                Answer::Http(response.to_bytes(&config.server_header, SystemTime::now()))
            }
            Decision::Fail => refuse(&http::failed(), &desk),
            Decision::Silence => Answer::Silence,
            Decision::Reset => Answer::Reset,
            Decision::Hang => wait(newcomer, None, rest).await.unwrap_or(Answer::Silence),
            Decision::Delay(time, then) => {
                let due = clock.now() + time;
                if let Some(answer) = wait(newcomer, Some(due), rest).await {
                    return Err(answer);
                }
                newcomer.due = clock.now() + config.open_timeout;
                known = then.map(|then| *then);
                if known.is_none() {
                    request.ask_again();
                }
                continue;
            }
        });
    }
}

/// What the handler says, unless that takes too long.
async fn decided<W: AsyncRead + Unpin>(
    newcomer: &mut Newcomer<W>,
    request: &Arc<Request>,
    rest: &mut Vec<u8>,
) -> Result<Decision, Answer> {
    let Newcomer {
        wire, due, seated, ..
    } = newcomer;
    let desk = &seated.desk;
    desk.shared.handler.on_handshake(request);
    let mut time = pin!(desk.shared.clock.sleep_until(*due));
    let decided = poll_fn(|cx| {
        seated.seat.register(cx);
        if let Poll::Ready(decision) = request.poll_decided(cx) {
            return Poll::Ready(Ok(decision));
        }
        let why_not = if is_gone(wire, rest, cx) {
            None
        } else if desk.is_stopping() {
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
    decided.map_err(|why| why.map_or(Answer::Silence, |refusal| refuse(&refusal, desk)))
}

/// Waits until `due`, or without it for ever: an answer if the client goes before, or the server.
async fn wait<W: AsyncRead + Unpin>(
    newcomer: &mut Newcomer<W>,
    due: Option<Instant>,
    rest: &mut Vec<u8>,
) -> Option<Answer> {
    let Newcomer { wire, seated, .. } = newcomer;
    let clock = seated.desk.shared.clock;
    let mut time = pin!(async {
        match due {
            Some(due) => clock.sleep_until(due).await,
            None => pending().await,
        }
    });
    poll_fn(|cx| {
        seated.seat.register(cx);
        if is_gone(wire, rest, cx) || seated.desk.is_stopping() {
            return Poll::Ready(Some(Answer::Silence));
        }
        time.as_mut().poll(cx).map(|()| None)
    })
    .await
}

/// An upgrade that is answered as it must not be.
fn tricked(upgrade: Upgrade, trick: Trick) -> Upgrade {
    match trick {
        Trick::Accept => {
            let first = if upgrade.accept.starts_with('A') {
                "B"
            } else {
                "A"
            };
            let mut accept = upgrade.accept;
            accept.replace_range(..1, first);
            Upgrade { accept, ..upgrade }
        }
        Trick::Subprotocol(name) => Upgrade {
            subprotocol: Some(name),
            ..upgrade
        },
    }
}

fn refuse(refusal: &Refusal, desk: &Desk) -> Answer {
    Answer::Http(http::refuse(refusal, desk))
}

/// Reads what has come; whether the client has gone. One that has sent messages and then its end is answered all the
/// same.
fn is_gone<W: AsyncRead + Unpin>(wire: &mut W, rest: &mut Vec<u8>, cx: &mut Context<'_>) -> bool {
    while rest.len() < MAX_EARLY {
        let room = MAX_EARLY - rest.len();
        match pin!(wire.read_buf(&mut (&mut *rest).limit(room))).poll(cx) {
            Poll::Pending => break,
            Poll::Ready(Ok(0)) => return rest.is_empty(),
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(_)) => return true,
        }
    }
    false
}
