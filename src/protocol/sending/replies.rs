//! What goes back for the client's messages, in their order.

use super::door::{Door, STEP};
use super::{Effects, Sender};
use crate::protocol::account::Account;
use crate::protocol::deflate::compressing::Compression;
use crate::protocol::frame::{self, AS_IT_IS, MAX_SERVER_HEADER, write_server_header};
use crate::protocol::message::Kind;
use crate::protocol::partial::Partial;
use crate::protocol::window::Window;
use std::ops::Range;

/// Parts of a message, in bytes, that are rather copied than kept in an allocation of their own.
const SMALL: usize = 4 << 10;

impl Sender {
    /// Replies are taken from now on.
    pub fn admit(&mut self) {
        self.slots.admit();
        self.heard();
    }

    /// The echo of a message that came as it is: `parts`, and then the window's `payload`. Short ones may go past it
    /// (`Receiver::echo_short`).
    #[inline]
    pub fn reply(
        &mut self,
        kind: Kind,
        parts: Partial,
        payload: Range<usize>,
        window: &mut Window<'_>,
        account: &mut Account,
        effects: &mut Effects,
    ) {
        let len = parts.len() + payload.len();
        if !self.slots.is_empty() {
            let last = &window.bytes[payload];
            let pieces = parts.pieces().chain([last]);
            if !self.hold_reply(kind, self.mark(), len, pieces, account) {
                self.fail(&account.exhausted(), effects);
            }
            return parts.release(account);
        }
        effects.sent.add(kind, len);
        if parts.is_empty() && payload.start == window.write + frame::server_header_len(len) {
            write_server_header(&mut window.bytes[window.write..], true, kind.opcode(), len);
            window.write = payload.end;
            return;
        }
        if parts.len() <= SMALL && window.join(kind.opcode(), parts.pieces(), payload.clone()) {
            return parts.release(account);
        }
        self.spill(window, account);
        if parts.is_empty() {
            let mut header = [0; MAX_SERVER_HEADER];
            let header_len = write_server_header(&mut header, true, kind.opcode(), len);
            self.output.keep(header[..header_len].to_vec(), account);
        } else {
            self.output.extend(parts.into_frame(kind.opcode(), len));
        }
        // The last part is output where it lies.
        window.begin_tail(payload.start, payload.end);
    }

    /// The echo of a message that came compressed; a long one is compressed in steps, for which `budget` pays.
    pub fn reply_compressed(
        &mut self,
        kind: Kind,
        message: Partial,
        window: &mut Window<'_>,
        budget: &mut usize,
        account: &mut Account,
        effects: &mut Effects,
    ) {
        let len = message.len();
        if !self.slots.is_empty() {
            if !self.hold_reply(kind, 0, len, message.pieces(), account) {
                self.fail(&account.exhausted(), effects);
            }
            return message.release(account);
        }
        effects.sent.add(kind, len);
        let door = self.door.as_ref();
        let is_short = door.is_none_or(|door| door.is_short(len));
        if !is_short && len > STEP {
            let payload = message.into_chunks();
            let opcode = Some(kind.opcode());
            return self.enqueue(opcode, payload, false, 0, account, effects);
        }
        if !is_short {
            *budget = budget.saturating_sub(Compression::cost(len));
        }
        self.spill(window, account);
        let Some(door) = &mut self.door else {
            return message.release(account);
        };
        if door
            .send(kind.opcode(), message, &mut self.output, account)
            .is_err()
        {
            self.exhaust(account, effects);
        }
    }

    /// What an echo is marked with that must not be compressed, because it did not come so.
    #[must_use]
    pub fn mark(&self) -> u8 {
        let door = self.door.as_deref();
        if door.is_some_and(Door::has_compression) {
            AS_IT_IS
        } else {
            0
        }
    }

    pub(super) fn hold_reply<'a>(
        &mut self,
        kind: Kind,
        mark: u8,
        len: usize,
        pieces: impl Iterator<Item = &'a [u8]>,
        account: &mut Account,
    ) -> bool {
        let mut header = [0; MAX_SERVER_HEADER];
        let header_len = write_server_header(&mut header, true, kind.opcode(), len);
        header[0] |= mark;
        self.slots.hold(&header[..header_len], len, pieces, account)
    }

    /// A place for the answer to a message of `len` bytes, which comes later.
    pub fn hold(&mut self, len: usize, account: &mut Account, effects: &mut Effects) {
        if !self.slots.expect(len, account) {
            self.fail(&account.exhausted(), effects);
        }
    }

    /// The answers to the oldest messages that wait for one, and what was held behind them: the `i`-th is
    /// `wire[ends[i - 1]..ends[i]]`, empty for none. They answer messages of `answered` bytes.
    pub fn answer(
        &mut self,
        mut wire: Vec<u8>,
        ends: &[usize],
        answered: usize,
        account: &mut Account,
        effects: &mut Effects,
    ) {
        if !self.may_send() {
            return;
        }
        // Who waits for us is not idle; from here on it may be.
        self.heard();
        self.slots.answered(answered);
        let (mut start, mut before) = (0, 0);
        for &end in ends {
            if !self.slots.answer() {
                // There is nobody whom it could answer.
                wire.truncate(before);
                break;
            }
            before = end;
            while let Some(held) = self.slots.take_held(account) {
                self.put_frames(&mut wire, start..end, account, effects);
                start = end;
                effects.sent.add_frames(held.frames.bytes());
                if self.door.is_some() {
                    self.enqueue_frames(held.frames.bytes(), account, effects);
                    held.frames.free(account);
                } else {
                    self.output.push(held.frames);
                }
            }
        }
        let end = wire.len();
        self.put_frames(&mut wire, start..end, account, effects);
        self.settle(account, effects);
    }

    /// Whole frames of answers, which are all of `wire` if possible. They are counted.
    fn put_frames(
        &mut self,
        wire: &mut Vec<u8>,
        range: Range<usize>,
        account: &mut Account,
        effects: &mut Effects,
    ) {
        if range.is_empty() {
            return;
        }
        effects.sent.add_frames(&wire[range.clone()]);
        if self.door.is_some() {
            self.enqueue_frames(&wire[range], account, effects);
        } else if range.len() == wire.len() {
            self.output.keep(std::mem::take(wire), account);
        } else {
            self.output.keep(wire[range].to_vec(), account);
        }
    }

    /// Moves the output out of the window, so that something else can follow it.
    pub(super) fn spill(&mut self, window: &mut Window<'_>, account: &mut Account) {
        if let Some(tail) = window.take_tail() {
            self.output.keep(tail, account);
        }
    }
}
