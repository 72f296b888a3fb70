//! Whether a client may come in, as the handler says; until that has said so, only the client's end is looked for.

use super::answer::Answer;
use super::newcomer::Newcomer;
use crate::admission::{Decision, Request, Trick, Unheard};
use crate::handler::Wants;
use crate::protocol::account::Account;
use crate::protocol::handshake::{MAX_HEAD, Upgrade};
use crate::protocol::http::Fields;
use crate::server::http;
use crate::server::label::Refused;
use bytes::BufMut;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::Instant;

/// Bytes after the request that are read while the decision is awaited. A client that has sent so many is not read from
/// until then, and its end is not seen before.
const MAX_EARLY: usize = MAX_HEAD;
/// First allocation for them.
const FIRST_EARLY: usize = 256;

/// Nobody waits for the decision after the task: it may have been aborted.
#[derive(Debug)]
struct Waiting<'a>(&'a Request);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // Decided or not, there is nobody to tell.
        drop(self.0.give_up(Unheard::Gone));
    }
}

/// Asks the handler about an upgrade request, unless it is `known` what becomes of it, and reads meanwhile what the client
/// sends after it, to `rest`. Lines for the 101, and what else it says, if the client may come in.
pub(super) async fn ask<W: AsyncRead + Unpin>(
    newcomer: &mut Newcomer<W>,
    request: &Arc<Request>,
    upgrade: Upgrade,
    rest: &mut Vec<u8>,
    mut known: Option<Decision>,
) -> Result<(Fields, Upgrade), Answer> {
    let desk = newcomer.seated.desk.clone();
    let (clock, config) = (&desk.clock, &desk.shared.config);
    let _waiting = Waiting(request);
    let mut was_asked = false;
    // What the 101 gets that the handler does not know of.
    let mut own = None;
    loop {
        // However long it takes the handler to say that the client has to wait.
        let asked = clock.now();
        let decision = match known.take() {
            // As one of the handler's.
            Some(decision) if !request.has_offered(&decision) => Decision::Fail,
            Some(decision) => decision,
            None if !desk.shared.handler.wants().has(Wants::HANDSHAKE) => Decision::accept(),
            None => {
                was_asked = true;
                decided(newcomer, request, rest).await?
            }
        };
        return Err(match decision {
            Decision::Accept {
                fields,
                subprotocol,
            } => {
                return Ok(accepted(upgrade, fields, subprotocol, own));
            }
            Decision::Trick(trick) => return Ok(tricked(upgrade, Fields::default(), trick)),
            Decision::Asked(then) => {
                own = Some(*then);
                continue;
            }
            Decision::Refuse(response) => Answer::told(&response, &desk),
            Decision::Fail => Answer::refusal(Refused::Undecided, &http::failed(), &desk),
            Decision::Silence => Answer::Silence,
            Decision::Reset => Answer::Reset,
            Decision::Hang => wait(newcomer, None, false, rest)
                .await
                .unwrap_or(Answer::Silence),
            Decision::Delay(time, then) => {
                let due = asked + time;
                let is_answered = !matches!(then.as_deref(), Some(Decision::Silence));
                if let Some(answer) = wait(newcomer, Some(due), is_answered, rest).await {
                    return Err(answer);
                }
                newcomer.due = clock.now() + config.open_timeout;
                known = then.map(|then| *then);
                if known.is_none() && was_asked {
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
        wire,
        due,
        charge,
        seated,
        ..
    } = newcomer;
    let desk = &seated.desk;
    desk.shared.handler.on_handshake(request);
    let mut time = pin!(desk.clock.sleep_until(*due));
    let decided = poll_fn(|cx| {
        seated.seat.register(cx);
        if let Poll::Ready(decision) = request.poll_decided(cx) {
            return Poll::Ready(Ok(decision));
        }
        let news = listen(wire, rest, charge, cx);
        let why_not = if news == Heard::End || seated.seat.is_reset() {
            None
        } else if news == Heard::TooMuch {
            Some((Unheard::Gone, Refused::Memory, http::exhausted(desk)))
        } else if desk.is_stopping() {
            Some((Unheard::Gone, Refused::Stopping, http::stopping()))
        } else if time.as_mut().poll(cx).is_ready() {
            Some((Unheard::Late, Refused::Undecided, http::undecided()))
        } else {
            return Poll::Pending;
        };
        Poll::Ready(match why_not {
            None => Err(None),
            Some((unheard, why, refusal)) => request.give_up(unheard).ok_or(Some((why, refusal))),
        })
    })
    .await;
    let answer = |(why, refusal)| Answer::refusal(why, &refusal, desk);
    decided.map_err(|refused| refused.map_or(Answer::Silence, answer))
}

/// Waits until `due`, or without it for ever: an answer if the client goes before, or the server. What it sends is kept if
/// it `is_answered` then.
async fn wait<W: AsyncRead + Unpin>(
    newcomer: &mut Newcomer<W>,
    due: Option<Instant>,
    is_answered: bool,
    rest: &mut Vec<u8>,
) -> Option<Answer> {
    let Newcomer {
        wire,
        charge,
        seated,
        ..
    } = newcomer;
    let clock = &seated.desk.clock;
    let mut time = pin!(async {
        match due {
            Some(due) => clock.sleep_until(due).await,
            None => pending().await,
        }
    });
    poll_fn(|cx| {
        seated.seat.register(cx);
        let desk = &seated.desk;
        let heard = loop {
            let heard = listen(wire, rest, charge, cx);
            if is_answered || rest.is_empty() || heard != Heard::Nothing {
                break heard;
            }
            // Nobody would get it, and its end may be behind it.
            rest.clear();
        };
        match heard {
            Heard::TooMuch => {
                return Poll::Ready(Some(Answer::exhausted(desk)));
            }
            Heard::End => return Poll::Ready(Some(Answer::Silence)),
            Heard::Nothing if seated.has_to_end() => {
                return Poll::Ready(Some(Answer::Silence));
            }
            Heard::Nothing => {}
        }
        time.as_mut().poll(cx).map(|()| None)
    })
    .await
}

/// An upgrade that the handler accepts with these lines and this subprotocol, and as `own` says.
fn accepted(
    upgrade: Upgrade,
    mut fields: Fields,
    subprotocol: Option<String>,
    own: Option<Decision>,
) -> (Fields, Upgrade) {
    let mut upgrade = Upgrade {
        subprotocol: subprotocol.or(upgrade.subprotocol),
        ..upgrade
    };
    match own {
        Some(Decision::Trick(trick)) => return tricked(upgrade, fields, trick),
        Some(Decision::Accept {
            fields: more,
            subprotocol,
        }) => {
            fields.0.extend(more.0);
            upgrade.subprotocol = subprotocol.or(upgrade.subprotocol);
        }
        _ => {}
    }
    (fields, upgrade)
}

/// An upgrade that is answered with these lines, and as it must not be.
fn tricked(upgrade: Upgrade, mut fields: Fields, trick: Trick) -> (Fields, Upgrade) {
    let upgrade = match trick {
        Trick::Accept => {
            let first = if upgrade.accept.starts_with(['A', 'a']) {
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
        Trick::Extension(line) => {
            fields.0.extend(line.0);
            let deflate = None;
            Upgrade { deflate, ..upgrade }
        }
    };
    (fields, upgrade)
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
            if charge.grow(rest, more).is_err() {
                return Heard::TooMuch;
            }
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
