//! What a doorkeeper does to a sender: it decides about each message, and how the stream ends.

use super::closing::{Cause, Closing, Due};
use super::door;
use super::times::Times;
use super::{Cut, Doorkeeper, Effects, Passing, Sender};
use crate::protocol::account::Account;
use crate::protocol::frame::Opcode;
use crate::protocol::message::Kind;
use crate::protocol::partial::{Chunk, Partial};
use crate::protocol::window::Window;
use std::ops::Range;
use std::rc::Rc;
use std::time::Instant;

impl Sender {
    /// Has a doorkeeper decide from the next message on, or nobody.
    pub fn attach(&mut self, doorkeeper: Option<Rc<dyn Doorkeeper>>) {
        if doorkeeper.is_some() || self.door.is_some() {
            self.door.get_or_insert_default().attach(doorkeeper);
        }
        self.leave_door();
    }

    /// Whether one decides.
    #[must_use]
    pub fn has_doorkeeper(&self) -> bool {
        self.door.as_ref().is_some_and(|door| door.has_doorkeeper())
    }

    /// Has no door any more, if everything can go out without it.
    pub(super) fn leave_door(&mut self) {
        if self.door.as_ref().is_some_and(|door| door.is_needless()) {
            self.door = None;
        }
    }

    /// The echo of a message, `parts` and then the window's `payload`, about which a doorkeeper decides.
    #[expect(
        clippy::too_many_arguments,
        reason = "as the other replies have it, and what they cost"
    )]
    pub fn reply_judged(
        &mut self,
        kind: Kind,
        parts: Partial,
        payload: Range<usize>,
        is_plain: bool,
        window: &mut Window<'_>,
        budget: &mut usize,
        account: &mut Account,
        effects: &mut Effects,
    ) {
        let len = parts.len() + payload.len();
        let last = &window.bytes[payload];
        if !self.slots.is_empty() {
            let mark = if is_plain { self.mark() } else { 0 };
            let pieces = parts.pieces().chain([last]);
            if !self.hold_reply(kind, mark, len, pieces, account) {
                self.fail(&account.exhausted(), effects);
            }
            return parts.release(account);
        }
        effects.sent.add(kind, len);
        let last = (!last.is_empty()).then(|| last.to_vec());
        self.spill(window, account);
        let mut payload = parts.into_chunks();
        if let Some(last) = last {
            payload.push(self.charged(last, account));
        }
        self.enqueue(Some(kind.opcode()), payload, is_plain, 0, account, effects);
        if !self.has_waiting() {
            // That it is not sent took some time as well.
            *budget = budget.saturating_sub(door::passed(len));
        }
        // What follows in the window need not wait for it then.
        self.work(budget, account, effects);
    }

    /// Asks the doorkeeper about a message, and does what it says.
    pub(super) fn judge(
        &mut self,
        doorkeeper: &dyn Doorkeeper,
        (opcode, mut payload): (Opcode, Vec<Chunk>),
        must_be_plain: bool,
        ticket: usize,
        account: &mut Account,
        effects: &mut Effects,
    ) {
        // Whoever has an opcode has that of a message.
        let kind = Kind::of(opcode).unwrap_or(Kind::Binary);
        let mut passing = Passing::new(kind, &payload);
        // It was counted as one.
        let len = payload.iter().map(|chunk| chunk.bytes().len()).sum();
        effects.sent.take_back(kind, len);
        if self.may_send() {
            doorkeeper.message(&mut passing);
        } else {
            // One before it was the last.
            passing.times = 0;
        }
        let kind = passing.kind();
        let Passing {
            before,
            instead,
            times,
            close,
            ..
        } = passing;
        let times = if close.is_some() { 0 } else { times };
        let len = instead.as_ref().map_or(len, |(_, bytes)| bytes.len());
        effects.sent.add_times(kind, len, times);
        if times == 0 || instead.is_some() {
            for chunk in payload.drain(..) {
                chunk.free(account);
            }
        }
        if let Some((_, bytes)) = instead.filter(|_| times > 0) {
            payload.push(self.charged(bytes, account));
        }
        if !before.is_empty() {
            let chunk = self.charged(before, account);
            self.push(None, vec![chunk], true, 0, 0, account);
        }
        match times.checked_sub(1) {
            Some(again) => {
                let opcode = Some(kind.opcode());
                self.push(opcode, payload, must_be_plain, ticket, again, account);
            }
            None => self.give_up(ticket, effects),
        }
        if let Some((code, reason)) = close {
            self.close_last(code, &reason, account, effects);
        }
    }

    fn push(
        &mut self,
        opcode: Option<Opcode>,
        payload: Vec<Chunk>,
        must_be_plain: bool,
        ticket: usize,
        again: usize,
        account: &mut Account,
    ) {
        if let Some(door) = &mut self.door
            && !door.push(opcode, payload, must_be_plain, ticket, again, account)
        {
            self.output.note_over();
        }
    }

    fn charged(&mut self, mut bytes: Vec<u8>, account: &mut Account) -> Chunk {
        // Of what a doorkeeper has cut off nothing is kept.
        bytes.shrink_to_fit();
        let charged = bytes.capacity();
        if !account.charge_anyway(charged) {
            self.output.note_over();
        }
        Chunk::new(bytes, charged)
    }

    /// Sends our close frame behind what waits at the door, and nothing else any more.
    pub fn close_last(
        &mut self,
        code: u16,
        reason: &str,
        account: &mut Account,
        effects: &mut Effects,
    ) {
        if !self.may_send() {
            return;
        }
        let mut last = Due::new(code, reason, Cause::Ours);
        if let Closing::Due(due) | Closing::Unanswered(due) = std::mem::take(&mut self.closing) {
            // The frame is another one, but what it is for stays.
            last.cause = due.cause;
            if due.cause == Cause::Theirs {
                last.ended = due.ended;
            }
        }
        self.end_with(Box::new(last), account, effects);
    }

    /// Sends this close frame behind what waits at the door.
    pub(super) fn end_with(
        &mut self,
        last: Box<Due>,
        account: &mut Account,
        effects: &mut Effects,
    ) {
        self.slots.clear(account);
        self.closing = Closing::Last(last);
        effects.is_closing = true;
        // It ends also if the client does not take what is sent before.
        self.times
            .get_or_insert_with(|| Box::new(Times::NEW))
            .begin_close();
        self.settle(account, effects);
    }

    /// Ends the stream without a close frame, once all is sent that has left the door. Nothing is read until then.
    pub fn cut(&mut self, cut: Cut, account: &mut Account, effects: &mut Effects) {
        self.slots.clear(account);
        if let Some(door) = &mut self.door {
            let ticket = door.clear(account);
            self.give_up(ticket, effects);
        }
        self.closing = Closing::Cut(cut);
        effects.is_closing = true;
        // It ends also if the client does not take what is sent.
        self.times
            .get_or_insert_with(|| Box::new(Times::NEW))
            .begin_close();
    }

    /// How the stream is to be ended, if it is.
    #[must_use]
    pub const fn cutting(&self) -> Option<Cut> {
        match self.closing {
            Closing::Cut(cut) => Some(cut),
            _ => None,
        }
    }

    /// Our half of the stream has ended, and the client's may last.
    pub fn halved(&mut self) {
        self.closing = Closing::Halved;
        if let Some(times) = &mut self.times {
            times.forget_close();
        }
    }

    /// The time for the closing handshake lasts from `now` on.
    pub fn prolong_close(&mut self, now: Instant) {
        if let Some(times) = &mut self.times {
            times.prolong_close(now, self.settings.close_timeout);
        }
    }

    /// Wants to be told the time from now on.
    pub fn keep_time(&mut self) {
        self.times.get_or_insert_with(|| Box::new(Times::NEW));
    }

    /// Whether our half of the stream has ended, and the client's has not.
    #[must_use]
    pub const fn is_halved(&self) -> bool {
        matches!(self.closing, Closing::Halved)
    }

    /// The client's close frame has come, and is not to be answered before [`Self::answer_close`].
    pub fn closed_unanswered(&mut self, payload: &[u8]) {
        self.closed(payload);
        self.closing = match std::mem::take(&mut self.closing) {
            Closing::Due(due) if due.cause == Cause::Theirs => Closing::Unanswered(due),
            other => other,
        };
    }

    /// Whether a close frame of the client's is not answered, because a doorkeeper wants that.
    #[must_use]
    pub const fn is_unanswered(&self) -> bool {
        matches!(self.closing, Closing::Unanswered(_))
    }

    /// Answers it after all.
    pub fn answer_close(&mut self, account: &mut Account, effects: &mut Effects) {
        self.closing = match std::mem::take(&mut self.closing) {
            Closing::Unanswered(due) => Closing::Due(due),
            other => other,
        };
        self.settle(account, effects);
    }
}
