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

mod control;
mod event;
mod fragments;
mod frames;
mod header;
mod inflating;
mod payload;
mod rest;
mod short;

pub use self::event::{Control, Event};
pub use self::rest::Rest;

use super::account::{Account, Exhausted};
use super::deflate::inflating::Inflation;
use super::frame::Opcode;
use super::limit::Limit;
use super::message::Kind;
use super::partial::Partial;
use super::terms::Terms;
use super::utf8::Utf8;
use super::violation::Violation;
use super::window::Window;
use std::sync::Arc;

/// Whether the buffer behind a window may be kept for the payload in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lent {
    Never,
    /// For that many bytes of payload or more.
    From(u32),
    /// It is wanted; the payload begins there.
    Wanted(u32),
}

/// What windows have cut. Most clients never have any of it: their frames come whole.
#[derive(Debug, Default)]
struct Kept {
    /// Of a message.
    partial: Partial,
    /// Of a header or of a control payload.
    cut: Vec<u8>,
    /// Lengths of its frames, if these are noted.
    frames: Vec<usize>,
}

/// The receiving side of one connection: bytes in, events out.
///
/// ```
/// use echoserver::protocol::account::{Account, Memory};
/// use echoserver::protocol::limit::Limit;
/// use echoserver::protocol::message::Kind;
/// use echoserver::protocol::receiving::{Event, Receiver};
/// use echoserver::protocol::terms::Terms;
/// use echoserver::protocol::window::Window;
///
/// let mut receiver = Receiver::new(Terms::new(Limit::new(&"max_message_size", 1 << 20)));
/// let mut account = Account::new(Memory::new(Limit::new(&"memory_limit", 1 << 30)));
/// // "Hello" of RFC 6455 section 5.7, then a frame that is not masked.
/// let mut read = *b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x81\x01x\0\0\0";
/// let mut window = Window::new(&mut read);
///
/// let event = receiver.next(&mut window, &mut 0, &mut account).expect("it is right");
/// let Some(Event::Message { kind, payload, .. }) = event else { panic!("{event:?}") };
/// assert_eq!((kind, &window.bytes[payload]), (Kind::Text, &b"Hello"[..]));
/// let violation = receiver.next(&mut window, &mut 0, &mut account).expect_err("it has no mask");
/// assert_eq!(violation.code, 1002);
/// ```
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says something of its own; no state is made of them"
)]
pub struct Receiver {
    terms: Arc<Terms>,
    /// Payload bytes of the current frame that are yet to come.
    missing: usize,
    key: [u8; 4],
    /// The current frame.
    fin: bool,
    opcode: Opcode,
    inside: bool,
    /// The lengths of a message's frames are noted.
    notes_frames: bool,
    /// The message that has begun, with its UTF-8 state.
    kind: Option<Kind>,
    utf8: Utf8,
    kept: Option<Box<Kept>>,
    lent: Lent,
    /// The message that has begun is compressed; only with `deflate`.
    compressed: bool,
    /// If that was agreed.
    deflate: Option<Box<Inflation>>,
    /// What was read and not looked at yet.
    rest: Option<Box<Rest>>,
}

impl Receiver {
    /// A receiver at the start of a connection.
    #[must_use]
    pub fn new(terms: impl Into<Arc<Terms>>) -> Self {
        let terms = terms.into();
        Self {
            deflate: terms.deflate.map(|agreed| Box::new(Inflation::new(agreed))),
            terms,
            missing: 0,
            key: [0; 4],
            fin: true,
            opcode: Opcode::Binary,
            inside: false,
            notes_frames: false,
            kind: None,
            utf8: Utf8::NEW,
            kept: None,
            lent: Lent::Never,
            compressed: false,
            rest: None,
        }
    }

    /// From the next frame on no message is to be longer than `message`, and no payload of a frame than `frame`.
    pub fn limit(&mut self, message: Limit, frame: Limit) {
        self.terms = self.terms.limited(message, frame).into();
    }

    /// The next event in `window`; `None` when it is used up, or `budget` is, which pays for compressed messages.
    ///
    /// # Errors
    /// The violation that the connection has to be failed for. The receiver must not be used after that.
    #[inline]
    pub fn next(
        &mut self,
        window: &mut Window<'_>,
        budget: &mut usize,
        account: &mut Account,
    ) -> Result<Option<Event>, Violation> {
        // Mostly the short path has used it up.
        if window.read == window.bytes.len() && !self.has_more() {
            return Ok(None);
        }
        self.find(window, budget, account)
    }

    fn find(
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
                    && let Some((kind, len, key)) = short::message(&window.bytes[window.read..])
                    && len <= self.terms.whole()
                {
                    window.read += short::HEADER;
                    return short::whole(window, kind, len, key).map(Some);
                }
                let Some(header) = self.header(window)? else {
                    return Ok(None);
                };
                self.begin(header, account)?;
                let is_whole = window.bytes.len() - window.read >= self.missing;
                if is_whole && !self.compressed && !header.opcode.is_control() {
                    if header.fin && header.opcode != Opcode::Continuation {
                        self.inside = false;
                        let kind = self.end_kind();
                        return short::whole(window, kind, self.missing, self.key).map(Some);
                    }
                    let event = self.fragments(window, account)?;
                    if event.is_some() {
                        return Ok(event);
                    }
                    continue;
                }
            }
            let event = if self.opcode.is_control() {
                self.control_payload(window)?
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
        count: impl FnMut(Kind, usize),
    ) -> Result<(), Violation> {
        if self.is_idle() {
            short::echo(window, self.terms.whole(), count)
        } else {
            Ok(())
        }
    }

    /// Whether the connection may end here without cutting a frame or message.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        !self.inside && self.kind.is_none() && !self.has_cut()
    }

    /// Whether a header or a control payload is cut.
    const fn has_cut(&self) -> bool {
        match &self.kept {
            Some(kept) => !kept.cut.is_empty(),
            None => false,
        }
    }

    /// The kind of the message that ends. There is one: a header that neither begins nor goes on with a message is refused.
    fn end_kind(&mut self) -> Kind {
        debug_assert!(self.kind.is_some(), "a message that has not begun ends");
        self.kind.take().unwrap_or(Kind::Binary)
    }

    /// What is there of the message that has begun.
    fn partial(&mut self) -> &mut Partial {
        &mut self.kept.get_or_insert_default().partial
    }

    /// Bytes of it.
    fn partial_len(&self) -> usize {
        self.kept.as_ref().map_or(0, |kept| kept.partial.len())
    }

    /// Bytes that may come of it yet. The limit may have been lowered meanwhile.
    fn room(&self) -> usize {
        self.terms.message.bytes.saturating_sub(self.partial_len())
    }

    /// All of it, which is kept no more.
    fn take_partial(&mut self) -> Partial {
        let kept = self.kept.as_mut();
        kept.map_or(Partial::NEW, |kept| std::mem::take(&mut kept.partial))
    }

    /// Gives what is kept back to `account`; the receiver is at its end.
    pub fn release(&mut self, account: &mut Account) {
        self.take_partial().release(account);
        drop(self.take_frames(account));
        self.kept = None;
        if let Some(mut deflate) = self.deflate.take() {
            deflate.release(account);
        }
        if let Some(rest) = self.rest.take() {
            rest.release(account);
        }
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
        if !bytes.is_empty() {
            let rest = Rest::new(bytes, account).map_err(|Exhausted| account.exhausted())?;
            self.rest = Some(Box::new(rest));
        }
        Ok(())
    }

    /// Keeps what came after it.
    ///
    /// # Errors
    /// As [`Self::keep_rest`].
    pub fn keep_more(&mut self, bytes: &[u8], account: &mut Account) -> Result<(), Violation> {
        match &mut self.rest {
            Some(rest) => rest
                .append(bytes, account)
                .map_err(|Exhausted| account.exhausted()),
            None => self.keep_rest(bytes.to_vec(), account),
        }
    }

    /// What is kept so.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        self.rest.as_ref().map_or(&[], |rest| rest.as_slice())
    }

    /// What was kept, which may be nothing; it has to be put back.
    pub fn take_rest(&mut self) -> Rest {
        self.rest.take().map_or_else(Rest::default, |rest| *rest)
    }

    /// Puts it back, without the `len` bytes that were looked at.
    pub fn put_rest(&mut self, mut rest: Rest, len: usize, account: &mut Account) {
        rest.advance(len);
        if rest.is_empty() {
            rest.release(account);
        } else {
            self.rest = Some(Box::new(rest));
        }
    }
}

#[cfg(test)]
mod tests;
