//! What becomes of a request: whether it is one for a WebSocket, whether there is room, and what the handler says.

use super::answer::Answer;
use super::ask::ask;
use super::newcomer::Newcomer;
use super::read::Read;
use crate::admission::{Decision, Request};
use crate::client::{Addresses, Client};
use crate::faults::plan::Plan;
use crate::faults::url;
use crate::handler::Wants;
use crate::protocol::account::{Account, Exhausted};
use crate::protocol::handshake::{Upgrade, Verdict};
use crate::protocol::head::Head;
use crate::protocol::http::{Fields, Refusal, accept_response};
use crate::server::connection::Upgraded;
use crate::server::desk::Desk;
use crate::server::http;
use crate::server::label::Refused;
use crate::server::page;
use crate::server::shared::Shared;
use crate::tungstenite::http::StatusCode;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;
use tokio::io::AsyncRead;

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
#[expect(
    clippy::manual_async_fn,
    reason = "that would keep what was read twice"
)]
pub(super) fn decide<W: AsyncRead + Unpin>(
    newcomer: &mut Newcomer<W>,
    read: Read,
) -> impl Future<Output = Answer> {
    async move {
        let desk = newcomer.seated.desk.clone();
        let (request, answer) = if let Ok(request) = request(newcomer, &read) {
            let answer = judge(newcomer, read, request.as_ref()).await;
            (request, answer)
        } else {
            (None, Answer::exhausted(&desk))
        };
        if let Answer::Http {
            status, refusal, ..
        } = &answer
        {
            desk.count(|counters| {
                if let Some(request) = request {
                    request.set_status(*status);
                }
                match refusal {
                    Some(refused) => {
                        counters.handshakes_refused.add(1);
                        counters.refused[refused.0 as usize].add(1);
                    }
                    None => counters.http_requests.add(1),
                }
            });
            if let Some(refused) = refusal {
                desk.report_refusal(newcomer.ends.peer, &refused.1);
            }
        }
        answer
    }
}

/// What was read as a request, if somebody wants to see it.
///
/// # Errors
/// There is no memory for it.
fn request<W>(newcomer: &mut Newcomer<W>, read: &Read) -> Result<Option<Arc<Request>>, Exhausted> {
    let shared = &newcomer.seated.desk.shared;
    let Read::Judged(head, verdict) = read else {
        return Ok(None);
    };
    let head = match verdict {
        Verdict::Upgrade(upgrade) => {
            let is_seen = shared.record.is_some() || shared.handler.wants().has(Wants::HANDSHAKE);
            is_seen.then(|| &head[..upgrade.head_len])
        }
        // Only what can be read as one.
        Verdict::Plain(_) | Verdict::Refuse(_) | Verdict::Incomplete => {
            (shared.record.is_some() && Head::parse(head).is_some()).then_some(&head[..])
        }
    };
    let Some(head) = head else {
        return Ok(None);
    };
    let request = seen(newcomer, head)?;
    if let Some(mut moment) = newcomer.seated.desk.shared.moment() {
        moment.requested(&request);
    }
    Ok(Some(request))
}

fn seen<W>(newcomer: &mut Newcomer<W>, head: &[u8]) -> Result<Arc<Request>, Exhausted> {
    newcomer.charge.charge(size_of::<Request>() + head.len())?;
    let proxied_by = newcomer.proxied_by.as_deref().copied();
    Ok(Arc::new(Request::new(
        newcomer.ends.peer,
        proxied_by,
        newcomer.tls.clone(),
        head.into(),
    )))
}

async fn judge<W: AsyncRead + Unpin>(
    newcomer: &mut Newcomer<W>,
    read: Read,
    request: Option<&Arc<Request>>,
) -> Answer {
    let desk = newcomer.seated.desk.clone();
    let shared = &desk.shared;
    match read {
        Read::Judged(head, Verdict::Upgrade(upgrade)) => {
            let limit = shared.config.max_connections.unwrap_or(usize::MAX);
            match Place::take(shared, limit) {
                None => Answer::refusal(Refused::Connections, &http::full(limit), &desk),
                Some(place) => match admit(newcomer, head, upgrade, request).await {
                    Ok((client, upgraded)) => {
                        place.keep();
                        Answer::Switch(client, upgraded)
                    }
                    Err(answer) => answer,
                },
            }
        }
        Read::Judged(mut head, Verdict::Plain(plain)) => {
            let rest = head.split_off(plain.head_len);
            if let Some(report) = http::report(&head, &plain, &desk) {
                Answer::report(&report, rest, &desk)
            } else if let Some(page) = page::answer(&head, &plain, &desk) {
                Answer::page(page)
            } else {
                let answer = http::plain(&head, &plain, &desk);
                desk.report_plain(newcomer.ends.peer, &answer);
                Answer::plain(&answer, &desk)
            }
        }
        Read::Judged(_, Verdict::Refuse(refusal)) => {
            let why = if refusal.status == StatusCode::FORBIDDEN {
                Refused::Origin
            } else {
                Refused::Request
            };
            Answer::refusal(why, &refusal, &desk)
        }
        Read::Late => Answer::refusal(Refused::Late, &http::late(), &desk),
        Read::TooMuch => Answer::exhausted(&desk),
        Read::Judged(_, Verdict::Incomplete) | Read::Gone => Answer::Silence,
    }
}

/// The faults that a request asks for itself; `None` if it has another path, or that is not allowed.
///
/// # Errors
/// 400: it can't have these.
fn planned(head: &[u8], desk: &Desk) -> Result<Option<Plan>, Refusal> {
    let is_allowed = desk.shared.config.fault_urls;
    let head = is_allowed.then(|| Head::parse(head)).flatten();
    let plan = head.and_then(|head| url::plan(head.path(), head.query()));
    plan.transpose().map_err(Refusal::bad_request)
}

/// What a request gets by a fault: by one that it asks for itself, or that is set.
fn answer(head: &[u8], plan: Option<&Plan>, shared: &Shared) -> Option<Decision> {
    let own = plan.and_then(|plan| url::answer(plan, shared.faults.hits()));
    if own.as_ref().is_some_and(Decision::is_whole) || !shared.faults.is_any() {
        return own;
    }
    let set = Head::parse(head).and_then(|head| shared.faults.answer(head.path()));
    match own {
        Some(own) => Some(own.and_then(set)),
        None => set,
    }
}

/// Makes a client of somebody whose request is good, unless the handler does not want it.
async fn admit<W: AsyncRead + Unpin>(
    newcomer: &mut Newcomer<W>,
    mut head: Vec<u8>,
    upgrade: Upgrade,
    request: Option<&Arc<Request>>,
) -> Result<(Arc<Client>, Upgraded), Answer> {
    let desk = newcomer.seated.desk.clone();
    let shared = &desk.shared;
    let mut rest = head.split_off(upgrade.head_len);
    let plan = planned(&head, &desk)
        .map_err(|refusal| Answer::refusal(Refused::Request, &refusal, &desk))?;
    let known = answer(&head, plan.as_ref(), shared);
    let made = match request {
        None if known.is_some() => {
            let made = seen(newcomer, &head);
            Some(made.map_err(|_full| Answer::exhausted(&desk))?)
        }
        _ => None,
    };
    let (fields, upgrade) = if (known.is_some() || shared.handler.wants().has(Wants::HANDSHAKE))
        && let Some(request) = request.or(made.as_ref())
    {
        // Boxed: it is large, and most are not asked about.
        Box::pin(ask(newcomer, request, upgrade, &mut rest, known)).await?
    } else {
        (Fields::default(), upgrade)
    };
    if desk.is_stopping() {
        // The handler may have been asked before.
        return Err(Answer::refusal(Refused::Stopping, &http::stopping(), &desk));
    }
    let now = SystemTime::now();
    let response = accept_response(
        &upgrade.agreement(),
        &shared.config.server_header,
        now,
        &fields,
    );
    let mut charge = Account::new(shared.memory.clone());
    let planned = plan.as_ref().map_or(0, |plan| plan.cost(head.len()));
    if charge.charge(Client::cost(head.len()) + planned).is_err() {
        return Err(Answer::exhausted(&desk));
    }
    let client = Client::new(
        shared.next_id.fetch_add(1, Ordering::Relaxed),
        Addresses::new(newcomer.ends.clone(), newcomer.proxied_by.take()),
        upgrade,
        newcomer.tls.take(),
        head.into(),
        (
            newcomer.seated.seat.index,
            desk.stamp(),
            desk.face().orders.clone(),
        ),
        charge,
    );
    let upgraded = Upgraded {
        request: request.cloned(),
        response,
        rest,
        plan: plan.map(Box::new),
    };
    Ok((client, upgraded))
}
