//! Payload of data frames that goes on beyond a window, or is one of several fragments.

use super::event::Event;
use super::{Lent, Receiver};
use crate::protocol::account::Account;
use crate::protocol::frame::MAX_SERVER_HEADER;
use crate::protocol::masking;
use crate::protocol::message::Kind;
use crate::protocol::violation::Violation;
use crate::protocol::window::Window;
use std::ops::Range;

impl Receiver {
    /// A buffer for the payload under way, and how many bytes to read into it; [`Self::filled`] tells what came. None if
    /// a window of `threshold` bytes takes the rest, or much more than the buffer would.
    ///
    /// # Errors
    /// 1013 if the memory limit does not allow it.
    pub fn spare(
        &mut self,
        threshold: usize,
        account: &mut Account,
    ) -> Result<Option<(&mut Vec<u8>, usize)>, Violation> {
        let is_plain = self.inside && !self.opcode.is_control() && !self.compressed;
        if !is_plain || self.missing <= threshold {
            return Ok(None);
        }
        let partial = &mut self.kept.get_or_insert_default().partial;
        if partial.next_room(self.missing) < threshold / 2 {
            return Ok(None);
        }
        match partial.spare(self.missing, account) {
            Ok(spare) => Ok(Some(spare)),
            Err(_) => Err(account.exhausted()),
        }
    }

    /// Takes the `len` bytes that were read into [`Self::spare`]: an event if they ended the message.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn filled(&mut self, len: usize) -> Result<Option<Event>, Violation> {
        let piece = self.kept.get_or_insert_default().partial.filled(len);
        masking::unmask(piece, 0, 0, len, self.key);
        self.key = masking::rotate(self.key, len);
        self.missing -= len;
        if self.kind == Some(Kind::Text) {
            self.utf8.push(piece).or(Err(Violation::TEXT))?;
        }
        if self.missing == 0 {
            self.end_frame(0..0)
        } else {
            Ok(None)
        }
    }

    /// Before [`Self::next`]: the window's buffer can be had if it ends with `least` or more bytes of an unfinished
    /// payload, which then need not be copied. After it, [`Self::wants_buffer`] has to be asked.
    pub fn lend(&mut self, least: usize) {
        self.lent = Lent::From(u32::try_from(least).unwrap_or(u32::MAX));
    }

    /// Ends [`Self::lend`]: whether the buffer has to be given to [`Self::adopt`], where the payload begins.
    pub fn wants_buffer(&mut self) -> Option<usize> {
        match std::mem::replace(&mut self.lent, Lent::Never) {
            Lent::Wanted(from) => Some(from as usize),
            Lent::Never | Lent::From(_) => None,
        }
    }

    /// Takes the buffer that the last window was; the payload in it begins at `from`.
    ///
    /// # Errors
    /// 1013 if the memory limit does not allow it.
    pub fn adopt(
        &mut self,
        buffer: Vec<u8>,
        from: usize,
        account: &mut Account,
    ) -> Result<(), Violation> {
        match self.partial().adopt(buffer, from, account) {
            Ok(()) => Ok(()),
            Err(_) => Err(account.exhausted()),
        }
    }

    /// Payload of a data frame that is not alone or not whole.
    pub(super) fn payload(
        &mut self,
        window: &mut Window<'_>,
        account: &mut Account,
    ) -> Result<Option<Event>, Violation> {
        let from = window.read;
        let len = self.missing.min(window.bytes.len() - from);
        let payload = from..from + len;
        masking::unmask(window.bytes, from, from, len, self.key);
        self.key = masking::rotate(self.key, len);
        window.read += len;
        let piece = &window.bytes[payload.clone()];
        if self.kind == Some(Kind::Text) {
            self.utf8.push(piece).or(Err(Violation::TEXT))?;
        }
        let expected = if self.fin { self.missing } else { self.room() };
        self.missing -= len;
        if self.missing == 0 && self.fin {
            return self.end_frame(payload);
        }
        if let Lent::From(least) = self.lent
            && len >= least as usize
            && self.missing > 0
            && (from >= MAX_SERVER_HEADER || self.partial_len() > 0)
            && let Ok(from) = u32::try_from(from)
        {
            self.lent = Lent::Wanted(from);
            return Ok(None);
        }
        let partial = &mut self.kept.get_or_insert_default().partial;
        if partial.push(piece, expected, account).is_err() {
            return Err(account.exhausted());
        }
        if self.missing == 0 {
            self.end_frame(0..0)
        } else {
            Ok(None)
        }
    }

    /// The end of a data frame; the message ends with `payload` if it is the last one.
    pub(super) fn end_frame(&mut self, payload: Range<usize>) -> Result<Option<Event>, Violation> {
        self.inside = false;
        if !self.fin {
            return Ok(None);
        }
        self.utf8.finish().or(Err(Violation::TEXT))?;
        Ok(Some(Event::Message {
            kind: self.end_kind(),
            parts: self.take_partial(),
            payload,
        }))
    }
}
