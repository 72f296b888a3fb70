//! What a read has brought: echoes where they lie, messages for the handler, answers to control frames.

use super::Connection;
use super::turn::Turn;
use crate::faults::action::State;
use crate::handler::{Batch, Wants};
use crate::protocol::account::Account;
use crate::protocol::frame::{self, Opcode};
use crate::protocol::message::Kind;
use crate::protocol::partial::Partial;
use crate::protocol::receiving::Event;
use crate::protocol::tally::Tally;
use crate::protocol::violation::Violation;
use crate::protocol::window::Window;
use crate::server::wire::Wire;
use std::io;
use std::ops::Range;
use std::task::Context;

/// Messages of a read for which there is room at once in what the handler gets; for more of them it grows.
const MOST_AT_ONCE: usize = 256;
/// What keeps messages from the shortest way.
const SEEN: Wants = Wants::from_bits(APART.bits() | Wants::RECORD.bits());
/// What has each of them looked at.
pub(super) const APART: Wants =
    Wants::from_bits(Wants::MESSAGES.bits() | Wants::SILENCE.bits() | Wants::SLOW.bits());

impl<W: Wire> Connection<W> {
    /// The end of a long message, or a further part of it.
    pub(super) fn take_spare(
        &mut self,
        cx: &mut Context<'_>,
        len: usize,
        turn: &mut Turn,
    ) -> io::Result<()> {
        self.sender.heard();
        turn.wants = self.seated.desk.shared.wants() | self.own;
        let mut window = Window::new(&mut []);
        match self.receiver.filled(len) {
            Ok(None) => {}
            Ok(Some(event)) => self.take(event, &mut window, turn),
            Err(violation) => self.sender.fail(&violation, &mut turn.effects),
        }
        self.end_read(cx, &window, turn)
    }

    /// Answers what is in `bytes` and returns how many of them; there are more only with compressed messages, or
    /// such about which faults decide, if these are too much for one turn.
    pub(super) fn process(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut [u8],
        turn: &mut Turn,
    ) -> io::Result<usize> {
        self.sender.heard();
        turn.wants = self.seated.desk.shared.wants() | self.own;
        let len = bytes.len();
        let mut window = Window::new(bytes);
        while self.sender.takes_input() && !self.sender.has_waiting() {
            if turn.budget == 0 && self.sender.has_doorkeeper() {
                // It has decided about as many messages as it may at once, also if none of them is sent.
                break;
            }
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
        if turn.wants.has(SEEN) || !self.sender.is_free() {
            if turn.wants.has(APART) {
                return Ok(());
            }
            return self.echo_recorded(window, turn);
        }
        self.echo_here(window, turn)
    }

    /// The same, whatever stands in it.
    #[inline]
    pub(super) fn echo_here(
        &mut self,
        window: &mut Window<'_>,
        turn: &mut Turn,
    ) -> Result<(), Violation> {
        let mut tally = Tally::default();
        let count = |kind, len| tally.add(kind, len);
        let echoed = self.receiver.echo_short(window, count);
        turn.echoed(tally);
        echoed
    }

    #[inline]
    fn take(&mut self, event: Event, window: &mut Window<'_>, turn: &mut Turn) {
        if !self.sender.may_send() {
            // After our close frame only the client's matters.
            match event {
                Event::Close(payload) => self.sender.closed(payload.payload()),
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
            } => {
                turn.messages.add(kind, parts.len() + payload.len());
                if turn.wants.passes(kind) {
                    self.forget_frames(turn);
                    let (account, effects) = (&mut self.account, &mut turn.effects);
                    self.sender
                        .reply(kind, parts, payload, window, account, effects);
                } else {
                    self.take_apart(kind, parts, payload, true, window, turn);
                }
            }
            Event::Inflated { kind, message } => {
                turn.messages.add(kind, message.len());
                if turn.wants.passes(kind) {
                    let account = &mut self.account;
                    let (budget, effects) = (&mut turn.budget, &mut turn.effects);
                    self.sender
                        .reply_compressed(kind, message, window, budget, account, effects);
                } else {
                    self.take_apart(kind, message, 0..0, false, window, turn);
                }
            }
            Event::Ping(ping) => {
                turn.counts.pings_received += 1;
                if turn.wants.has(Wants::SLOW) && self.holds(State::NoPong) {
                    return;
                }
                self.sender
                    .send_control(Opcode::Pong, ping.payload(), window, &mut self.account);
            }
            Event::Pong(pong) => {
                turn.counts.pongs_received += 1;
                let is_answer = self.sender.ponged(pong.payload());
                if turn.wants.has(Wants::RECORD) {
                    self.see_pong(pong.payload(), turn);
                }
                if is_answer && turn.wants.has(Wants::PONG) {
                    self.give_pong(pong.payload(), turn);
                }
            }
            Event::Close(close) => {
                if turn.wants.has(Wants::SLOW) && self.holds(State::NoCloseReply) {
                    self.sender.closed_unanswered(close.payload());
                } else {
                    self.sender.closed(close.payload());
                }
            }
        }
    }

    /// A message that somebody wants to see, or about which faults decide. `is_plain`: it did not come compressed.
    fn take_apart(
        &mut self,
        kind: Kind,
        parts: Partial,
        payload: Range<usize>,
        is_plain: bool,
        window: &mut Window<'_>,
        turn: &mut Turn,
    ) {
        if !self.see(kind, &parts, &payload, window, turn) {
            let mark = if is_plain { self.sender.mark() } else { 0 };
            return self.give(kind, mark, parts, payload, window, turn);
        }
        self.forget_frames(turn);
        let account = &mut self.account;
        let (budget, effects) = (&mut turn.budget, &mut turn.effects);
        if turn.wants.has(Wants::SLOW) && self.sender.has_doorkeeper() {
            self.sender.reply_judged(
                kind, parts, payload, is_plain, window, budget, account, effects,
            );
        } else if is_plain {
            self.sender
                .reply(kind, parts, payload, window, account, effects);
        } else {
            self.sender
                .reply_compressed(kind, parts, window, budget, account, effects);
        }
    }

    /// The frames of a message of which nobody is told are not those of the next.
    fn forget_frames(&mut self, turn: &Turn) {
        if turn.wants.has(Wants::FRAMES) {
            drop(self.receiver.take_frames(&mut self.account));
        }
    }

    /// A message for the handler, or for nobody; `mark` goes into the first byte of its frame.
    fn give(
        &mut self,
        kind: Kind,
        mark: u8,
        parts: Partial,
        payload: Range<usize>,
        window: &Window<'_>,
        turn: &mut Turn,
    ) {
        let frames = self.receiver.take_frames(&mut self.account);
        if !turn.wants.has_kind(kind) {
            return parts.release(&mut self.account);
        }
        let len = parts.len() + payload.len();
        let memory = &self.seated.desk.shared.memory;
        // What is yet to be looked at gets shorter: a server's header has no key.
        let unread = window.bytes.len() - window.read;
        let room = frame::server_header_len(len) + len + unread;
        let batch = turn.batch.get_or_insert_with(|| {
            // Mostly it is one, or they are of one length.
            let count = 1 + (unread / (len + frame::MIN_CLIENT_HEADER)).min(MOST_AT_ONCE);
            Batch::new(Account::new(memory.clone()), room, count)
        });
        let pieces = parts.pieces().chain([&window.bytes[payload]]);
        let fits = batch.push(kind, mark, len, pieces);
        let fits = fits && (frames.is_empty() || batch.push_frames(frames));
        parts.release(&mut self.account);
        let effects = &mut turn.effects;
        self.sender.hold(len, &mut self.account, effects);
        if !fits {
            self.sender.fail(&self.account.exhausted(), effects);
        }
    }

    /// An answer to a ping for the handler, behind the messages before it.
    #[inline(never)]
    fn give_pong(&mut self, payload: &[u8], turn: &mut Turn) {
        if turn.batch.is_some() {
            self.hand_over(turn);
        }
        self.client.know();
        let handler = &self.seated.desk.shared.handler;
        handler.on_pong(&self.client, payload);
    }

    fn end_read(
        &mut self,
        cx: &mut Context<'_>,
        window: &Window<'_>,
        turn: &mut Turn,
    ) -> io::Result<()> {
        // Whoever gets a message or an echo of this read may look at what is counted.
        if turn.batch.is_some() | turn.wants.has(Wants::RECORD | Wants::SUMMARY) {
            self.hand_over(turn);
        } else {
            turn.apply(self.counters(), &self.client);
        }
        if window.has_tail() || !self.sender.is_flushed() {
            self.send(cx, window.tail(), turn)?;
        }
        Ok(())
    }

    /// Gives the record and the handler what they want of a read.
    #[inline(never)]
    fn hand_over(&mut self, turn: &mut Turn) {
        if turn.batch.is_some() {
            self.tick(turn);
        }
        match &self.seated.desk.shared.record {
            Some(record) => self.record_so_far(record, turn).goes_on(),
            None => self.apply(turn),
        }
        if let Some(mut batch) = turn.batch.take() {
            batch.trim();
            let handler = &self.seated.desk.shared.handler;
            self.client.know();
            handler.on_messages(&self.client, batch);
        }
    }
}
