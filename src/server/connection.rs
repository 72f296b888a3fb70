//! One client after its upgrade: moves bytes between the wire, the two halves of the protocol, and the handler.
//!
//! Strategy. One poll reads into the worker's shared buffer, turns the client's frames into the replies where they
//! lie, and writes these with one call. Nothing is read while output waits, so a client that does not read is not read
//! from. Messages that the handler wants leave as a batch per read.

mod turn;

use self::turn::Turn;
use super::clock::{Alarm, Clock};
use super::desk::{READ_BUFFER, Seated};
use super::stats::Counters;
use super::wire::Wire;
use crate::client::Client;
use crate::handler::{Batch, Gate, Wants};
use crate::order::{Message, Order, Ping, Replies, Share};
use crate::protocol::account::{self, Account};
use crate::protocol::close;
use crate::protocol::frame::{self, Opcode};
use crate::protocol::handshake::MAX_HEAD;
use crate::protocol::limit::Limit;
use crate::protocol::message::Kind;
use crate::protocol::partial::Partial;
use crate::protocol::receiving::{Event, Receiver};
use crate::protocol::sending::{MAX_SLICES, Rung, Sender};
use crate::protocol::violation::Violation;
use crate::protocol::window::Window;
use bytes::BufMut;
use std::future::Future;
use std::io::{self, IoSlice};
use std::mem;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::task::{Context, Poll, ready};
use std::thread;
use tokio::io::AsyncReadExt;
use tokio::task::yield_now;
use tokio::time::Instant;

/// Bytes read from one client before others have their turn.
const TURN: usize = 1 << 20;
/// Payload that makes a message worth the worker's whole read buffer: so much that no more than twice of what came is
/// charged.
const MIN_ADOPTED: usize = READ_BUFFER / 2;
/// Bytes that are kept of a client before it is admitted. One that has sent so many is not read from until then, and its
/// end is not seen before.
const MAX_EARLY: usize = MAX_HEAD;
/// Bytes read at once from a client that compresses, since what can't be inflated in this turn has to be kept; and where
/// nothing can be inflated, but what comes may be something else.
const COMPRESSED_READ: usize = 64 << 10;
const LOOK: usize = 4 << 10;

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
    /// The 101, to be sent first.
    pub(super) response: Vec<u8>,
    /// What came in the same segment as the request.
    pub(super) rest: Vec<u8>,
    /// For the client itself.
    pub(super) charge: Arc<Account>,
}

#[derive(Debug)]
pub(super) struct Connection<W> {
    wire: W,
    seated: Seated,
    client: Arc<Client>,
    /// Gone with the client.
    charge: Option<Arc<Account>>,
    account: Account,
    receiver: Receiver,
    sender: Sender,
    has_ended: bool,
    has_left: bool,
    /// One of `max_connections`.
    has_place: bool,
    /// Set at the sender's deadline or before it.
    alarm: Alarm,
}

impl<W: Wire> Connection<W> {
    pub(super) fn new(wire: W, client: Arc<Client>, upgraded: Upgraded, seated: Seated) -> Self {
        let Upgraded {
            response,
            rest,
            charge,
        } = upgraded;
        seated.desk.enlist(&client);
        seated.desk.counters().bytes_received.add(rest.len() as u64);
        let shared = &seated.desk.shared;
        let handler = &shared.handler;
        let is_admitted = !handler.wants().has(Wants::OPEN) || {
            client.know();
            handler.on_open(&client) == Gate::Open
        };
        let mut account = Account::new(shared.memory.clone());
        let limit = Limit::new("max_message_size", shared.config.max_message_size);
        let mut receiver = Receiver::new(limit);
        let mut sender = Sender::new(response, is_admitted, shared.sending.clone(), &mut account);
        if let Some(agreed) = client.deflate {
            let settings = shared.config.compression.unwrap_or_default();
            receiver.agree(agreed);
            sender.agree(agreed, settings.level, settings.threshold);
        }
        let mut turn = Turn::new(0);
        if let Err(violation) = receiver.keep_rest(rest, &mut account) {
            sender.fail(&violation, &mut turn.effects);
        }
        turn.apply(seated.desk.counters(), &client);
        Self {
            wire,
            client,
            charge: Some(charge),
            account,
            receiver,
            sender,
            has_ended: false,
            has_left: false,
            has_place: true,
            alarm: Alarm::default(),
            seated,
        }
    }

    /// Does all that can be done now. Never waits with the shared buffer in hand.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let allowance = self.allowance();
        let mut turn = Turn::new(allowance);
        let end = self.poll_turn(cx, &mut turn);
        if turn.has_news() {
            turn.apply(self.seated.desk.counters(), &self.client);
        }
        let spent = allowance - turn.budget;
        if spent > 0 {
            self.seated.desk.pace.spend(spent);
        }
        end
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>, turn: &mut Turn) -> Poll<End> {
        self.seated.seat.register(cx);
        if self.seated.seat.has_orders() {
            for order in self.seated.seat.take_orders() {
                if !self.obey(order, turn) {
                    return Poll::Ready(End::Drop);
                }
            }
        }
        if self.seated.desk.is_stopping() {
            let (account, effects) = (&mut self.account, &mut turn.effects);
            let reason = "the server is stopping";
            self.sender
                .close_later(close::GOING_AWAY, reason, account, effects);
            if self.seated.desk.is_hurried() {
                self.sender.hurry(account, effects);
            }
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
                match self.send(cx, &[], turn) {
                    Ok(true) => {}
                    Ok(false) => return Poll::Pending,
                    Err(error) => return Poll::Ready(End::of(&error)),
                }
            }
            if self.sender.is_compressing() {
                if self.has_to_wait(turn) {
                    return Poll::Pending;
                }
                let (account, effects) = (&mut self.account, &mut turn.effects);
                self.sender.compress(&mut turn.budget, account, effects);
                continue;
            }
            if self.sender.is_done() || self.has_ended && self.sender.is_settled() {
                return Poll::Ready(End::Linger);
            }
            if self.has_ended || !self.sender.may_read() || self.has_to_wait(turn) {
                if self.has_ended || !self.sender.awaits_admission() {
                    return Poll::Pending;
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

    /// Before the client is admitted only its end is looked for, since who is gone keeps nobody else out; what comes
    /// meanwhile is kept. Ready when there is something to do without waiting for the admission.
    fn watch(&mut self, cx: &mut Context<'_>, turn: &mut Turn) -> Poll<io::Result<()>> {
        let desk = self.seated.desk.clone();
        loop {
            let kept = self.receiver.rest();
            if frame::begins_close(kept) {
                // Nothing before it asks for an answer that would have to wait.
                self.sender.admit(&mut self.account);
                return Poll::Ready(Ok(()));
            }
            let Some(room) = MAX_EARLY.checked_sub(kept.len()).filter(|room| *room > 0) else {
                return Poll::Pending;
            };
            let mut buffer = desk.buffer.borrow_mut();
            buffer.clear();
            let len = ready!(pin!(self.wire.read_buf(&mut (&mut *buffer).limit(room))).poll(cx))?;
            if len == 0 {
                self.give_place();
                if self.receiver.rest().is_empty() {
                    self.has_ended = true;
                    return Poll::Ready(Ok(()));
                }
                // What was sent before is answered all the same.
                return Poll::Pending;
            }
            turn.received(len);
            self.sender.heard();
            if let Err(violation) = self.receiver.keep_more(&buffer, &mut self.account) {
                self.sender.fail(&violation, &mut turn.effects);
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// One read, what it brings, and one write.
    fn read(&mut self, cx: &mut Context<'_>, turn: &mut Turn) -> Poll<io::Result<usize>> {
        if self.receiver.is_behind() {
            let mut rest = self.receiver.take_rest();
            let taken = self.process(cx, rest.unread(), turn);
            let len = *taken.as_ref().unwrap_or(&0);
            self.receiver.put_rest(rest, len, &mut self.account);
            // Nothing taken is not the end of the stream.
            return Poll::Ready(taken.map(|len| len.max(1)));
        }
        match self.receiver.spare(READ_BUFFER, &mut self.account) {
            Ok(None) => {}
            Ok(Some((spare, room))) => {
                let len = ready!(pin!(self.wire.read_buf(&mut spare.limit(room))).poll(cx))?;
                turn.received(len);
                return Poll::Ready(self.take_spare(cx, len, turn).map(|()| len));
            }
            Err(violation) => {
                self.sender.fail(&violation, &mut turn.effects);
                return Poll::Ready(Ok(1));
            }
        }
        let desk = self.seated.desk.clone();
        let mut buffer = desk.buffer.borrow_mut();
        buffer.clear();
        let mut room = (&mut *buffer).limit(self.most_read(turn));
        let len = ready!(pin!(self.wire.read_buf(&mut room)).poll(cx))?;
        if len == 0 {
            return Poll::Ready(Ok(0));
        }
        turn.received(len);
        self.receiver.lend(MIN_ADOPTED);
        let taken = self.process(cx, &mut buffer, turn)?;
        let kept = if let Some(from) = self.receiver.wants_buffer() {
            let whole = mem::replace(&mut *buffer, account::buffer(READ_BUFFER));
            self.receiver.adopt(whole, from, &mut self.account)
        } else if taken < len {
            let rest = buffer[taken..].to_vec();
            self.receiver.keep_rest(rest, &mut self.account)
        } else {
            Ok(())
        };
        if let Err(violation) = kept {
            self.sender.fail(&violation, &mut turn.effects);
        }
        Poll::Ready(Ok(len))
    }

    /// The end of a long message, or a further part of it.
    fn take_spare(&mut self, cx: &mut Context<'_>, len: usize, turn: &mut Turn) -> io::Result<()> {
        self.sender.heard();
        turn.wants = self.seated.desk.shared.handler.wants();
        let mut window = Window::new(&mut []);
        match self.receiver.filled(len) {
            Ok(None) => {}
            Ok(Some(event)) => self.take(event, &mut window, turn),
            Err(violation) => self.sender.fail(&violation, &mut turn.effects),
        }
        self.end_read(cx, &window, turn)
    }

    /// Answers what is in `bytes` and returns how many of them; there are more only with compressed messages, if these
    /// are too much for one turn.
    fn process(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut [u8],
        turn: &mut Turn,
    ) -> io::Result<usize> {
        self.sender.heard();
        turn.wants = self.seated.desk.shared.handler.wants();
        let len = bytes.len();
        let mut window = Window::new(bytes);
        while self.sender.takes_input() && !self.sender.is_compressing() {
            if let Err(violation) = self.echo_short(&mut window, turn) {
                self.sender.fail(&violation, &mut turn.effects);
                break;
            }
            match self
                .receiver
                .next(&mut window, &mut turn.budget, &mut self.account)
            {
                Ok(Some(event)) => self.take(event, &mut window, turn),
                Ok(None) => break,
                Err(violation) => self.sender.fail(&violation, &mut turn.effects),
            }
        }
        // Afterwards nobody wants the rest.
        let taken = if self.sender.takes_input() {
            window.read
        } else {
            len
        };
        self.end_read(cx, &window, turn).map(|()| taken)
    }

    /// The shortest way there is, while nothing stands in it: no callback wants messages, and no answer is awaited.
    #[inline]
    fn echo_short(&mut self, window: &mut Window<'_>, turn: &mut Turn) -> Result<(), Violation> {
        if turn.wants.has(Wants::TEXT | Wants::BINARY) || !self.sender.is_free() {
            return Ok(());
        }
        let (mut texts, mut binaries) = (0, 0);
        let echoed = self.receiver.echo_short(window, |kind| match kind {
            Kind::Text => texts += 1,
            Kind::Binary => binaries += 1,
        });
        turn.echoed(texts, binaries);
        echoed
    }

    #[inline]
    fn take(&mut self, event: Event, window: &mut Window<'_>, turn: &mut Turn) {
        let account = &mut self.account;
        if !self.sender.may_send() {
            // After our close frame only the client's matters.
            match event {
                Event::Close(payload) => self.sender.closed(payload.payload()),
                Event::Message { parts: message, .. } | Event::Inflated { message, .. } => {
                    message.release(account);
                }
                Event::Ping(_) | Event::Pong(_) => {}
            }
            return;
        }
        match event {
            Event::Message {
                kind,
                parts,
                payload,
            } => {
                turn.message(kind);
                if turn.wants.has_kind(kind) {
                    let mark = self.sender.mark();
                    self.give(kind, mark, parts, payload, window, turn);
                } else {
                    self.sender
                        .reply(kind, parts, payload, window, account, &mut turn.effects);
                }
            }
            Event::Inflated { kind, message } => {
                turn.message(kind);
                if turn.wants.has_kind(kind) {
                    self.give(kind, 0, message, 0..0, window, turn);
                } else {
                    let (budget, effects) = (&mut turn.budget, &mut turn.effects);
                    self.sender
                        .reply_compressed(kind, message, window, budget, account, effects);
                }
            }
            Event::Ping(ping) => {
                turn.ping();
                self.sender
                    .control(Opcode::Pong, ping.payload(), window, account);
            }
            Event::Pong(pong) => {
                turn.pong();
                self.sender.pong(pong.payload());
            }
            Event::Close(payload) => self.sender.closed(payload.payload()),
        }
    }

    /// A message for the handler; `mark` goes into the first byte of its frame.
    fn give(
        &mut self,
        kind: Kind,
        mark: u8,
        parts: Partial,
        payload: Range<usize>,
        window: &Window<'_>,
        turn: &mut Turn,
    ) {
        let len = parts.len() + payload.len();
        let memory = &self.seated.desk.shared.memory;
        // What is yet to be looked at gets shorter: a server's header has no key.
        let unread = window.bytes.len() - window.read;
        let room = frame::server_header_len(len) + len + unread;
        let batch = turn
            .batch
            .get_or_insert_with(|| Batch::new(Account::new(memory.clone()), room));
        let pieces = parts.pieces().chain([&window.bytes[payload]]);
        let fits = batch.push(kind, len, pieces);
        batch.mark_last(mark);
        parts.release(&mut self.account);
        let effects = &mut turn.effects;
        self.sender.hold(len, &mut self.account, effects);
        if !fits {
            self.sender.fail(&self.account.exhausted(), effects);
        }
    }

    fn end_read(
        &mut self,
        cx: &mut Context<'_>,
        window: &Window<'_>,
        turn: &mut Turn,
    ) -> io::Result<()> {
        let batch = turn.batch.take();
        if batch.is_some() && self.sender.is_timed() {
            let now = self.clock().now().into_std();
            self.sender.tick(now, &mut turn.effects);
        }
        // Whoever gets a message or an echo of this read may look at what is counted.
        turn.apply(self.counters(), &self.client);
        if let Some(mut batch) = batch {
            batch.trim();
            let handler = &self.seated.desk.shared.handler;
            self.client.know();
            handler.on_messages(&self.client, batch);
        }
        if window.has_tail() || !self.sender.is_flushed() {
            self.send(cx, window.tail(), turn)?;
        }
        Ok(())
    }

    /// Sends what is kept and then `tail`, as far as the wire takes it; `false` if some of it has to wait, for which the
    /// task is woken.
    fn send(&mut self, cx: &mut Context<'_>, mut tail: &[u8], turn: &mut Turn) -> io::Result<bool> {
        let (account, effects) = (&mut self.account, &mut turn.effects);
        let mut is_blocked = false;
        let mut gone = self.wire.unsent();
        while !is_blocked {
            let wire = Pin::new(&mut self.wire);
            let sent = if self.sender.has_kept() {
                let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                let count = self.sender.transmit(tail, &mut slices);
                wire.poll_write_vectored(cx, &slices[..count])
            } else if tail.is_empty() {
                break;
            } else {
                wire.poll_write(cx, tail)
            };
            match sent {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(len)) => {
                    gone += len;
                    self.sender.sent(len, &mut tail, account, effects);
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => is_blocked = true,
            }
        }
        // TCP has sent what it has taken; TLS keeps what the socket does not take.
        if self.sender.needs_flush() {
            if Pin::new(&mut self.wire).poll_flush(cx)?.is_ready() {
                self.sender.flushed(effects);
            } else {
                is_blocked = true;
            }
        }
        if is_blocked {
            let unsent = self.wire.unsent();
            let gone = gone.saturating_sub(unsent);
            self.sender.keep(tail, gone, unsent, account, effects);
        }
        let bytes_sent = mem::take(&mut effects.bytes_sent);
        self.counters().bytes_sent.add(bytes_sent);
        Ok(!is_blocked)
    }

    /// `false`: the connection is to be dropped.
    fn obey(&mut self, order: Order, turn: &mut Turn) -> bool {
        let (account, effects) = (&mut self.account, &mut turn.effects);
        match order {
            Order::Admit => {
                self.sender.admit(account);
                self.take_place();
            }
            Order::Replies(Replies {
                wire,
                ends,
                answered,
                ..
            }) => self.sender.answer(wire, &ends, answered, account, effects),
            Order::Send(Message {
                kind,
                payload,
                room,
            }) => {
                let ticket = room.into_cost();
                self.sender.send(kind, payload, ticket, account, effects);
            }
            Order::Share(Share { frame, room }) => {
                let ticket = room.into_cost();
                self.sender.send_shared(frame, ticket, account, effects);
            }
            Order::Ping(Ping { payload, room }) => {
                let ticket = room.into_cost();
                self.sender.ping(&payload, ticket, account, effects);
            }
            Order::Close(close) => {
                let (code, reason) = (close.code(), close.reason());
                self.sender.close(code, reason, account, effects);
            }
            Order::Abort => return false,
        }
        true
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
        let now = self.clock().now().into_std();
        let (account, effects) = (&mut self.account, &mut turn.effects);
        match self.sender.on_time(now, account, effects) {
            Rung::Nothing => {}
            Rung::Something => return Poll::Ready(None),
            Rung::End => return Poll::Ready(Some(End::Drop)),
        }
        let Some(due) = self.sender.deadline().map(Instant::from_std) else {
            return Poll::Pending;
        };
        let clock = self.clock();
        clock.poll(&mut self.alarm, due, cx).map(|()| None)
    }

    /// What this turn may spend on compressed messages.
    fn allowance(&self) -> usize {
        if self.client.deflate.is_none() {
            return 0;
        }
        self.seated.desk.pace.allowance(&self.seated.seat)
    }

    /// Whether there is work that this turn has no room for; the connection is woken for the next one then.
    fn has_to_wait(&self, turn: &Turn) -> bool {
        let has_to = turn.budget == 0
            && self.client.deflate.is_some()
            && (self.sender.is_compressing()
                || self.receiver.is_behind()
                || self.receiver.is_inflating());
        if has_to {
            self.seated.desk.pace.wait(&self.seated.seat);
        }
        has_to
    }

    /// How much is read at once.
    fn most_read(&self, turn: &Turn) -> usize {
        match self.client.deflate {
            None => READ_BUFFER,
            Some(_) if turn.budget == 0 => LOOK,
            Some(_) => COMPRESSED_READ,
        }
    }

    fn clock(&self) -> Clock {
        self.seated.desk.shared.clock
    }

    fn counters(&self) -> &Counters {
        self.seated.desk.counters()
    }
}

impl<W> Connection<W> {
    /// When the closing handshake, and the end of TCP with it, has to be over.
    pub(super) fn close_due(&self) -> Instant {
        let shared = &self.seated.desk.shared;
        let due = self.sender.close_due().map(Instant::from_std);
        due.unwrap_or_else(|| shared.clock.now() + shared.config.close_timeout)
    }

    /// Counts among the clients again: it is about to be answered. It was there before those that came meanwhile.
    fn take_place(&mut self) {
        if !mem::replace(&mut self.has_place, true) {
            let open = &self.seated.desk.shared.open;
            open.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lets another client have its place.
    fn give_place(&mut self) {
        if mem::take(&mut self.has_place) {
            let open = &self.seated.desk.shared.open;
            open.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Gives back what the client had of the server, announces that it is gone, and hands out what the end of TCP needs.
    pub(super) fn leave(&mut self) -> (&mut W, &Seated) {
        if !mem::replace(&mut self.has_left, true) {
            let mut turn = Turn::new(0);
            self.receiver.release(&mut self.account);
            self.sender.release(&mut self.account, &mut turn.effects);
            debug_assert!(
                self.account.held() == 0 || thread::panicking(),
                "a charge is not given back"
            );
            turn.apply(self.seated.desk.counters(), &self.client);
            self.alarm = Alarm::default();
            let (code, reason) = self.sender.end();
            self.client.set_ended(code, reason);
            // Between the end and the look at who wants to hear of it: whoever begins to want it between the two
            // looks for the end after that (`Client::know`).
            fence(Ordering::SeqCst);
            self.give_place();
            let shared = &self.seated.desk.shared;
            self.seated.desk.delist(&self.client);
            if shared.handler.wants().has(Wants::CLOSE) || self.client.is_known() {
                shared.handler.on_close(&self.client);
            }
            self.charge = None;
        }
        (&mut self.wire, &self.seated)
    }
}

impl<W> Drop for Connection<W> {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::Connection;
    use tokio::net::TcpStream;

    #[test]
    fn an_idle_client_is_not_large() {
        // Ten thousand of them are less than four megabytes; what is rarely needed is behind a pointer.
        assert!(size_of::<Connection<TcpStream>>() <= 384);
    }
}
