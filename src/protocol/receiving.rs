//! From a client's bytes to its messages: fragments are put together, control frames told apart, limits and UTF-8
//! checked at the first byte that breaks them.
//!
//! Strategy. The caller hands in what one read brought, as a [`Window`]. A message that lies whole in it is unmasked
//! and moved to the left, right behind the room for a server's header: it can be sent as it lies, and nothing is
//! allocated. A payload that goes on beyond the window is unmasked, checked and kept in a [`Partial`]: with the window's
//! own buffer if that is mostly the payload (`lend`, `adopt`); once more is missing than a window holds, the caller
//! reads straight into it (`spare`, `filled`).
//!
//! A compressed message is inflated as it comes, within a budget: once that is used up, `next` returns with the window
//! not used up, and wants to be called again with the rest of it before anything else is read (`is_behind`).

mod inflating;

use super::account::Account;
use super::close;
use super::deflate::inflating::Inflation;
use super::frame::{self, Header, MAX_CLIENT_HEADER, MAX_CONTROL, MAX_SERVER_HEADER, Opcode};
use super::limit::Limit;
use super::message::Kind;
use super::partial::Partial;
use super::utf8::Utf8;
use super::violation::Violation;
use super::window::Window;
use std::ops::Range;

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
    /// A whole, valid message that came compressed.
    Inflated {
        /// Text or binary.
        kind: Kind,
        /// What it inflated to.
        message: Partial,
    },
    /// A ping, to be answered by a pong with the same payload.
    Ping(Box<Control>),
    /// A pong.
    Pong(Box<Control>),
    /// A close frame; `close::parse` has accepted the payload. Nothing may follow it.
    Close(Box<Control>),
}

/// Whether the buffer behind a window may be kept for the payload in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lent {
    Never,
    /// For that many bytes of payload or more.
    From(u32),
    /// It is wanted; the payload begins there.
    Wanted(u32),
}

/// The receiving side of one connection.
#[derive(Debug)]
pub struct Receiver {
    limit: Limit,
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
    lent: Lent,
    /// The message that has begun is compressed; only with `deflate`.
    compressed: bool,
    deflate: Option<Box<Inflation>>,
    /// What was read and not looked at yet.
    rest: Option<Box<Rest>>,
}

/// Bytes that are kept until they are looked at, from `at` on.
#[derive(Debug, Default)]
pub struct Rest {
    bytes: Vec<u8>,
    at: usize,
    charged: usize,
}

impl Rest {
    /// What is yet to be looked at.
    pub fn unread(&mut self) -> &mut [u8] {
        &mut self.bytes[self.at..]
    }
}

impl Receiver {
    /// A receiver at the start of a connection; no message may be longer than `limit`.
    #[must_use]
    pub const fn new(limit: Limit) -> Self {
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
            lent: Lent::Never,
            compressed: false,
            deflate: None,
            rest: None,
        }
    }

    /// The next event in `window`; `None` when it is used up, or `budget` is, which pays for compressed messages.
    ///
    /// # Errors
    /// The violation that the connection has to be failed for. The receiver must not be used after that.
    pub fn next(
        &mut self,
        window: &mut Window<'_>,
        budget: &mut usize,
        account: &mut Account,
    ) -> Result<Option<Event>, Violation> {
        if self.has_more() {
            let event = self.inflate(window, budget, account)?;
            if event.is_some() || self.has_more() {
                return Ok(event);
            }
        }
        while window.read < window.bytes.len() {
            if !self.inside {
                if self.is_idle()
                    && let Some((kind, len, key)) = short_message(&window.bytes[window.read..])
                    && len <= self.limit.bytes
                {
                    window.read += SHORT_HEADER;
                    return whole(window, kind, len, key).map(Some);
                }
                let Some(header) = self.header(window)? else {
                    return Ok(None);
                };
                self.begin(header)?;
                let is_whole = window.bytes.len() - window.read >= self.missing;
                if is_whole
                    && header.fin
                    && !header.compressed
                    && matches!(header.opcode, Opcode::Text | Opcode::Binary)
                {
                    self.inside = false;
                    let kind = self.kind.take().unwrap_or(Kind::Binary);
                    return whole(window, kind, self.missing, self.key).map(Some);
                }
            }
            let event = if self.opcode.is_control() {
                self.control(window)?
            } else if self.compressed {
                self.inflate(window, budget, account)?
            } else {
                self.payload(window, account)?
            };
            if event.is_some() || self.has_more() {
                return Ok(event);
            }
        }
        // A frame without payload may end the window.
        Ok(None)
    }

    /// Echoes the short messages at the window's read position, each where it lies, up to the first frame that is
    /// anything else; `count` hears of each. The output has to end at the window's write position.
    ///
    /// The same as [`Self::next`] with an echo, at half its cost: most messages of most clients are of this kind.
    ///
    /// # Errors
    /// As [`Self::next`].
    #[inline]
    pub fn echo_short(
        &self,
        window: &mut Window<'_>,
        mut count: impl FnMut(Kind),
    ) -> Result<(), Violation> {
        if !self.is_idle() {
            return Ok(());
        }
        let limit = self.limit.bytes;
        let mut echoed = Ok(());
        // In registers; in the window they would be stored and loaded for each message.
        let bytes = &mut *window.bytes;
        let (mut read, mut write) = (window.read, window.write);
        while let Some((kind, len, key)) = short_message(&bytes[read..])
            && len <= limit
        {
            read += SHORT_HEADER;
            let payload = write + 2..write + 2 + len;
            frame::unmask(bytes, read, payload.start, len, key);
            read += len;
            if kind == Kind::Text && std::str::from_utf8(&bytes[payload.clone()]).is_err() {
                echoed = Err(INVALID_TEXT);
                break;
            }
            let header = &mut bytes[write..payload.start];
            frame::write_server_header(header, true, kind.opcode(), len);
            write = payload.end;
            count(kind);
        }
        (window.read, window.write) = (read, write);
        echoed
    }

    /// Whether the connection may end here without cutting a frame or message.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        !self.inside && self.kind.is_none() && self.cut.is_empty()
    }

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
        if !is_plain
            || self.missing <= threshold
            || self.partial.next_room(self.missing) < threshold / 2
        {
            return Ok(None);
        }
        match self.partial.spare(self.missing, account) {
            Ok(spare) => Ok(Some(spare)),
            Err(_) => Err(account.exhausted()),
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
            self.utf8.push(piece).or(Err(INVALID_TEXT))?;
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
        match self.partial.adopt(buffer, from, account) {
            Ok(()) => Ok(()),
            Err(_) => Err(account.exhausted()),
        }
    }

    /// Gives what is kept back to `account`; the receiver is at its end.
    pub fn release(&mut self, account: &mut Account) {
        std::mem::take(&mut self.partial).release(account);
        if let Some(mut deflate) = self.deflate.take() {
            deflate.release(account);
        }
        if let Some(rest) = self.rest.take() {
            account.release(rest.charged);
        }
        self.cut = Vec::new();
    }

    /// Whether something was read that is yet to be looked at: before anything else is.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.rest.is_some() || self.has_more()
    }

    /// Whether more is to come out of what the last window had.
    fn has_more(&self) -> bool {
        self.deflate
            .as_ref()
            .is_some_and(|deflate| deflate.is_behind)
    }

    /// Keeps what was read and could not be looked at yet.
    ///
    /// # Errors
    /// 1013 if the memory limit does not allow it.
    pub fn keep_rest(&mut self, bytes: Vec<u8>, account: &mut Account) -> Result<(), Violation> {
        if bytes.is_empty() {
            return Ok(());
        }
        let charged = bytes.capacity();
        if account.charge(charged).is_err() {
            return Err(account.exhausted());
        }
        self.rest = Some(Box::new(Rest {
            bytes,
            at: 0,
            charged,
        }));
        Ok(())
    }

    /// Keeps what came after it.
    ///
    /// # Errors
    /// As [`Self::keep_rest`].
    pub fn keep_more(&mut self, bytes: &[u8], account: &mut Account) -> Result<(), Violation> {
        let Some(rest) = &mut self.rest else {
            return self.keep_rest(bytes.to_vec(), account);
        };
        if rest.bytes.capacity() - rest.bytes.len() < bytes.len() {
            let capacity = (rest.bytes.len() + bytes.len()).max(2 * rest.bytes.capacity());
            if account.charge(capacity - rest.charged).is_err() {
                return Err(account.exhausted());
            }
            rest.bytes.reserve_exact(capacity - rest.bytes.len());
            rest.charged = capacity;
        }
        rest.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// What is kept so.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        self.rest
            .as_ref()
            .map_or(&[], |rest| &rest.bytes[rest.at..])
    }

    /// What was kept, which may be nothing; it has to be put back.
    pub fn take_rest(&mut self) -> Rest {
        self.rest.take().map_or_else(Rest::default, |rest| *rest)
    }

    /// Puts it back, without the `len` bytes that were looked at.
    pub fn put_rest(&mut self, mut rest: Rest, len: usize, account: &mut Account) {
        rest.at += len;
        if rest.at < rest.bytes.len() {
            self.rest = Some(Box::new(rest));
        } else {
            account.release(rest.charged);
        }
    }

    /// The header at the window's read position, with what the last window had of it.
    fn header(&mut self, window: &mut Window<'_>) -> Result<Option<Header>, Violation> {
        let bytes = &window.bytes[window.read..];
        if self.cut.is_empty() {
            let header = Header::parse(bytes, self.deflate.is_some())?;
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
        let header = Header::parse(&self.cut, self.deflate.is_some())?;
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
            if header.opcode != Opcode::Continuation {
                self.compressed = header.compressed;
            }
            // Compressed, the limit is for what comes of it; but that much can't come of nothing.
            let room = if self.compressed {
                usize::MAX
            } else {
                self.limit.bytes.saturating_sub(self.partial.len())
            };
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
            self.utf8.push(piece).or(Err(INVALID_TEXT))?;
        }
        let expected = if self.fin {
            self.missing
        } else {
            self.limit.bytes.saturating_sub(self.partial.len())
        };
        self.missing -= len;
        if self.missing == 0 && self.fin {
            return self.end_frame(payload);
        }
        if let Lent::From(least) = self.lent
            && len >= least as usize
            && self.missing > 0
            && (from >= MAX_SERVER_HEADER || !self.partial.is_empty())
            && let Ok(from) = u32::try_from(from)
        {
            self.lent = Lent::Wanted(from);
            return Ok(None);
        }
        if self.partial.push(piece, expected, account).is_err() {
            return Err(account.exhausted());
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
        self.utf8.finish().or(Err(INVALID_TEXT))?;
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
        // Boxed, so that the event of a message stays small.
        let mut control = Box::new(Control {
            bytes: [0; MAX_CONTROL],
            len: 0,
        });
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

/// Bytes of a client's header for a payload of up to 125 bytes.
const SHORT_HEADER: usize = 6;

/// The common case, told by its first bytes: an unfragmented message of up to 125 bytes, all of it here. Everything
/// else goes the long way.
#[inline]
fn short_message(bytes: &[u8]) -> Option<(Kind, usize, [u8; 4])> {
    let [
        first @ (0x81 | 0x82),
        second @ 0x80..=0xfd,
        k0,
        k1,
        k2,
        k3,
        payload @ ..,
    ] = bytes
    else {
        return None;
    };
    let kind = if *first == 0x81 {
        Kind::Text
    } else {
        Kind::Binary
    };
    let len = usize::from(second & 0x7f);
    (len <= payload.len()).then_some((kind, len, [*k0, *k1, *k2, *k3]))
}

/// A message in one frame, whose payload of `len` bytes begins at the window's read position.
#[inline]
fn whole(
    window: &mut Window<'_>,
    kind: Kind,
    len: usize,
    key: [u8; 4],
) -> Result<Event, Violation> {
    let to = window
        .read
        .min(window.write + frame::server_header_len(len));
    frame::unmask(window.bytes, window.read, to, len, key);
    window.read += len;
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

const INVALID_TEXT: Violation = Violation::utf8("text is not UTF-8 (RFC 6455 section 8.1)");

#[cfg(test)]
mod tests;
