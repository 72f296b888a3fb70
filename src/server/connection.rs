//! One client after its upgrade: moves bytes between the wire, the two halves of the protocol, and the handler.
//!
//! Strategy. One poll reads into the worker's shared buffer, turns the client's frames into the replies where they
//! lie, and writes these with one call. Nothing is read while output waits, so a client that does not read is not read
//! from. Messages that the handler wants leave as a batch per read.

mod faults;
mod leaving;
mod orders;
mod reading;
mod recording;
mod taking;
mod turn;
mod writing;

use self::turn::Turn;
use super::clock::{Alarm, Clock};
use super::desk::Seated;
use super::stats::Counters;
use super::wire::Wire;
use crate::admission::Request;
use crate::client::Client;
use crate::faults::plan::Plan;
use crate::faults::script::Script;
use crate::handler::{Gate, Wants};
use crate::order::Order;
use crate::protocol::account::Account;
use crate::protocol::close;
use crate::protocol::receiving::Receiver;
use crate::protocol::sending::{Cut, Rung, Sender};
use std::future::Future;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::task::yield_now;
use tokio::time::Instant;

/// Bytes read from one client before others have their turn.
const TURN: usize = 1 << 20;
/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The last frame is sent, now TCP has to end in order.
    Linger,
    /// Nothing is to be said any more.
    Drop,
}

impl End {
    /// After that the wire takes nothing more from us.
    fn of(error: &io::Error) -> Self {
        match error.kind() {
            // TLS has sent an alert, which the client gets to read only if TCP ends in order.
            io::ErrorKind::InvalidData => Self::Linger,
            _ => Self::Drop,
        }
    }
}

/// What an upgrade leaves to the connection.
#[derive(Debug)]
pub(super) struct Upgraded {
    /// Which has got the status 101, if somebody wants to see it.
    pub(super) request: Option<Arc<Request>>,
    /// The 101, to be sent first.
    pub(super) response: Vec<u8>,
    /// What came in the same segment as the request.
    pub(super) rest: Vec<u8>,
    /// The faults that it has asked for itself.
    pub(super) plan: Option<Box<Plan>>,
}

#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says something of its own; no state is made of them"
)]
pub(super) struct Connection<W> {
    wire: W,
    seated: Seated,
    client: Arc<Client>,
    account: Account,
    receiver: Receiver,
    sender: Sender,
    has_ended: bool,
    has_left: bool,
    /// One of `max_connections`.
    has_place: bool,
    /// It has work that takes turns with that of others: compression, or what faults do.
    is_paced: bool,
    /// What is wanted of its messages beside what the server wants.
    own: Wants,
    /// What faults do to it; `None` as long as there never was one.
    script: Option<Rc<Script>>,
    /// Set at the sender's deadline or before it; `None` before there was one.
    alarm: Option<Box<Alarm>>,
}

impl<W: Wire> Connection<W> {
    pub(super) fn new(wire: W, client: Arc<Client>, upgraded: Upgraded, seated: Seated) -> Self {
        let Upgraded {
            request,
            response,
            rest,
            plan,
        } = upgraded;
        let shared = &seated.desk.shared;
        let mut moment = shared.moment();
        seated.desk.enlist(&client);
        seated.desk.counters().bytes_received.add(rest.len() as u64);
        if let Some(request) = request {
            request.set_status(101);
        }
        if let Some(moment) = &mut moment {
            moment.opened(&client);
        }
        drop(moment);
        let handler = &shared.handler;
        if handler.wants().has(Wants::SUMMARY) {
            seated.desk.summaries.begin(client.seat);
        }
        let is_admitted = !handler.wants().has(Wants::OPEN) || {
            client.know();
            handler.on_open(&client) == Gate::Open
        };
        let mut account = Account::new(shared.memory.clone());
        let mut receiver = Receiver::new(shared.terms.with(client.deflate));
        if handler.wants().has(Wants::FRAMES) {
            receiver.note_frames();
        }
        let mut sender = Sender::new(response, is_admitted, shared.sending.clone(), &mut account);
        if let Some(agreed) = client.deflate {
            let settings = shared.config.compression.unwrap_or_default();
            sender.agree(agreed, settings.level, settings.threshold);
        }
        let script = plan.map(|plan| faults::planned(*plan, &client, &seated));
        if script.is_some() || shared.faults.is_any() {
            // Taken up first thing: whoever sets another tells the connection from now on.
            seated.seat.give_later(Order::Faults(None));
        }
        let mut turn = Turn::new(0);
        if let Err(violation) = receiver.keep_rest(rest, &mut account) {
            sender.fail(&violation, &mut turn.effects);
        }
        turn.apply(seated.desk.counters(), &client);
        Self {
            wire,
            is_paced: client.deflate.is_some(),
            own: Wants::NOTHING,
            script,
            client,
            account,
            receiver,
            sender,
            has_ended: false,
            has_left: false,
            has_place: true,
            alarm: None,
            seated,
        }
    }

    /// Does all that can be done now. Never waits with the shared buffer in hand.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let allowance = self.allowance();
        let mut turn = Turn::new(allowance);
        let end = self.poll_turn(cx, &mut turn);
        if turn.has_news() || turn.is_seen {
            self.tell(&mut turn);
        }
        let spent = allowance - turn.budget;
        if spent > 0 {
            self.seated.desk.pace.spend(spent);
        }
        end
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>, turn: &mut Turn) -> Poll<End> {
        self.seated.seat.register(cx);
        if self.seated.seat.has_orders() && !self.obey_all(cx, turn) {
            return Poll::Ready(End::Drop);
        }
        if self.seated.desk.is_stopping() && self.seated.desk.is_told(&self.seated.seat) {
            if self.is_held() {
                return Poll::Ready(End::Drop);
            }
            let (account, effects) = (&mut self.account, &mut turn.effects);
            let reason = "the server is stopping";
            self.sender
                .close_later(close::GOING_AWAY, reason, account, effects);
            if self.seated.desk.is_hurried() {
                self.sender.hurry(account, effects);
            }
            self.record_answers(turn);
        }
        loop {
            if let Poll::Ready(end) = self.poll_io(cx, turn) {
                return Poll::Ready(end);
            }
            if let Some(end) = ready!(self.poll_time(cx, turn)) {
                return Poll::Ready(end);
            }
        }
    }

    fn poll_io(&mut self, cx: &mut Context<'_>, turn: &mut Turn) -> Poll<End> {
        let mut left = TURN;
        loop {
            let (account, effects) = (&mut self.account, &mut turn.effects);
            self.sender.settle(account, effects);
            if !self.sender.is_flushed() {
                turn.is_seen |= self.seated.desk.shared.record.is_some();
                match self.send_kept(cx, turn) {
                    Ok(true) => {}
                    Ok(false) => return Poll::Pending,
                    Err(error) => return Poll::Ready(End::of(&error)),
                }
            }
            if self.sender.has_waiting() {
                if self.has_to_wait(turn) {
                    return Poll::Pending;
                }
                let (account, effects) = (&mut self.account, &mut turn.effects);
                self.sender.work(&mut turn.budget, account, effects);
                continue;
            }
            if self.sender.is_done() || self.has_ended && self.sender.is_settled() {
                let has_end = self.has_ended && self.wire.ends_on_drop();
                return Poll::Ready(if has_end { End::Drop } else { End::Linger });
            }
            if self.has_ended || !self.sender.may_read() || self.has_to_wait(turn) {
                if self.has_ended || !self.sender.awaits_admission() {
                    match ready!(self.poll_unread(cx, turn)) {
                        Some(end) => return Poll::Ready(end),
                        None => continue,
                    }
                }
                match ready!(self.watch(cx, turn)) {
                    Ok(()) => continue,
                    Err(error) => return Poll::Ready(End::of(&error)),
                }
            }
            if left == 0 {
                // Woken after the event queue was looked at: a task that wakes itself would run 61 times
                // (tokio's event_interval) before the others are seen. It is ready at the next poll.
                let _ = pin!(yield_now()).poll(cx);
                return Poll::Pending;
            }
            match ready!(self.read(cx, turn)) {
                Ok(0) => self.has_ended = true,
                Ok(len) => left = left.saturating_sub(len),
                Err(error) => return Poll::Ready(End::of(&error)),
            }
        }
    }

    /// What time brings; ready when something was done, with an end when the connection ends for it.
    fn poll_time(&mut self, cx: &mut Context<'_>, turn: &mut Turn) -> Poll<Option<End>> {
        if !self.sender.is_timed() {
            return Poll::Pending;
        }
        if self.has_ended && self.sender.is_flushed() {
            // It can't answer a ping any more, and what is awaited is our answer.
            self.sender.heard();
        }
        let now = self.clock().now();
        let reached = self.clock().reached_at(now).into_std();
        if self.is_held_too_long(reached) {
            return Poll::Ready(Some(End::Drop));
        }
        if self.end_in_time(reached, turn) {
            return Poll::Ready(None);
        }
        let now = now.into_std();
        match self.ring(now, turn) {
            Rung::Nothing => {}
            Rung::Something => return Poll::Ready(None),
            Rung::End if self.waits_for_line(reached) => {}
            Rung::End => {
                if self.sender.cutting() == Some(Cut::Reset) {
                    self.wire.reset_on_drop();
                }
                return Poll::Ready(Some(End::Drop));
            }
        }
        let Some(due) = self.due().map(Instant::from_std) else {
            return Poll::Pending;
        };
        let clock = &self.seated.desk.clock;
        let alarm = self.alarm.get_or_insert_default();
        clock.poll(alarm, due, cx).map(|()| None)
    }

    /// Whether what is due has to wait, since others are due before it. What has happened so far happened now.
    fn has_to_be_later(&mut self, turn: &mut Turn) -> bool {
        if !self.clock().is_behind() {
            return false;
        }
        self.tick(turn);
        let (due, reached) = (self.sender.deadline(), self.clock().reached());
        due.is_none_or(|due| due > reached.into_std())
    }

    /// What this turn may spend on compressed messages.
    fn allowance(&self) -> usize {
        if !self.is_paced {
            return 0;
        }
        self.seated.desk.pace.allowance(&self.seated.seat)
    }

    /// Whether there is work that this turn has no room for; the connection is woken for the next one then.
    fn has_to_wait(&self, turn: &Turn) -> bool {
        let has_to = turn.budget == 0
            && self.is_paced
            && (self.sender.has_waiting()
                || self.receiver.is_behind()
                || self.receiver.is_inflating());
        if has_to {
            self.seated.desk.pace.wait(&self.seated.seat);
        }
        has_to
    }

    /// Tells others what has come of a turn.
    #[inline(never)]
    fn tell(&self, turn: &mut Turn) {
        let _moment = self.seated.desk.shared.moment();
        self.apply(turn);
    }

    /// What has happened so far happened now.
    fn tick(&mut self, turn: &mut Turn) {
        if self.sender.is_timed() {
            let now = self.clock().now().into_std();
            self.sender.tick(now, &mut turn.effects);
        }
    }

    fn clock(&self) -> &Clock {
        &self.seated.desk.clock
    }

    fn counters(&self) -> &Counters {
        self.seated.desk.counters()
    }
}

impl<W> Connection<W> {
    /// Tells the counters, the client, and who sums up what there is of it. Where nobody does, the echoes of a read are
    /// told without this.
    fn apply(&self, turn: &mut Turn) {
        let desk = &self.seated.desk;
        let summaries = &desk.summaries;
        summaries.add(self.client.seat, turn.messages, turn.effects.sent);
        turn.apply(desk.counters(), &self.client);
    }
}

#[cfg(test)]
mod tests {
    use super::Connection;
    use crate::server::shaped::Shaped;
    use crate::sockets::Listed;
    use tokio::net::TcpStream;

    #[test]
    fn an_idle_client_is_not_large() {
        // What is rarely needed is behind a pointer. With 16 bytes more the gaps before tokio's aligned pieces grow so that
        // a client takes 60 to 130 bytes more (docs/performance.md).
        let size = size_of::<Connection<Shaped<Listed<TcpStream>>>>();
        let most = 312;
        assert!(
            size <= most,
            "a connection has {size} bytes, more than {most}"
        );
    }
}
