//! What a connection does with what its client sends, and the order of the replies: native echoes lie in the read
//! buffer, answers of the handler come later, and nothing overtakes what was asked before it.

use super::{Closing, Connection, Slot};
use crate::handler::{Batch, Wants};
use crate::memory::Account;
use crate::order::Replies;
use crate::protocol::Violation;
use crate::protocol::close;
use crate::protocol::frame::{self, Opcode, server_frame};
use crate::protocol::message::{Event, Kind, Window};
use crate::protocol::partial::{Chunk, Partial};
use crate::server::stats::Counters;
use std::ops::Range;
use tokio::io::{AsyncRead, AsyncWrite};

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// The shortest way there is, while nothing stands in it: no callback wants messages, and no answer is awaited.
    #[inline]
    pub(super) fn echo_short(&mut self, turn: &mut Turn<'_>) -> Result<(), Violation> {
        let is_free = matches!(self.closing, Closing::Open)
            && self.slots.is_empty()
            && !turn.wants.has(Wants::TEXT | Wants::BINARY);
        if !is_free {
            return Ok(());
        }
        let (mut texts, mut binaries) = (0, 0);
        let echoed = self
            .receiver
            .echo_short(&mut turn.window, |kind| match kind {
                Kind::Text => texts += 1,
                Kind::Binary => binaries += 1,
            });
        turn.texts += texts;
        turn.binaries += binaries;
        turn.sent += texts + binaries;
        echoed
    }

    pub(super) fn take(&mut self, event: Event, turn: &mut Turn<'_>) {
        if matches!(self.closing, Closing::Sent) {
            // After our close frame nothing may be sent, so only the client's matters.
            match event {
                Event::Close(_) => self.closing = Closing::Done,
                Event::Message { parts: message, .. } | Event::Inflated { message, .. } => {
                    message.release(&mut self.account);
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
            } => self.take_message(kind, parts, payload, turn),
            Event::Inflated { kind, message } => self.take_inflated(kind, message, turn),
            Event::Ping(ping) => {
                turn.pings += 1;
                self.put(turn, Opcode::Pong, ping.payload());
            }
            Event::Pong(pong) => {
                turn.pongs += 1;
                if let Some(rtt) = self
                    .timers
                    .as_mut()
                    .and_then(|timers| timers.pong(pong.payload()))
                {
                    self.client.set_rtt(rtt);
                }
            }
            Event::Close(payload) => {
                // The receiver has checked it, so this is not an error.
                let said = close::parse(payload.payload()).ok().flatten();
                let (code, reason) = said.map_or((close::NO_STATUS, ""), |said| said);
                self.ended = Some((code, reason.to_owned()));
                let answer = match said {
                    Some(_) => payload.payload().to_vec(),
                    None => close::payload(close::NORMAL, ""),
                };
                self.closing = Closing::Due(server_frame(Opcode::Close, &answer));
            }
        }
    }

    #[inline]
    fn take_message(
        &mut self,
        kind: Kind,
        parts: Partial,
        payload: Range<usize>,
        turn: &mut Turn<'_>,
    ) {
        turn.count_received(kind);
        // An echo of what came uncompressed goes back so.
        let mark = if self.compressing.is_some() {
            frame::AS_IT_IS
        } else {
            0
        };
        if turn.wants.has_kind(kind) {
            return self.give_message(kind, parts, payload, mark, turn);
        }
        if !self.slots.is_empty() {
            return self.hold_message(kind, parts, payload, mark, turn);
        }
        let len = parts.len() + payload.len();
        let window = &mut turn.window;
        if parts.is_empty() && payload.start == window.write + frame::server_header_len(len) {
            frame::write_server_header(&mut window.bytes[window.write..], true, kind.opcode(), len);
            window.write = payload.end;
        } else {
            self.spill(turn);
            if parts.is_empty() {
                let mut header = [0; frame::MAX_SERVER_HEADER];
                let header_len = frame::write_server_header(&mut header, true, kind.opcode(), len);
                self.keep(header[..header_len].to_vec());
            } else {
                self.out.extend(parts.into_frame(kind.opcode(), len));
            }
            // The last part is output where it lies.
            turn.base = payload.start;
            turn.window.write = payload.end;
        }
        turn.sent += 1;
    }

    fn take_inflated(&mut self, kind: Kind, message: Partial, turn: &mut Turn<'_>) {
        turn.count_received(kind);
        if turn.wants.has_kind(kind) {
            self.give_message(kind, message, 0..0, 0, turn);
        } else if !self.slots.is_empty() {
            self.hold_message(kind, message, 0..0, 0, turn);
        } else {
            self.echo_compressed(kind, message, turn);
        }
    }

    /// A message for the handler; `mark` goes into the first byte of its frame.
    fn give_message(
        &mut self,
        kind: Kind,
        parts: Partial,
        payload: Range<usize>,
        mark: u8,
        turn: &mut Turn<'_>,
    ) {
        let len = parts.len() + payload.len();
        let memory = &self.seated.desk.shared.memory;
        // What is yet to be looked at gets shorter: a server's header has no key.
        let unread = turn.window.bytes.len() - turn.window.read;
        let room = frame::server_header_len(len) + len + unread;
        let batch = turn
            .batch
            .get_or_insert_with(|| Batch::new(Account::new(memory.clone()), room));
        let fits = batch.push(
            kind,
            len,
            parts.pieces().chain([&turn.window.bytes[payload]]),
        );
        batch.mark_last(mark);
        parts.release(&mut self.account);
        self.unanswered += 1;
        self.unanswered_bytes += len;
        match self.slots.back_mut() {
            Some(Slot::Awaited(count)) => *count += 1,
            _ => self.slots.push_back(Slot::Awaited(1)),
        }
        if !fits {
            self.fail(Violation::no_memory(self.account.limit()));
        }
    }

    /// A native echo that has to wait for the answers before it.
    fn hold_message(
        &mut self,
        kind: Kind,
        parts: Partial,
        payload: Range<usize>,
        mark: u8,
        turn: &mut Turn<'_>,
    ) {
        let last = &turn.window.bytes[payload];
        let mut message = parts.pieces().collect::<Vec<_>>().concat();
        message.extend_from_slice(last);
        parts.release(&mut self.account);
        let mut frame = server_frame(kind.opcode(), &message);
        frame[0] |= mark;
        self.unanswered += 1;
        self.unanswered_bytes += frame.len();
        if !self.account.charge_anyway(frame.len()) {
            self.fail(Violation::no_memory(self.account.limit()));
        }
        let charged = frame.len();
        self.slots.push_back(Slot::Held(Chunk::new(frame, charged)));
    }

    /// A frame of ours among the output: in place if there is room before what is yet to be read.
    fn put(&mut self, turn: &mut Turn<'_>, opcode: Opcode, payload: &[u8]) {
        let window = &mut turn.window;
        let header_len = frame::server_header_len(payload.len());
        if window.write + header_len + payload.len() <= window.read {
            frame::write_server_header(
                &mut window.bytes[window.write..],
                true,
                opcode,
                payload.len(),
            );
            window.write += header_len;
            window.bytes[window.write..window.write + payload.len()].copy_from_slice(payload);
            window.write += payload.len();
        } else {
            self.spill(turn);
            self.keep(server_frame(opcode, payload));
        }
    }

    /// Moves the output so far out of the window, so that something else can follow it.
    pub(super) fn spill(&mut self, turn: &mut Turn<'_>) {
        if turn.has_output() {
            self.keep(turn.output().to_vec());
            turn.base = turn.window.write;
        }
    }

    /// Answers to the oldest messages that wait for one, and what was held behind them.
    pub(super) fn take_replies(&mut self, replies: Replies) {
        if !self.closing.may_send() {
            return;
        }
        // Who waits for us is not idle; from here on it may be.
        self.hear();
        self.unanswered = self.unanswered.saturating_sub(replies.ends.len());
        self.unanswered_bytes = self.unanswered_bytes.saturating_sub(replies.answered);
        if self.compressing.is_some() {
            return self.compress_replies(&replies);
        }
        let Replies { mut wire, ends, .. } = replies;
        let (mut start, mut before, mut sent) = (0, 0, 0);
        for &end in &ends {
            sent += u64::from(end > before);
            before = end;
            if !self.take_awaited() {
                break;
            }
            if matches!(self.slots.front(), Some(Slot::Held(_))) {
                if start < end {
                    self.keep(wire[start..end].to_vec());
                }
                start = end;
                self.send_held();
            }
        }
        if start < wire.len() {
            self.keep(if start == 0 {
                wire
            } else {
                wire.split_off(start)
            });
        }
        self.counters().messages_sent.add(sent);
    }

    /// An answer has come: `false` if none is awaited.
    pub(super) fn take_awaited(&mut self) -> bool {
        let Some(Slot::Awaited(count)) = self.slots.front_mut() else {
            return false;
        };
        *count -= 1;
        if *count == 0 {
            self.slots.pop_front();
        }
        true
    }

    pub(super) fn send_held(&mut self) {
        while let Some(Slot::Held(_)) = self.slots.front() {
            if let Some(Slot::Held(chunk)) = self.slots.pop_front() {
                self.counters().messages_sent.add(1);
                self.unanswered = self.unanswered.saturating_sub(1);
                self.unanswered_bytes = self.unanswered_bytes.saturating_sub(chunk.bytes().len());
                if self.compressing.is_some() {
                    self.compress_frames(chunk.bytes());
                    chunk.free(&mut self.account);
                } else {
                    self.out.push(chunk);
                }
            }
        }
    }
}

/// What one read brings and what goes out for it: `window.bytes[base..window.write]`, behind all other output.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    pub(super) window: Window<'a>,
    base: usize,
    wants: Wants,
    pub(super) batch: Option<Batch>,
    texts: u64,
    binaries: u64,
    sent: u64,
    pings: u64,
    pongs: u64,
}

impl<'a> Turn<'a> {
    pub(super) const fn new(wants: Wants, bytes: &'a mut [u8]) -> Self {
        let window = Window {
            bytes,
            read: 0,
            write: 0,
        };
        Self {
            window,
            base: 0,
            wants,
            batch: None,
            texts: 0,
            binaries: 0,
            sent: 0,
            pings: 0,
            pongs: 0,
        }
    }

    const fn count_received(&mut self, kind: Kind) {
        match kind {
            Kind::Text => self.texts += 1,
            Kind::Binary => self.binaries += 1,
        }
    }

    pub(super) const fn count_sent(&mut self) {
        self.sent += 1;
    }

    pub(super) const fn has_output(&self) -> bool {
        self.base < self.window.write
    }

    pub(super) fn output(&self) -> &[u8] {
        &self.window.bytes[self.base..self.window.write]
    }

    pub(super) fn count(&self, counters: &Counters) {
        counters.text_messages_received.add(self.texts);
        counters.binary_messages_received.add(self.binaries);
        counters.messages_sent.add(self.sent);
        counters.pings_received.add(self.pings);
        counters.pongs_received.add(self.pongs);
    }
}
