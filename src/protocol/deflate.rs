//! Compression of messages (RFC 7692 section 7.2) without I/O: compressed payload in, as it comes, and the message out
//! in steps; and the other way round.
//!
//! `zlib-rs` does the work. What it keeps for a stream is large (47 KiB to inflate, whatever the window; 251 to 380 KB
//! to compress), so a connection holds as little of it as it can:
//!
//! - Inflaters belong to the thread. A connection has one from the first byte of a message to its last, and between two
//!   messages only the window: the last bytes that it received, at most `client_max_window_bits` of them. To give it to
//!   an inflater costs less than 10 % of inflating 1 KiB. It also settles what a final block does under context
//!   takeover: the stream ends, its window does not.
//! - With `server_no_context_takeover` compressors belong to the thread, too. Without it each connection keeps its own
//!   from the first compressed message on, since filling one again would cost more than compressing.
//!
//! All of it is charged to the connection's account, and work is paid for from a budget, so that the caller may go on
//! with something else and come back.

use super::extensions::Agreed;
use super::partial::Partial;
use crate::protocol::account::{Account, Exhausted};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use zlib_rs::{Deflate, DeflateFlush, Inflate, InflateFlush, Status};

/// Bytes inflated or compressed in one step.
pub const STEP: usize = 64 << 10;
/// What an inflater allocates, and a compressor beside four times its window (zlib-rs 0.6.8, counted).
const INFLATER: usize = 47_552 + size_of::<Inflate>();
const COMPRESSOR: usize = 248_960 + size_of::<Deflate>();
/// The window of every inflater; the client's may be smaller.
const INFLATER_BITS: u8 = 15;
/// zlib's least, whatever it was told.
const MIN_BITS: u8 = 9;
/// The smallest allocation for a window.
const MIN_WINDOW: usize = 512;
/// What compressors leave off at the end of each message: the rest of an empty stored block (RFC 7692 section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// That, and a final block without content: the stream ends after it only if the message ended between two blocks.
const END: [u8; 9] = [0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff];
/// An empty message (section 7.2.3.6).
const EMPTY: [u8; 1] = [0];

/// What costs more than its bytes, in bytes of the budget: to take an inflater and a window, or a compressor.
const START: usize = 2 << 10;
/// A byte of compressed input, which may be the description of a code and yield nothing.
const INPUT: usize = 4;
/// A byte to compress.
const COMPRESSED: usize = 4;

/// What a thread keeps for its connections.
struct Spare {
    inflater: Option<Box<Inflate>>,
    compressor: Option<(Style, Box<Deflate>)>,
    scratch: Vec<u8>,
}

thread_local! {
    static SPARE: RefCell<Spare> = const {
        RefCell::new(Spare { inflater: None, compressor: None, scratch: Vec::new() })
    };
}

/// Gives what this thread has kept back to the allocator.
pub(crate) fn forget_spare() {
    SPARE.with_borrow_mut(|spare| {
        spare.inflater = None;
        spare.compressor = None;
        spare.scratch = Vec::new();
    });
}

/// Runs `work` with `STEP` bytes of this thread's.
pub(super) fn with_scratch<T>(work: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut scratch = SPARE.with_borrow_mut(|spare| std::mem::take(&mut spare.scratch));
    scratch.resize(STEP, 0);
    let done = work(&mut scratch);
    SPARE.with_borrow_mut(|spare| spare.scratch = scratch);
    done
}

/// Why a message can't be inflated further.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// The bytes are not DEFLATE.
    Invalid,
    /// The memory limit does not allow it.
    Exhausted,
}

impl From<Exhausted> for Failure {
    fn from(_: Exhausted) -> Self {
        Self::Exhausted
    }
}

/// The client's messages of one connection.
pub(super) struct Inflation {
    /// Whether a message may refer to those before it.
    takeover: bool,
    /// The most that it may refer to, in bytes.
    window: usize,
    /// The end of what was received, with takeover; its capacity is charged.
    history: VecDeque<u8>,
    history_charged: usize,
    /// For the message under way.
    inflater: Option<Box<Inflate>>,
    /// A final block has ended the inflater's stream.
    has_ended: bool,
    /// The budget is used up, and there is more to do.
    pub(super) is_behind: bool,
}

impl fmt::Debug for Inflation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflation")
            .field("takeover", &self.takeover)
            .field("history", &self.history.len())
            .field("is_under_way", &self.inflater.is_some())
            .finish_non_exhaustive()
    }
}

/// What one step of an inflater did.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inflated {
    /// Input bytes that it took.
    pub(super) consumed: usize,
    /// Output bytes.
    pub(super) produced: usize,
    /// Whether all the output that the input has so far came out.
    pub(super) is_drained: bool,
}

impl Inflation {
    /// For a connection at its start.
    pub(super) fn new(agreed: Agreed) -> Self {
        Self {
            takeover: !agreed.client_no_context_takeover,
            window: 1 << agreed.client_max_window_bits.max(MIN_BITS),
            history: VecDeque::new(),
            history_charged: 0,
            inflater: None,
            has_ended: false,
            is_behind: false,
        }
    }

    /// One step: inflates some of `input` into `output`; `message` is what came before.
    pub(super) fn step(
        &mut self,
        input: &[u8],
        output: &mut [u8],
        message: &Partial,
        budget: &mut usize,
        account: &mut Account,
    ) -> Result<Inflated, Failure> {
        let is_fresh = self.inflater.is_none() || self.has_ended;
        if is_fresh && input.is_empty() {
            return Ok(Inflated {
                consumed: 0,
                produced: 0,
                is_drained: true,
            });
        }
        if is_fresh {
            self.begin(message, budget, account)?;
        }
        let (consumed, produced) = self.run(input, output)?;
        if consumed + produced == 0 && !input.is_empty() && !self.has_ended {
            return Err(Failure::Invalid);
        }
        *budget = budget.saturating_sub(produced.max(consumed * INPUT));
        Ok(Inflated {
            consumed,
            produced,
            is_drained: produced < output.len(),
        })
    }

    /// Ends the message, which is all inflated, and gives the inflater back.
    pub(super) fn finish(
        &mut self,
        message: &Partial,
        budget: &mut usize,
        account: &mut Account,
    ) -> Result<(), Failure> {
        // A final block at the end needs no tail; no payload at all is the tail alone.
        if !self.has_ended {
            if self.inflater.is_none() {
                self.begin(message, budget, account)?;
            }
            let mut none = [0];
            let (consumed, produced) = self.run(&END, &mut none)?;
            if !self.has_ended || consumed < END.len() || produced > 0 {
                return Err(Failure::Invalid);
            }
        }
        self.stop(account);
        if self.takeover {
            self.remember(message, account)?;
        }
        Ok(())
    }

    /// The inflater goes back to the thread.
    fn stop(&mut self, account: &mut Account) {
        self.has_ended = false;
        if let Some(inflater) = self.inflater.take() {
            account.release(INFLATER);
            SPARE.with_borrow_mut(|spare| spare.inflater = Some(inflater));
        }
    }

    /// Gives everything back.
    pub(super) fn release(&mut self, account: &mut Account) {
        self.stop(account);
        self.history = VecDeque::new();
        account.release(std::mem::take(&mut self.history_charged));
    }

    fn run(&mut self, input: &[u8], output: &mut [u8]) -> Result<(usize, usize), Failure> {
        let Some(inflater) = &mut self.inflater else {
            return Ok((0, 0));
        };
        let (before, written) = (inflater.total_in(), inflater.total_out());
        let status = inflater
            .decompress(input, output, InflateFlush::NoFlush)
            .map_err(|_error| Failure::Invalid)?;
        self.has_ended = status == Status::StreamEnd;
        // The differences are lengths of the two slices.
        let len = |total: u64| usize::try_from(total).unwrap_or(0);
        Ok((
            len(inflater.total_in() - before),
            len(inflater.total_out() - written),
        ))
    }

    /// An inflater with a fresh stream that knows what came before it.
    fn begin(
        &mut self,
        message: &Partial,
        budget: &mut usize,
        account: &mut Account,
    ) -> Result<(), Failure> {
        *budget = budget.saturating_sub(START);
        self.has_ended = false;
        if self.inflater.is_none() {
            account.charge(INFLATER)?;
        }
        let inflater = self.inflater.get_or_insert_with(|| {
            let spare = SPARE.with_borrow_mut(|spare| spare.inflater.take());
            spare.unwrap_or_else(|| Box::new(Inflate::new(false, INFLATER_BITS)))
        });
        inflater.reset(false);
        let (older, newer) = self.history.as_slices();
        let skipped = message.len().saturating_sub(self.window);
        let known = [older, newer].into_iter().chain(message.last(skipped));
        for piece in known.filter(|piece| !piece.is_empty()) {
            inflater
                .set_dictionary(piece)
                .map_err(|_error| Failure::Invalid)?;
        }
        Ok(())
    }

    /// Keeps the end of what was received.
    fn remember(&mut self, message: &Partial, account: &mut Account) -> Result<(), Exhausted> {
        let skipped = message.len().saturating_sub(self.window);
        let fresh = message.len() - skipped;
        let stale = (self.history.len() + fresh).saturating_sub(self.window);
        self.history.drain(..stale);
        let needed = self.history.len() + fresh;
        if needed > self.history_charged {
            let room = needed
                .next_power_of_two()
                .clamp(MIN_WINDOW, self.window.max(MIN_WINDOW));
            account.charge(room - self.history_charged)?;
            self.history_charged = room;
            self.history.reserve_exact(room - self.history.len());
        }
        for piece in message.last(skipped) {
            self.history.extend(piece);
        }
        Ok(())
    }
}

/// How a compressor is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Style {
    level: u8,
    bits: u8,
}

/// The server's messages of one connection.
pub struct Compression {
    takeover: bool,
    style: Style,
    compressor: Option<Box<Deflate>>,
    /// Inside a message.
    has_begun: bool,
    /// The last bytes of output, which are not the message's if they are the tail.
    held: Vec<u8>,
}

impl fmt::Debug for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compression")
            .field("takeover", &self.takeover)
            .field("style", &self.style)
            .field("has_context", &self.compressor.is_some())
            .finish_non_exhaustive()
    }
}

impl Compression {
    /// For a connection at its start.
    #[must_use]
    pub const fn new(agreed: Agreed, level: u8) -> Self {
        Self {
            takeover: !agreed.server_no_context_takeover,
            style: Style {
                level,
                bits: agreed.server_max_window_bits,
            },
            compressor: None,
            has_begun: false,
            held: Vec::new(),
        }
    }

    /// What compressing `bytes` costs of the receiver's budget.
    #[must_use]
    pub const fn cost(bytes: usize) -> usize {
        START + bytes.saturating_mul(COMPRESSED)
    }

    /// Compresses the next piece of a message and appends to `out`; with `is_last` the message ends, also if it is
    /// empty.
    ///
    /// # Errors
    /// [`Exhausted`]; nothing more can be compressed after it.
    pub fn push(
        &mut self,
        piece: &[u8],
        is_last: bool,
        out: &mut Partial,
        account: &mut Account,
    ) -> Result<(), Exhausted> {
        if is_last && piece.is_empty() && !self.has_begun {
            return out.push(&EMPTY, EMPTY.len(), account);
        }
        self.begin(account)?;
        let flush = if is_last {
            DeflateFlush::SyncFlush
        } else {
            DeflateFlush::NoFlush
        };
        with_scratch(|scratch| self.run(piece, flush, scratch, out, account))?;
        self.has_begun = !is_last;
        if is_last {
            debug_assert_eq!(self.held, TAIL);
            self.held.clear();
            if !self.takeover {
                self.release(account);
            }
        }
        Ok(())
    }

    /// Gives the compressor back; the next message can't refer to those before it.
    pub(super) fn release(&mut self, account: &mut Account) {
        if let Some(compressor) = self.compressor.take() {
            account.release(self.charge());
            SPARE.with_borrow_mut(|spare| spare.compressor = Some((self.style, compressor)));
        }
    }

    const fn charge(&self) -> usize {
        COMPRESSOR + (4 << self.style.bits)
    }

    fn begin(&mut self, account: &mut Account) -> Result<(), Exhausted> {
        if self.compressor.is_some() {
            return Ok(());
        }
        account.charge(self.charge())?;
        let Style { level, bits } = self.style;
        let spare = SPARE.with_borrow_mut(|spare| spare.compressor.take());
        self.compressor = Some(match spare {
            Some((style, mut compressor)) if style == self.style => {
                compressor.reset();
                compressor
            }
            _ => Box::new(Deflate::new(level.into(), false, bits)),
        });
        Ok(())
    }

    fn run(
        &mut self,
        mut piece: &[u8],
        flush: DeflateFlush,
        scratch: &mut [u8],
        out: &mut Partial,
        account: &mut Account,
    ) -> Result<(), Exhausted> {
        let Some(compressor) = &mut self.compressor else {
            return Ok(());
        };
        loop {
            let held = self.held.len();
            scratch[..held].copy_from_slice(&self.held);
            let (before, written) = (compressor.total_in(), compressor.total_out());
            let status = compressor.compress(piece, &mut scratch[held..], flush);
            // Levels and windows were checked, and there is always room.
            debug_assert!(status.is_ok());
            let len = |total: u64| usize::try_from(total).unwrap_or(0);
            piece = &piece[len(compressor.total_in() - before)..];
            let end = held + len(compressor.total_out() - written);
            let sure = end.saturating_sub(TAIL.len());
            out.push(&scratch[..sure], sure, account)?;
            self.held.clear();
            self.held.extend_from_slice(&scratch[sure..end]);
            if piece.is_empty() && end < scratch.len() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests;
