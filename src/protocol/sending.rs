//! The sending half of one connection: what goes out, in which order, and when it is over.
//!
//! The twin of the [receiver](super::receiving::Receiver), without I/O and clock. Strategy: replies go out in the order of
//! the messages; a reply that is there waits in a slot for the answers before it. An echo that waits for nothing lies in
//! the [`Window`](super::window::Window) that it was read in, behind everything that is kept, and is sent from there. Messages of the
//! application and control frames wait for no answer. Our close frame goes out after all answers that are outstanding,
//! or at once, and nothing follows it: one enum says how far that is.
//!
//! Whoever owns the stream asks for what is to be sent ([`Sender::transmit`]), tells how much of it was taken
//! ([`Sender::sent`]) or that no more is ([`Sender::keep`]), and calls [`Sender::on_time`] when [`Sender::deadline`] has
//! come. What concerns others comes back as [`Effects`].

mod alarms;
mod closing;
mod door;
mod doorkeeper;
mod effects;
mod ending;
mod few;
mod judged;
mod messages;
mod output;
mod replies;
mod settings;
mod slots;
mod times;

pub use self::closing::Ended;
pub use self::doorkeeper::{Cut, Doorkeeper, Passing};
pub use self::effects::Effects;
pub use self::output::MAX_SLICES;
pub use self::settings::{Settings, Timeout};
pub use self::times::Rung;

use self::closing::Closing;
use self::door::Door;
use self::output::Output;
use self::slots::Slots;
use self::times::Times;
use super::account::Account;
use super::extensions::Agreed;
use std::io::IoSlice;
use std::sync::Arc;

/// The sending half of one connection.
#[derive(Debug)]
pub struct Sender {
    output: Output,
    slots: Slots,
    closing: Closing,
    /// With `permessage-deflate`, or a doorkeeper.
    door: Option<Box<Door>>,
    times: Option<Box<Times>>,
    settings: Arc<Settings>,
}

impl Sender {
    /// A sender at the start of a connection, which begins with `response`. It takes replies at once, or once it is
    /// [admitted](Self::admit).
    #[must_use]
    pub fn new(
        response: Vec<u8>,
        is_admitted: bool,
        settings: Arc<Settings>,
        account: &mut Account,
    ) -> Self {
        let is_timed = settings.idle_timeout.is_some() || settings.ping_interval.is_some();
        Self {
            output: Output::begin(response, account),
            slots: Slots::new(is_admitted),
            closing: Closing::Open,
            door: None,
            times: is_timed.then(|| Box::new(Times::NEW)),
            settings,
        }
    }

    /// Compresses messages of `threshold` bytes or more from now on.
    pub fn agree(&mut self, agreed: Agreed, level: u8, threshold: usize) {
        let door = self.door.get_or_insert_default();
        door.compress(agreed, level, threshold);
    }

    /// Whether everything is sent.
    #[must_use]
    #[inline]
    pub fn is_flushed(&self) -> bool {
        self.output.is_empty()
    }

    /// Whether something of the response has not left the stream that the conversation begins behind.
    #[must_use]
    pub const fn is_opening(&self) -> bool {
        self.output.is_opening
    }

    /// What the stream has not taken of it, if that is something.
    #[must_use]
    pub fn response(&self) -> Option<&[u8]> {
        self.output.response()
    }

    /// All of it has left the stream, of that `gone` bytes since the stream took no more.
    pub fn opened(&mut self, gone: usize) {
        self.output.is_opening = false;
        self.took(gone);
    }

    /// Whether something is kept that goes out before all else.
    #[must_use]
    #[inline]
    pub fn has_kept(&self) -> bool {
        self.output.has_chunks()
    }

    /// What is kept, if it lies in one piece.
    #[must_use]
    #[inline]
    pub fn kept(&self) -> Option<&[u8]> {
        self.output.only()
    }

    /// What is to be sent next, `tail` behind what is kept; returns the number of pieces.
    #[inline]
    pub fn transmit<'a>(&'a self, tail: &'a [u8], slices: &mut [IoSlice<'a>; MAX_SLICES]) -> usize {
        self.output.transmit(tail, slices)
    }

    /// The stream has taken `len` bytes of it.
    #[inline]
    pub fn sent(
        &mut self,
        len: usize,
        tail: &mut &[u8],
        account: &mut Account,
        effects: &mut Effects,
    ) {
        self.output.sent(len, tail, account, effects);
    }

    /// The stream takes no more for now: keeps what is left of `tail`. Since the last call `gone` bytes have left the
    /// stream, which holds `unsent` yet. Ends the connection if there is no memory for what has to wait.
    pub fn keep(
        &mut self,
        tail: &[u8],
        gone: usize,
        unsent: usize,
        account: &mut Account,
        effects: &mut Effects,
    ) {
        if !tail.is_empty() {
            self.output.keep(tail.to_vec(), account);
        }
        self.took(gone);
        self.output.is_blocked = true;
        if self.output.take_over(account) {
            self.exhaust(account, effects);
        }
        if let Some(times) = &mut self.times {
            times.waits(unsent, || self.output.len());
        }
    }

    /// The client has taken `len` bytes: a sign of life, if the stream had taken no more before.
    fn took(&mut self, len: usize) {
        if self.output.is_blocked
            && len > 0
            && let Some(times) = &mut self.times
        {
            times.took(len);
        }
    }

    /// Whether the stream has taken something and is to send it.
    #[must_use]
    #[inline]
    pub const fn needs_flush(&self) -> bool {
        self.output.is_unflushed()
    }

    /// The stream has sent everything that it took.
    #[inline]
    pub fn flushed(&mut self, effects: &mut Effects) {
        self.output.flushed(effects);
        if self.output.is_empty()
            && std::mem::take(&mut self.output.is_blocked)
            && let Some(times) = &mut self.times
        {
            times.took_all();
        }
    }

    /// Whether something can still be sent: our close frame is not out yet.
    #[must_use]
    #[inline]
    pub const fn may_send(&self) -> bool {
        self.closing.may_send()
    }

    /// Whether what has come still matters.
    #[must_use]
    #[inline]
    pub const fn takes_input(&self) -> bool {
        self.closing.may_read()
    }

    /// Whether more is to be read: it matters, and not too many answers are awaited.
    #[must_use]
    #[inline]
    pub fn may_read(&self) -> bool {
        self.closing.may_read() && !self.slots.is_full() && !self.holds_back()
    }

    /// Has nothing more read, or again. In a closing handshake all is read.
    pub fn pause(&mut self, is_paused: bool) {
        let was_paused = std::mem::replace(&mut self.slots.is_paused, is_paused);
        if was_paused && !is_paused {
            // It was not heard because of us; from here on it may be silent.
            self.heard();
        }
    }

    const fn holds_back(&self) -> bool {
        self.slots.is_paused && matches!(self.closing, Closing::Open)
    }

    /// Whether an echo would wait for nothing.
    #[must_use]
    #[inline]
    pub fn is_free(&self) -> bool {
        matches!(self.closing, Closing::Open) && self.slots.is_empty()
    }

    /// Messages of the client that have no answer yet, or whose answer waits for those.
    #[must_use]
    pub const fn unanswered(&self) -> usize {
        self.slots.messages()
    }

    /// Whether messages wait at the door, such as one that is to be compressed and those behind it.
    #[must_use]
    #[inline]
    pub fn has_waiting(&self) -> bool {
        let door = self.door.as_ref();
        door.is_some_and(|door| !door.is_empty())
    }

    /// Whether nothing is owed to the client for what it sent.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.slots.is_settled() && !self.has_waiting() && !matches!(self.closing, Closing::Cut(_))
    }

    /// Whether all is said, and nothing is awaited; what is said may have to be sent yet.
    #[must_use]
    #[inline]
    pub const fn is_done(&self) -> bool {
        matches!(self.closing, Closing::Done(_))
    }

    /// Whether input is taken as soon as the client is admitted.
    #[must_use]
    pub fn awaits_admission(&self) -> bool {
        self.closing.may_read() && !self.slots.is_admitted()
    }

    /// Something came from the client.
    #[inline]
    pub fn heard(&mut self) {
        if let Some(times) = &mut self.times {
            times.live();
        }
    }

    /// Until now nothing was expected of the client: all that it has time for begins anew.
    pub fn begin_anew(&mut self) {
        if let Some(times) = &mut self.times {
            times.begin_anew();
        }
    }

    /// Gives everything back; nothing of it will be sent any more.
    pub fn release(&mut self, account: &mut Account, effects: &mut Effects) {
        self.slots.clear(account);
        self.output.release(account, effects);
        if let Some(mut door) = self.door.take() {
            effects.released += door.release(account);
        }
    }
}

#[cfg(test)]
mod tests;
