//! How a conversation ends: our close frame, and what goes before it.

use super::closing::{Cause, Closing, Due, Ended};
use super::times::Times;
use super::{Effects, Sender};
use crate::protocol::account::Account;
use crate::protocol::violation::Violation;

impl Sender {
    /// Sends our close frame now, for `code` and `reason` or for what it is due for already. Answers that are not there
    /// yet are given up.
    pub fn close(&mut self, code: u16, reason: &str, account: &mut Account, effects: &mut Effects) {
        self.begin_close(|| Due::new(code, reason, Cause::Ours));
        match std::mem::take(&mut self.closing) {
            // It decides about what was given before, too.
            Closing::Due(due) if self.has_doorkeeper() => self.end_with(due, account, effects),
            Closing::Last(due) => self.closing = Closing::Last(due),
            closing => {
                self.closing = closing;
                self.hurry(account, effects);
            }
        }
    }

    /// Sends it after the answers that are outstanding, and reads no more until then. Not for whoever still takes messages from
    /// the window, whose echoes it would overtake: that is `fail`.
    pub fn close_later(
        &mut self,
        code: u16,
        reason: &str,
        account: &mut Account,
        effects: &mut Effects,
    ) {
        self.begin_close(|| Due::new(code, reason, Cause::Ours));
        self.settle(account, effects);
    }

    /// The client's close frame has come, with a good payload: ours follows after the answers that are outstanding.
    pub fn closed(&mut self, payload: &[u8]) {
        if let Closing::Sent(ended) = &mut self.closing {
            let ended = std::mem::take(ended);
            self.closing = Closing::Done(ended);
        }
        self.begin_close(|| Due::answer(payload));
    }

    /// The client has done what it may not: our close frame follows after the answers to everything before it.
    pub fn fail(&mut self, violation: &Violation, effects: &mut Effects) {
        match &mut self.closing {
            Closing::Open => {
                effects.violations += 1;
                let Violation { code, reason } = violation;
                self.closing = Closing::Due(Box::new(Due::new(*code, reason, Cause::Failure)));
            }
            Closing::Sent(ended) => self.closing = Closing::Done(std::mem::take(ended)),
            _ => {}
        }
    }

    fn begin_close(&mut self, due: impl FnOnce() -> Due) {
        if matches!(self.closing, Closing::Open) {
            self.closing = Closing::Due(Box::new(due()));
        }
    }

    /// Sends the close frame that is due without waiting for answers.
    pub fn hurry(&mut self, account: &mut Account, effects: &mut Effects) {
        if matches!(self.closing, Closing::Due(_) | Closing::Last(_)) {
            self.slots.clear(account);
            self.send_waiting(account);
            self.settle(account, effects);
        }
    }

    /// What waits for its turn at compression goes out as it is: no other turn comes.
    pub fn send_waiting(&mut self, account: &mut Account) {
        if let Some(door) = &mut self.door {
            door.send_plain(&mut self.output, account);
        }
    }

    /// There is no memory for what has to be sent: nothing follows but the close frame. No violation, since the client
    /// did nothing for it.
    pub(super) fn exhaust(&mut self, account: &mut Account, effects: &mut Effects) {
        if !self.may_send() && !matches!(self.closing, Closing::Last(_)) {
            return;
        }
        self.slots.clear(account);
        if let Some(door) = &mut self.door {
            let ticket = door.clear(account);
            self.give_up(ticket, effects);
        }
        let why = account.exhausted();
        let mut due = Due::new(why.code, &why.reason, Cause::Failure);
        if let Closing::Due(before) | Closing::Unanswered(before) | Closing::Last(before) =
            &mut self.closing
            && before.cause == Cause::Theirs
        {
            due.ended = std::mem::take(&mut before.ended);
        }
        self.closing = Closing::Due(Box::new(due));
        self.settle(account, effects);
    }

    /// The close frame that is due is sent once everything before it is answered. To be called when that may have
    /// changed.
    #[inline]
    pub fn settle(&mut self, account: &mut Account, effects: &mut Effects) {
        if matches!(self.closing, Closing::Due(_) | Closing::Last(_)) && self.is_settled() {
            self.send_close(account, effects);
        }
    }

    fn send_close(&mut self, account: &mut Account, effects: &mut Effects) {
        let (Closing::Due(due) | Closing::Last(due)) = std::mem::take(&mut self.closing) else {
            return;
        };
        let ended = Box::new(due.ended);
        self.closing = match due.cause {
            Cause::Ours => Closing::Sent(ended),
            Cause::Failure | Cause::Theirs => Closing::Done(ended),
        };
        effects.is_closing = true;
        self.output.keep(due.frame, account);
        // Admitted or not, the client's close frame has to be read.
        self.slots.clear(account);
        self.times
            .get_or_insert_with(|| Box::new(Times::NEW))
            .begin_close();
    }

    /// How the connection ended, or how it will: 1006 if there was no close frame.
    #[must_use]
    pub fn end(&mut self) -> Ended {
        std::mem::take(&mut self.closing).ended()
    }
}
