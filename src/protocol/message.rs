//! From a client's bytes to its messages: fragments are put together, control frames told apart, limits and UTF-8
//! checked at the first byte that breaks them.
//!
//! Strategy. The caller hands in what one read brought, as a [`Window`]. A message that lies whole in it is unmasked
//! and moved to the left, right behind the room for a server's header: it can be sent as it lies, and nothing is
//! allocated. A payload that goes on beyond the window is unmasked, checked and kept in a [`Partial`]; once more is
//! missing than a window holds, the caller reads straight into that (`spare`, `filled`).

use super::frame::{self, Header, MAX_CLIENT_HEADER, MAX_CONTROL, Opcode};
use super::partial::Partial;
use super::utf8::Utf8;
use super::{Violation, close};
use crate::memory::Account;
use std::ops::Range;

/// The type of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// Bytes.
    Binary,
}

impl Kind {
    /// The opcode of its first frame.
    #[must_use]
    pub const fn opcode(self) -> Opcode {
        match self {
            Self::Text => Opcode::Text,
            Self::Binary => Opcode::Binary,
        }
    }
}

/// What one read brought: `bytes[read..]` is yet to be looked at, `bytes[..write]` is output already. The receiver
/// never writes before `write`, which never passes `read`.
#[derive(Debug)]
pub struct Window<'a> {
    /// The read buffer, up to what came.
    pub bytes: &'a mut [u8],
    /// What was consumed.
    pub read: usize,
    /// What was put to use as output.
    pub write: usize,
}

/// A control frame's payload.
#[derive(Debug, Clone, Copy)]
pub struct Control {
    bytes: [u8; MAX_CONTROL],
    len: u8,
}

impl Control {
    /// The payload.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// What the receiver found.
#[derive(Debug)]
pub enum Event {
    /// A whole, valid message: `parts`, and then `window.bytes[payload]`.
    Message {
        /// Text or binary.
        kind: Kind,
        /// What came before this window; mostly empty.
        parts: Partial,
        /// The rest, unmasked.
        payload: Range<usize>,
    },
    /// A ping, to be answered by a pong with the same payload.
    Ping(Control),
    /// A pong.
    Pong(Control),
    /// A close frame; `close::parse` has accepted the payload. Nothing may follow it.
    Close(Control),
}

/// The receiving side of one connection.
#[derive(Debug)]
pub struct Receiver {
    limit: usize,
    /// Payload bytes of the current frame that are yet to come.
    missing: usize,
    key: [u8; 4],
    /// The current frame.
    fin: bool,
    opcode: Opcode,
    inside: bool,
    /// The message that has begun, with its UTF-8 state.
    kind: Option<Kind>,
    utf8: Utf8,
    partial: Partial,
    /// A header or a control payload that the last window cut.
    cut: Vec<u8>,
}

impl Receiver {
    /// A receiver at the start of a connection; no message may be longer than `limit` bytes.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self {
            limit,
            missing: 0,
            key: [0; 4],
            fin: true,
            opcode: Opcode::Binary,
            inside: false,
            kind: None,
            utf8: Utf8::NEW,
            partial: Partial::NEW,
            cut: Vec::new(),
        }
    }

    /// The next event in `window`; `None` when it is used up.
    ///
    /// # Errors
    /// The violation that the connection has to be failed for. The receiver must not be used after that.
    pub fn next(
        &mut self,
        window: &mut Window<'_>,
        account: &mut Account,
    ) -> Result<Option<Event>, Violation> {
        while window.read < window.bytes.len() {
            if !self.inside {
                let Some(header) = self.header(window)? else {
                    return Ok(None);
                };
                self.begin(header)?;
                let whole = window.bytes.len() - window.read >= self.missing;
                if whole && header.fin && matches!(header.opcode, Opcode::Text | Opcode::Binary) {
                    return self.whole(window).map(Some);
                }
            }
            let event = if self.opcode.is_control() {
                self.control(window)?
            } else {
                self.payload(window, account)?
            };
            if event.is_some() {
                return Ok(event);
            }
        }
        // A frame without payload may end the window.
        Ok(None)
    }

    /// Whether the connection may end here without cutting a frame or message.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        !self.inside && self.kind.is_none() && self.cut.is_empty()
    }

    /// A buffer for the payload under way, if more than `threshold` bytes of it are missing, and how many bytes to
    /// read into it; [`Self::filled`] tells what came.
    ///
    /// # Errors
    /// 1013 if the memory limit does not allow it.
    pub fn spare(
        &mut self,
        threshold: usize,
        account: &mut Account,
    ) -> Result<Option<(&mut Vec<u8>, usize)>, Violation> {
        if !self.inside || self.missing <= threshold || self.opcode.is_control() {
            return Ok(None);
        }
        match self.partial.spare(self.missing, account) {
            Ok(spare) => Ok(Some(spare)),
            Err(_) => Err(Violation::no_memory(account.limit())),
        }
    }

    /// Takes the `len` bytes that were read into [`Self::spare`]: an event if they ended the message.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn filled(&mut self, len: usize) -> Result<Option<Event>, Violation> {
        let piece = self.partial.filled(len);
        frame::unmask(piece, 0, 0, len, self.key);
        self.key = frame::rotate(self.key, len);
        self.missing -= len;
        if self.kind == Some(Kind::Text) {
            check(self.utf8.push(piece))?;
        }
        if self.missing == 0 {
            self.end_frame(0..0)
        } else {
            Ok(None)
        }
    }

    /// Gives what is kept back to `account`; the receiver is at its end.
    pub fn release(&mut self, account: &mut Account) {
        std::mem::take(&mut self.partial).release(account);
    }

    /// The header at the window's read position, with what the last window had of it.
    fn header(&mut self, window: &mut Window<'_>) -> Result<Option<Header>, Violation> {
        let bytes = &window.bytes[window.read..];
        if self.cut.is_empty() {
            let header = Header::parse(bytes)?;
            if let Some(header) = &header {
                window.read += header.size;
            } else {
                self.cut.extend_from_slice(bytes);
                window.read = window.bytes.len();
            }
            return Ok(header);
        }
        let before = self.cut.len();
        self.cut
            .extend_from_slice(&bytes[..bytes.len().min(MAX_CLIENT_HEADER - before)]);
        let header = Header::parse(&self.cut)?;
        match &header {
            Some(header) => {
                window.read += header.size - before;
                self.cut = Vec::new();
            }
            None => window.read = window.bytes.len(),
        }
        Ok(header)
    }

    /// Checks a header against what came before it and enters its frame.
    fn begin(&mut self, header: Header) -> Result<(), Violation> {
        if !header.opcode.is_control() {
            match (header.opcode, self.kind) {
                (Opcode::Continuation, None) => {
                    return Err(Violation::protocol(
                        "continuation without a message (RFC 6455 section 5.4)",
                    ));
                }
                (Opcode::Continuation, Some(_)) => {}
                (_, Some(_)) => {
                    return Err(Violation::protocol(
                        "data frame inside a fragmented message (RFC 6455 section 5.4)",
                    ));
                }
                (Opcode::Text, None) => self.kind = Some(Kind::Text),
                (_, None) => self.kind = Some(Kind::Binary),
            }
            let room = self.limit.saturating_sub(self.partial.len());
            if usize::try_from(header.len).map_or(true, |len| len > room) {
                return Err(Violation::too_big(self.limit));
            }
        }
        // Within `usize`: a data frame was just compared with the limit, a control frame has at most 125 bytes.
        self.missing = usize::try_from(header.len).unwrap_or(usize::MAX);
        self.key = header.key;
        self.fin = header.fin;
        self.opcode = header.opcode;
        self.inside = true;
        Ok(())
    }

    /// The common case: one frame, one message, all of it in the window.
    #[inline]
    fn whole(&mut self, window: &mut Window<'_>) -> Result<Event, Violation> {
        let len = self.missing;
        let to = window
            .read
            .min(window.write + frame::server_header_len(len));
        frame::unmask(window.bytes, window.read, to, len, self.key);
        window.read += len;
        self.inside = false;
        let kind = self.kind.take().unwrap_or(Kind::Binary);
        let payload = to..to + len;
        if kind == Kind::Text && std::str::from_utf8(&window.bytes[payload.clone()]).is_err() {
            return Err(INVALID_TEXT);
        }
        Ok(Event::Message {
            kind,
            parts: Partial::NEW,
            payload,
        })
    }

    /// Payload of a data frame that is not alone or not whole.
    fn payload(
        &mut self,
        window: &mut Window<'_>,
        account: &mut Account,
    ) -> Result<Option<Event>, Violation> {
        let from = window.read;
        let len = self.missing.min(window.bytes.len() - from);
        let payload = from..from + len;
        frame::unmask(window.bytes, from, from, len, self.key);
        self.key = frame::rotate(self.key, len);
        window.read += len;
        let piece = &window.bytes[payload.clone()];
        if self.kind == Some(Kind::Text) {
            check(self.utf8.push(piece))?;
        }
        let expected = if self.fin {
            self.missing
        } else {
            self.limit.saturating_sub(self.partial.len())
        };
        self.missing -= len;
        if self.missing == 0 && self.fin {
            return self.end_frame(payload);
        }
        if self.partial.push(piece, expected, account).is_err() {
            return Err(Violation::no_memory(account.limit()));
        }
        if self.missing == 0 {
            self.end_frame(0..0)
        } else {
            Ok(None)
        }
    }

    /// The end of a data frame; the message ends with `payload` if it is the last one.
    fn end_frame(&mut self, payload: Range<usize>) -> Result<Option<Event>, Violation> {
        self.inside = false;
        if !self.fin {
            return Ok(None);
        }
        check(self.utf8.finish())?;
        let kind = self.kind.take().unwrap_or(Kind::Binary);
        Ok(Some(Event::Message {
            kind,
            parts: std::mem::take(&mut self.partial),
            payload,
        }))
    }

    fn control(&mut self, window: &mut Window<'_>) -> Result<Option<Event>, Violation> {
        let from = window.read;
        let len = self.missing.min(window.bytes.len() - from);
        frame::unmask(window.bytes, from, from, len, self.key);
        self.key = frame::rotate(self.key, len);
        window.read += len;
        self.missing -= len;
        let piece = &window.bytes[from..from + len];
        let before = self.cut.len();
        if self.missing > 0 {
            self.cut.extend_from_slice(piece);
            return self.close_so_far();
        }
        let mut control = Control {
            bytes: [0; MAX_CONTROL],
            len: 0,
        };
        control.bytes[..before].copy_from_slice(&self.cut);
        control.bytes[before..before + len].copy_from_slice(piece);
        control.len = u8::try_from(before + len).unwrap_or(u8::MAX);
        self.cut = Vec::new();
        self.inside = false;
        Ok(Some(match self.opcode {
            Opcode::Ping => Event::Ping(control),
            Opcode::Pong => Event::Pong(control),
            _ => {
                close::parse(control.payload())?;
                Event::Close(control)
            }
        }))
    }

    /// Fails a close frame whose payload is still coming at its first bad byte.
    fn close_so_far(&self) -> Result<Option<Event>, Violation> {
        if self.opcode == Opcode::Close && self.cut.len() >= 2 {
            close::parse(&self.cut[..2])?;
            let mut utf8 = Utf8::NEW;
            if utf8.push(&self.cut[2..]).is_err() {
                close::parse(&self.cut)?;
            }
        }
        Ok(None)
    }
}

const INVALID_TEXT: Violation = Violation::utf8("text is not UTF-8 (RFC 6455 section 8.1)");

fn check(valid: Result<(), super::utf8::Invalid>) -> Result<(), Violation> {
    match valid {
        Ok(()) => Ok(()),
        Err(_) => Err(INVALID_TEXT),
    }
}
