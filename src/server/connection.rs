//! One client after its upgrade: read, protocol, handler, write; back-pressure, timeouts and the closing handshake.
//!
//! Strategy. One poll reads into the worker's shared buffer, turns the client's frames into the replies where they
//! lie, and writes these with one call. Nothing is read while output waits, so a client that does not read is not read
//! from. Messages that the handler wants leave as a batch per read; until they are answered, later replies are held
//! behind them.

mod compression;
mod replies;

use self::compression::Compressing;
use self::replies::Turn;
use super::desk::{READ_BUFFER, Seated};
use super::outbox::Outbox;
use super::stats::Counters;
use super::timers::{Alarm, Timers};
use crate::client::{self, Client};
use crate::config::Config;
use crate::handler::{Gate, Wants};
use crate::memory::{self, Account};
use crate::order::Order;
use crate::protocol::Violation;
use crate::protocol::close;
use crate::protocol::frame::{Opcode, server_frame};
use crate::protocol::message::Receiver;
use crate::protocol::partial::Chunk;
use bytes::BufMut;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::task::yield_now;

/// Bytes read from one client before others have their turn.
const TURN: usize = 1 << 20;
/// Messages of one client that may wait for their answers; beyond it the client is not read from.
const MAX_UNANSWERED: usize = 1024;
/// Bytes of them.
const MAX_UNANSWERED_BYTES: usize = 1 << 20;

/// Payload that makes a message worth the worker's whole read buffer: so much that no more than twice of what came is
/// charged.
const MIN_ADOPTED: usize = READ_BUFFER / 2;

/// What an upgrade leaves to the connection.
#[derive(Debug)]
pub(super) struct Upgraded {
    /// The 101, to be sent first.
    pub(super) response: Vec<u8>,
    /// What came in the same segment as the request.
    pub(super) rest: Vec<u8>,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The last frame is sent, now TCP has to end in order.
    Linger,
    /// Nothing is to be said any more.
    Drop,
}

/// How far the closing handshake is (RFC 6455 section 7). Until our close frame is out, the conversation is open.
#[derive(Debug)]
enum Closing {
    Open,
    /// Nothing more is read. This close frame goes out after the answers that are outstanding, and what is sent until
    /// then goes before it.
    Due(Vec<u8>),
    /// Our close frame is out, the client's is awaited.
    Sent,
    /// Our close frame is out, and nothing is awaited.
    Done,
}

impl Closing {
    /// Whether something may still be sent.
    const fn may_send(&self) -> bool {
        matches!(self, Self::Open | Self::Due(_))
    }
}

/// A place in the order of replies.
#[derive(Debug)]
enum Slot {
    /// That many answers of the handler are awaited.
    Awaited(usize),
    /// A reply that waits for the ones before it.
    Held(Chunk),
}

#[derive(Debug)]
pub(super) struct Connection<S> {
    stream: S,
    seated: Seated,
    client: Arc<Client>,
    account: Account,
    receiver: Receiver,
    out: Outbox,
    slots: VecDeque<Slot>,
    unanswered: usize,
    unanswered_bytes: usize,
    closing: Closing,
    ended: Option<(u16, String)>,
    /// Output was kept beyond the memory limit. If it has to wait, the connection ends.
    is_over: bool,
    gate: Gate,
    eof: bool,
    left: bool,
    /// What was read and not looked at yet: it came in the same segment as the request, or was too much for one turn.
    rest: Vec<u8>,
    /// With `permessage-deflate`.
    compressing: Option<Box<Compressing>>,
    timers: Option<Box<Timers>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn new(stream: S, client: Arc<Client>, upgraded: Upgraded, seated: Seated) -> Self {
        seated.desk.enlist(&client);
        let shared = &seated.desk.shared;
        let handler = &shared.handler;
        let gate = if handler.wants().has(Wants::OPEN) {
            handler.on_open(&client)
        } else {
            Gate::Open
        };
        let mut account = Account::new(shared.memory.clone());
        let out = Outbox::begin(upgraded.response, &mut account);
        let mut receiver = Receiver::new(shared.config.max_message_size);
        let compressing = client.deflate.map(|agreed| {
            receiver.agree(agreed);
            Box::new(Compressing::new(agreed, &shared.config))
        });
        seated
            .desk
            .counters()
            .bytes_received
            .add(upgraded.rest.len() as u64);
        Self {
            stream,
            client,
            account,
            receiver,
            out,
            slots: VecDeque::new(),
            unanswered: 0,
            unanswered_bytes: 0,
            closing: Closing::Open,
            ended: None,
            is_over: false,
            gate,
            eof: false,
            left: false,
            rest: upgraded.rest,
            compressing,
            timers: Timers::for_options(&shared.config),
            seated,
        }
    }

    /// Does all that can be done now. Never waits with the shared buffer in hand.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let allowance = self.begin_work();
        let end = self.poll_turn(cx);
        self.end_work(allowance);
        end
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.seated.seat.register(cx);
        if self.seated.seat.has_orders() {
            for order in self.seated.seat.take_orders() {
                if self.obey(order).is_break() {
                    return Poll::Ready(End::Drop);
                }
            }
        }
        let desk = &self.seated.desk;
        if desk.is_stopping() && (self.slots.is_empty() || desk.is_hurried()) {
            self.close(close::GOING_AWAY, "the server is stopping");
        }
        loop {
            if let Poll::Ready(end) = self.poll_io(cx) {
                return Poll::Ready(end);
            }
            if let Some(end) = ready!(self.poll_timers(cx)) {
                return Poll::Ready(end);
            }
        }
    }

    fn poll_io(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let mut turn = TURN;
        loop {
            self.settle_close();
            if !self.out.is_empty() {
                match self.send(cx, &[]) {
                    Ok(true) => self.is_over = false,
                    Ok(false) => {
                        if mem::take(&mut self.is_over) && self.account.is_over() {
                            self.exhaust();
                            self.settle_close();
                        }
                        return Poll::Pending;
                    }
                    Err(_) => return Poll::Ready(End::Drop),
                }
            }
            if self.is_compressing() {
                if self.has_to_wait() {
                    return Poll::Pending;
                }
                self.compress();
                continue;
            }
            let is_done = matches!(self.closing, Closing::Done);
            if is_done || self.eof && self.slots.is_empty() {
                return Poll::Ready(End::Linger);
            }
            if !self.may_read() || self.has_to_wait() {
                return Poll::Pending;
            }
            if turn == 0 {
                // Woken after the event queue was looked at: a task that wakes itself would run 61 times
                // (tokio's event_interval) before the others are seen. It is ready at the next poll.
                let _ = pin!(yield_now()).poll(cx);
                return Poll::Pending;
            }
            match ready!(self.read(cx)) {
                Ok(0) => self.eof = true,
                Ok(len) => turn = turn.saturating_sub(len),
                Err(_) => return Poll::Ready(End::Drop),
            }
        }
    }

    fn may_read(&self) -> bool {
        // Stopping, only the answers that are outstanding are waited for.
        let is_wanted = match self.closing {
            Closing::Open => !self.seated.desk.is_stopping(),
            Closing::Sent => true,
            Closing::Due(_) | Closing::Done => false,
        };
        is_wanted
            && !self.eof
            && self.gate == Gate::Open
            && self.unanswered < MAX_UNANSWERED
            && self.unanswered_bytes < MAX_UNANSWERED_BYTES
    }

    /// One read, what it brings, and one write.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let desk = self.seated.desk.clone();
        if self.is_behind() {
            let (mut rest, at) = self.take_rest();
            let taken = self.process(cx, &mut rest[at..])?;
            self.put_rest(rest, at + taken);
            // Nothing taken is not the end of the stream.
            return Poll::Ready(Ok(taken.max(1)));
        }
        match self.receiver.spare(READ_BUFFER, &mut self.account) {
            Ok(None) => {}
            Ok(Some((spare, room))) => {
                let len = ready!(pin!(self.stream.read_buf(&mut spare.limit(room))).poll(cx))?;
                self.counters().bytes_received.add(len as u64);
                return Poll::Ready(self.take_spare(cx, len).map(|()| len));
            }
            Err(violation) => {
                self.fail(violation);
                return Poll::Ready(Ok(1));
            }
        }
        let most = self.most_read(READ_BUFFER);
        let mut buffer = desk.buffer.borrow_mut();
        buffer.clear();
        let mut room = (&mut *buffer).limit(most);
        let len = ready!(pin!(self.stream.read_buf(&mut room)).poll(cx))?;
        if len == 0 {
            return Poll::Ready(Ok(0));
        }
        self.counters().bytes_received.add(len as u64);
        self.receiver.lend(MIN_ADOPTED);
        let taken = self.process(cx, &mut buffer)?;
        if let Some(from) = self.receiver.wants_buffer() {
            let whole = mem::replace(&mut *buffer, memory::buffer(READ_BUFFER));
            if let Err(violation) = self.receiver.adopt(whole, from, &mut self.account) {
                self.fail(violation);
            }
        } else if taken < len {
            self.keep_rest(&buffer[taken..]);
        }
        Poll::Ready(Ok(len))
    }

    /// The end of a long message, or a further part of it.
    fn take_spare(&mut self, cx: &mut Context<'_>, len: usize) -> io::Result<()> {
        self.hear();
        match self.receiver.filled(len) {
            Ok(None) => Ok(()),
            Ok(Some(event)) => {
                let mut turn = Turn::new(self.wants(), &mut []);
                self.take(event, &mut turn);
                self.end_turn(cx, turn)
            }
            Err(violation) => {
                self.fail(violation);
                Ok(())
            }
        }
    }

    /// Answers what is in `bytes` and returns how many of them; there are more only with compressed messages, if these
    /// are too much for one turn.
    fn process(&mut self, cx: &mut Context<'_>, bytes: &mut [u8]) -> io::Result<usize> {
        self.hear();
        let len = bytes.len();
        let mut turn = Turn::new(self.wants(), bytes);
        while matches!(self.closing, Closing::Open | Closing::Sent) && !self.is_compressing() {
            if let Err(violation) = self.echo_short(&mut turn) {
                self.fail(violation);
                break;
            }
            match self.receiver.next(&mut turn.window, &mut self.account) {
                Ok(Some(event)) => self.take(event, &mut turn),
                Ok(None) => break,
                Err(violation) => self.fail(violation),
            }
        }
        let taken = match self.closing {
            Closing::Open | Closing::Sent => turn.window.read,
            // Nobody wants the rest.
            Closing::Due(_) | Closing::Done => len,
        };
        self.end_turn(cx, turn).map(|()| taken)
    }

    fn end_turn(&mut self, cx: &mut Context<'_>, mut turn: Turn<'_>) -> io::Result<()> {
        turn.count(self.counters());
        if let Some(mut batch) = turn.batch.take() {
            batch.trim();
            self.seated
                .desk
                .shared
                .handler
                .on_messages(&self.client, batch);
        }
        if turn.has_output() || !self.out.is_empty() {
            self.send(cx, turn.output())?;
        }
        Ok(())
    }

    fn keep(&mut self, bytes: Vec<u8>) {
        self.is_over |= !self.out.keep(bytes, &mut self.account);
    }

    /// Sends what waits and then `tail`; `false` if some of it has to wait.
    fn send(&mut self, cx: &mut Context<'_>, tail: &[u8]) -> io::Result<bool> {
        let sent = self
            .out
            .send(&mut self.stream, cx, tail, &mut self.account, &self.client)?;
        self.counters().bytes_sent.add(sent.bytes as u64);
        self.is_over |= !sent.fits;
        Ok(sent.all)
    }

    /// Ends the connection for what the client did, after the answers to everything before it.
    fn fail(&mut self, violation: Violation) {
        match self.closing {
            Closing::Open => {
                self.counters().violations.add(1);
                self.closing = Closing::Due(violation.close_frame());
                self.ended = Some((violation.code, violation.reason.into_owned()));
            }
            Closing::Sent => self.closing = Closing::Done,
            Closing::Due(_) | Closing::Done => {}
        }
    }

    /// The memory limit leaves no room for what is to be sent: nothing follows but the close frame. No violation, since
    /// the client did nothing for it.
    fn exhaust(&mut self) {
        if !self.closing.may_send() {
            return;
        }
        let why = Violation::no_memory(self.account.limit());
        self.give_up_answers();
        self.abandon_compressing();
        self.closing = Closing::Due(why.close_frame());
        if self.ended.is_none() {
            self.ended = Some((why.code, why.reason.into_owned()));
        }
    }

    /// The close frame that is due goes out once everything before it has been answered.
    fn settle_close(&mut self) {
        if self.is_all_answered()
            && let Closing::Due(last) = &mut self.closing
        {
            let last = mem::take(last);
            self.send_close(last, Closing::Done);
        }
    }

    /// Sends our close frame now: the one that is due, or one that begins the closing handshake from our side.
    fn close(&mut self, code: u16, reason: &str) {
        let (frame, then) = match &mut self.closing {
            Closing::Open => {
                self.ended = Some((code, reason.to_owned()));
                let payload = close::payload(code, reason);
                (server_frame(Opcode::Close, &payload), Closing::Sent)
            }
            Closing::Due(last) => (mem::take(last), Closing::Done),
            Closing::Sent | Closing::Done => return,
        };
        self.give_up_answers();
        self.flush_plain();
        self.send_close(frame, then);
    }

    fn send_close(&mut self, frame: Vec<u8>, then: Closing) {
        self.closing = then;
        self.client.set_closing();
        // From here on only the client can hold it up.
        self.keep(frame);
        self.start_close_timer();
    }

    /// Answers that are not there yet will not be sent any more, nor what is held behind them.
    fn give_up_answers(&mut self) {
        for slot in mem::take(&mut self.slots) {
            if let Slot::Held(chunk) = slot {
                chunk.free(&mut self.account);
            }
        }
        self.unanswered = 0;
        self.unanswered_bytes = 0;
        self.gate = Gate::Open;
    }

    fn start_close_timer(&mut self) {
        let config = &self.seated.desk.shared.config;
        self.timers
            .get_or_insert_with(|| Timers::new(config))
            .close_within(config.close_timeout);
    }

    fn obey(&mut self, order: Order) -> std::ops::ControlFlow<()> {
        match order {
            Order::Admit => {
                self.gate = Gate::Open;
                self.hear();
            }
            Order::Replies(replies) => self.take_replies(replies),
            Order::Send(kind, payload) if self.compressing.is_some() => {
                self.compress_order(kind, payload);
            }
            Order::Send(kind, payload) => {
                let sent = self.put_order(server_frame(kind.opcode(), &payload), payload.len());
                self.counters().messages_sent.add(u64::from(sent));
            }
            Order::Ping(payload) => {
                if self.put_order(server_frame(Opcode::Ping, &payload), payload.len()) {
                    let config = &self.seated.desk.shared.config;
                    self.timers
                        .get_or_insert_with(|| Timers::new(config))
                        .sent_ping(payload);
                }
            }
            Order::Close(code, reason) => self.close(code, &reason),
            Order::Abort => return std::ops::ControlFlow::Break(()),
        }
        std::ops::ControlFlow::Continue(())
    }

    /// A frame of the application's, which has taken room in the send queue for `len` bytes: `false` if it comes too
    /// late.
    fn put_order(&mut self, frame: Vec<u8>, len: usize) -> bool {
        let cost = client::cost(len);
        let may_send = self.closing.may_send();
        if may_send {
            self.keep(frame);
            self.out.count_last(cost);
        } else {
            self.client.release(cost);
        }
        may_send
    }

    fn counters(&self) -> &Counters {
        self.seated.desk.counters()
    }

    /// What time brings; ready when the connection ends for it.
    fn poll_timers(&mut self, cx: &mut Context<'_>) -> Poll<Option<End>> {
        // While our side does not read, because callbacks are behind, silence is no sign of the client's.
        let is_ours = !self.may_read();
        let is_awaited = !self.slots.is_empty() || self.gate == Gate::Later;
        let is_open = matches!(self.closing, Closing::Open);
        let Some(timers) = &mut self.timers else {
            return Poll::Pending;
        };
        match ready!(timers.poll(cx, is_open)) {
            Alarm::Ping(payload) => self.keep(server_frame(Opcode::Ping, &payload)),
            Alarm::Idle if is_ours || is_awaited => timers.hear(),
            Alarm::NoPong if is_ours => timers.forgive(),
            Alarm::Idle => {
                let reason = format!(
                    "nothing was received for idle_timeout of {:?}",
                    self.config().idle_timeout.unwrap_or_default()
                );
                self.close(close::GOING_AWAY, &reason);
            }
            Alarm::NoPong => {
                let reason = format!(
                    "no pong within ping_timeout of {:?}",
                    self.config().ping_timeout
                );
                self.close(close::INTERNAL_ERROR, &reason);
            }
            Alarm::NoClose => return Poll::Ready(Some(End::Drop)),
        }
        Poll::Ready(None)
    }

    fn config(&self) -> &Config {
        &self.seated.desk.shared.config
    }

    fn hear(&mut self) {
        if let Some(timers) = &mut self.timers {
            timers.hear();
        }
    }

    fn wants(&self) -> Wants {
        self.seated.desk.shared.handler.wants()
    }
}

impl<S> Connection<S> {
    /// Gives back what the client had of the server, announces that it is gone, and hands out what the end of TCP needs.
    pub(super) fn leave(&mut self) -> (&mut S, &Seated) {
        if !mem::replace(&mut self.left, true) {
            self.receiver.release(&mut self.account);
            self.out.abandon(&self.client);
            if let Some(compressing) = &mut self.compressing {
                compressing.abandon(&self.client);
            }
            let (code, reason) = self
                .ended
                .take()
                .unwrap_or((close::ABNORMAL, String::new()));
            self.client.set_ended(code, reason);
            // Between the end and the look at who wants to hear of it: whoever begins to want it between the two
            // looks for the end after that (`PyClient::of`).
            fence(Ordering::SeqCst);
            let shared = &self.seated.desk.shared;
            self.receiver = Receiver::new(0);
            self.out = Outbox::default();
            self.slots = VecDeque::new();
            self.rest = Vec::new();
            self.compressing = None;
            self.timers = None;
            self.account = Account::new(shared.memory.clone());
            shared.open.fetch_sub(1, Ordering::Relaxed);
            self.seated.desk.delist(&self.client);
            if shared.handler.wants().has(Wants::CLOSE) {
                shared.handler.on_close(&self.client);
            }
        }
        (&mut self.stream, &self.seated)
    }
}

impl<S> Drop for Connection<S> {
    fn drop(&mut self) {
        self.leave();
    }
}
