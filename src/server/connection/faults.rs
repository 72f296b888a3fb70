//! What faults do to a connection, beside what they do to its messages and bytes: they are taken up and let go of, and
//! end it or keep it from its end. Without faults nothing here is called but where there is nothing else to do.

use super::turn::Turn;
use super::{Connection, End};
use crate::client::Client;
use crate::faults::action::{Action, State};
use crate::faults::plan::Plan;
use crate::faults::script::Script;
use crate::faults::script::ends::Ending;
use crate::handler::Wants;
use crate::protocol::account::Account;
use crate::protocol::message::Kind;
use crate::protocol::sending::{Cut, Doorkeeper, Rung};
use crate::server::desk::Seated;
use crate::server::info;
use crate::server::line::Line;
use crate::server::wire::Wire;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tokio::io::AsyncReadExt;
use tokio::task::yield_now;

/// Reads of what nobody looks at, before others have their turn.
const READS: usize = 16;

/// Without faults, of a connection that has got its 101, which may be long ago.
fn script(client: &Client, seated: &Seated) -> Script {
    let shared = &seated.desk.shared;
    let clock = seated.desk.clock.clone();
    let now = move || clock.now().into_std();
    let head = client.head();
    let path = head.as_ref().map_or("", |head| head.path());
    let begun = seated.desk.moment(client.opened);
    Script::new(shared.faults.seed(), client.id, path, begun, now)
}

/// With those that it has asked for; what it is told besides is ordered.
pub(super) fn planned(plan: Plan, client: &Client, seated: &Seated) -> Rc<Script> {
    if plan.info
        && let Ok(order) = client.message(Kind::Text, info::json(client), usize::MAX)
    {
        seated.seat.give_later(order);
    }
    let faults = &seated.desk.shared.faults;
    Rc::new(script(client, seated).planned(faults.seed(), plan, faults.hits()))
}

impl<W: Wire> Connection<W> {
    /// Takes up the faults that are set now, and lets go of the others.
    pub(super) fn follow_faults(&mut self, turn: &mut Turn) {
        let desk = self.seated.desk.clone();
        let was_frozen = self.is_frozen();
        let faults = &desk.shared.faults;
        let script = match &self.script {
            Some(script) => script.clone(),
            None if !faults.is_any() => return,
            None => {
                let script = script(&self.client, &self.seated);
                self.script.insert(Rc::new(script)).clone()
            }
        };
        if let Some(Some(line)) = self.wire.line() {
            line.follow(faults);
        } else {
            script.follow(faults, [0, 0]);
        }
        let judges = script.judges();
        let is_asked = judges || script.is_in(State::NoPong) || script.is_in(State::NoCloseReply);
        self.own = if is_asked {
            Wants::SLOW
        } else {
            Wants::NOTHING
        };
        // What waits at the door may stay for a while.
        self.is_paced |= judges;
        let doorkeeper = judges.then(|| script.clone() as Rc<dyn Doorkeeper>);
        self.sender.attach(doorkeeper);
        if script.deadline().is_some() {
            self.sender.keep_time();
        }
        if !script.is_in(State::NoCloseReply) {
            let (account, effects) = (&mut self.account, &mut turn.effects);
            self.sender.answer_close(account, effects);
        }
        // While it was frozen nothing was expected of the client.
        if was_frozen {
            self.sender.begin_anew();
        }
        self.follow_line();
        self.client.set_held(script.moves_bytes());
    }

    /// Makes the line below a slow one, or a good one again. What acts on bytes begins behind the 101: until that has left,
    /// nothing follows it, and nothing is read.
    pub(super) fn follow_line(&mut self) {
        let Some(script) = &self.script else {
            return;
        };
        if !script.moves_bytes() {
            if let Some(line) = self.wire.line() {
                *line = line.take().filter(|line| !line.is_needless());
            }
            return;
        }
        if self.sender.is_opening() {
            // It comes back here then.
            return;
        }
        let desk = &self.seated.desk;
        if let Some(line) = self.wire.line() {
            line.get_or_insert_with(|| {
                let account = Account::new(desk.shared.memory.clone());
                Line::new(script.clone(), desk.clock.clone(), account)
            });
        }
    }

    /// Whether it is in this state now, in which something is not done.
    pub(super) fn holds(&self, state: State) -> bool {
        self.script
            .as_ref()
            .is_some_and(|script| script.holds(state))
    }

    fn is_frozen(&self) -> bool {
        let script = self.script.as_ref();
        script.is_some_and(|script| script.is_in(State::Frozen))
    }

    /// Whether it would not come to an end in order.
    pub(super) fn is_held(&self) -> bool {
        self.sender.is_unanswered() || self.sender.is_halved() || self.is_frozen()
    }

    /// Whether that has lasted for as long as it may, on a connection that has asked for it. What the server's owner has
    /// set lasts until that ends.
    pub(super) fn is_held_too_long(&self, now: Instant) -> bool {
        let Some(script) = self.script.as_ref().filter(|script| script.is_enough(now)) else {
            return false;
        };
        let is_unanswered = |action: &Action| matches!(action, Action::State(State::NoCloseReply));
        let is_half = |action: &Action| matches!(action, Action::Cut(Cut::HalfClose));
        script.is_frozen_for_good()
            || self.sender.is_unanswered() && script.has_itself(is_unanswered)
            || self.sender.is_halved() && script.has_itself(is_half)
            // A client that has left may keep a slow line busy for days.
            || self.wire.has_left() && script.is_slowed_by_itself()
    }

    /// What is done while nothing is read of a client's messages: an end of the connection, or that something was done.
    #[inline(never)]
    pub(super) fn poll_unread(
        &mut self,
        cx: &mut Context<'_>,
        turn: &mut Turn,
    ) -> Poll<Option<End>> {
        if let Some(cut) = self.sender.cutting() {
            return self.poll_cut(cx, cut);
        }
        if (self.sender.is_unanswered() || self.sender.is_halved()) && !self.has_ended {
            self.has_ended = ready!(self.poll_end(cx, turn));
            return Poll::Ready(None);
        }
        // An error comes out at the next write.
        let _ = self.wire.poll_clear(cx);
        Poll::Pending
    }

    /// Cuts the stream when it has taken everything before that. A reset takes back what TCP has not sent yet.
    fn poll_cut(&mut self, cx: &mut Context<'_>, cut: Cut) -> Poll<Option<End>> {
        let is_sent = match self.wire.poll_clear(cx) {
            // What is frozen is not sent.
            Poll::Pending if self.is_frozen() => Ok(()),
            polled => ready!(polled),
        };
        if cut == Cut::Reset {
            self.wire.reset_on_drop();
        }
        if cut == Cut::Reset || is_sent.is_err() {
            return Poll::Ready(Some(End::Drop));
        }
        if ready!(Pin::new(&mut self.wire).poll_shutdown(cx)).is_err() {
            return Poll::Ready(Some(End::Drop));
        }
        self.sender.halved();
        Poll::Ready(None)
    }

    /// Reads and throws away until the client's end: ready when that has come.
    fn poll_end(&mut self, cx: &mut Context<'_>, turn: &mut Turn) -> Poll<bool> {
        let desk = self.seated.desk.clone();
        let mut buffer = desk.buffer.borrow_mut();
        for _ in 0..READS {
            buffer.clear();
            match ready!(pin!(self.wire.read_buf(&mut *buffer)).poll(cx)) {
                Ok(0) | Err(_) => return Poll::Ready(true),
                Ok(len) => turn.received(len),
            }
        }
        // Comes back after the others and the event queue had their turn.
        let _ = pin!(yield_now()).poll(cx);
        Poll::Pending
    }

    /// What faults do because their time has come: whether they did something.
    pub(super) fn end_in_time(&mut self, now: Instant, turn: &mut Turn) -> bool {
        let is_ending = !self.sender.may_send();
        let script = self.script.as_ref();
        let Some(ending) = script.and_then(|script| script.on_time(now, is_ending)) else {
            return false;
        };
        let (account, effects) = (&mut self.account, &mut turn.effects);
        match ending {
            Ending::Close(code, reason) => {
                self.sender.close_last(code, &reason, account, effects);
            }
            Ending::Cut(cut) => self.sender.cut(cut, account, effects),
        }
        true
    }

    /// What the sender does because it is time; what is frozen does nothing.
    pub(super) fn ring(&mut self, now: Instant, turn: &mut Turn) -> Rung {
        if self.is_frozen() || self.has_to_be_later(turn) {
            return Rung::Nothing;
        }
        let (account, effects) = (&mut self.account, &mut turn.effects);
        self.sender.on_time(now, account, effects)
    }

    /// When something is due; what is frozen waits for faults only.
    pub(super) fn due(&self) -> Option<Instant> {
        let faults = self.script.as_ref().and_then(|script| script.deadline());
        let own = if self.is_frozen() {
            None
        } else {
            self.sender.deadline()
        };
        own.into_iter().chain(faults).min()
    }

    /// Whether it was not up to the client alone for `close_timeout` that the closing handshake is not over: that time
    /// begins again when bytes may move.
    pub(super) fn waits_for_line(&mut self, now: Instant) -> bool {
        let time = self.seated.desk.shared.config.close_timeout;
        // Who does not take our close frame does not answer it.
        let is_awaited = self.sender.takes_input() && self.sender.is_flushed();
        let line = self.wire.line().and_then(|line| line.as_mut());
        let since = line.and_then(|line| line.open_since(now.into(), time, is_awaited));
        let Some(since) = since.map(tokio::time::Instant::into_std) else {
            return false;
        };
        let waits = since + time > now;
        if waits {
            self.sender.prolong_close(since);
        }
        waits
    }
}
