//! The part of the receiver that takes compressed messages (RFC 7692 section 7.2.2): what comes is inflated at once, and
//! limits and UTF-8 are checked on what comes out.

use super::Receiver;
use super::event::Event;
use crate::protocol::account::Account;
use crate::protocol::deflate::inflating::{Failure, Inflation};
use crate::protocol::deflate::scratch::{STEP, with_scratch};
use crate::protocol::message::Kind;
use crate::protocol::violation::Violation;
use crate::protocol::window::Window;
use crate::protocol::{close, masking};

/// Bytes of compressed payload that are unmasked at a time: few of them may become very much.
const PIECE: usize = 8 << 10;

fn failed(failure: &Failure, account: &Account) -> Violation {
    match failure {
        Failure::Invalid => Violation {
            code: close::INVALID_PAYLOAD,
            reason: "compressed payload is not valid DEFLATE (RFC 7692 section 7.2.2)".into(),
        },
        Failure::Exhausted => account.exhausted(),
    }
}

impl Receiver {
    /// Whether a compressed message has begun.
    #[must_use]
    pub const fn is_inflating(&self) -> bool {
        self.compressed && self.kind.is_some()
    }

    /// Payload of a frame of a compressed message, and what is yet to come out of what came before.
    pub(super) fn inflate(
        &mut self,
        window: &mut Window<'_>,
        budget: &mut usize,
        account: &mut Account,
    ) -> Result<Option<Event>, Violation> {
        let Some(mut deflate) = self.deflate.take() else {
            return Ok(None);
        };
        let inflated = self.inflate_with(&mut deflate, window, budget, account);
        if inflated.is_err() {
            // Nothing will come of it, and it may be much.
            self.take_partial().release(account);
            deflate.release(account);
        }
        self.deflate = Some(deflate);
        inflated
    }

    fn inflate_with(
        &mut self,
        deflate: &mut Inflation,
        window: &mut Window<'_>,
        budget: &mut usize,
        account: &mut Account,
    ) -> Result<Option<Event>, Violation> {
        loop {
            deflate.is_behind = *budget == 0;
            if deflate.is_behind {
                return Ok(None);
            }
            let from = window.read;
            let len = self.missing.min(window.bytes.len() - from).min(PIECE);
            masking::unmask(window.bytes, from, from, len, self.key);
            let input = &window.bytes[from..from + len];
            let step = with_scratch(|scratch| {
                // One byte more than may be tells that it is too much.
                let room = self.room().saturating_add(1);
                let output = &mut scratch[..room.min(STEP)];
                let step = deflate
                    .step(input, output, self.partial(), budget, account)
                    .map_err(|failure| failed(&failure, account))?;
                let is_all = self.fin && step.is_drained && step.consumed == self.missing;
                self.take_inflated(&output[..step.produced], is_all, account)?;
                Ok(step)
            })?;
            self.key = masking::rotate(self.key, step.consumed);
            window.read += step.consumed;
            self.missing -= step.consumed;
            // What was not taken will be unmasked when it is.
            let (rest, left) = (window.read, len - step.consumed);
            masking::unmask(window.bytes, rest, rest, left, self.key);
            if !step.is_drained || left > 0 {
                continue;
            }
            if self.missing == 0 {
                return self.end_inflated(deflate, budget, account);
            }
            if window.read == window.bytes.len() {
                return Ok(None);
            }
        }
    }

    /// Checks and keeps the next bytes of an inflated message, which are its last if `is_all`.
    fn take_inflated(
        &mut self,
        piece: &[u8],
        is_all: bool,
        account: &mut Account,
    ) -> Result<(), Violation> {
        let room = self.room();
        if piece.len() > room {
            return Err(Violation::message_too_big(self.terms.message));
        }
        if self.kind == Some(Kind::Text) {
            self.utf8.push(piece).or(Err(Violation::TEXT))?;
        }
        // In chunks of one size from some length on: those of a thousand messages that grow at once, and end at once,
        // would leave the allocator with three times as much as is used.
        let expected = if is_all { piece.len() } else { room.min(STEP) };
        match self.partial().push(piece, expected, account) {
            Ok(()) => Ok(()),
            Err(_) => Err(account.exhausted()),
        }
    }

    /// The end of a frame of a compressed message; all that came of it is there.
    fn end_inflated(
        &mut self,
        deflate: &mut Inflation,
        budget: &mut usize,
        account: &mut Account,
    ) -> Result<Option<Event>, Violation> {
        self.inside = false;
        if !self.fin {
            return Ok(None);
        }
        deflate
            .finish(self.partial(), budget, account)
            .map_err(|failure| failed(&failure, account))?;
        self.utf8.finish().or(Err(Violation::TEXT))?;
        self.compressed = false;
        Ok(Some(Event::Inflated {
            kind: self.end_kind(),
            message: self.take_partial(),
        }))
    }
}
