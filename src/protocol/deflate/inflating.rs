//! The client's messages: compressed payload in, as it comes, and the message out in steps.

use super::scratch::START;
use crate::protocol::account::{Account, Exhausted};
use crate::protocol::extensions::Agreed;
use crate::protocol::partial::Partial;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use zlib_rs::{Inflate, InflateFlush, Status};

/// What an inflater allocates (zlib-rs 0.6.8, counted).
pub(super) const INFLATER: usize = 47_552 + size_of::<Inflate>();
/// The window of every inflater; the client's may be smaller.
const INFLATER_BITS: u8 = 15;
/// zlib's least, whatever it was told.
const MIN_BITS: u8 = 9;
/// The smallest allocation for a window.
const MIN_WINDOW: usize = 512;
/// What compressors leave off at the end of each message (RFC 7692 section 7.2.1), and a final block without content: the
/// stream ends after it only if the message ended between two blocks.
const END: [u8; 9] = [0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff];
/// What a byte of compressed input costs, in bytes of the budget: it may be the description of a code and yield nothing.
const INPUT: usize = 4;

thread_local! {
    /// What a thread keeps for its connections.
    static SPARE: RefCell<Option<Box<Inflate>>> = const { RefCell::new(None) };
}

/// Gives what this thread has kept back to the allocator.
pub(super) fn forget() {
    SPARE.take();
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
pub(in crate::protocol) struct Inflation {
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
    pub(in crate::protocol) is_behind: bool,
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
pub(in crate::protocol) struct Inflated {
    /// Input bytes that it took.
    pub(in crate::protocol) consumed: usize,
    /// Output bytes.
    pub(in crate::protocol) produced: usize,
    /// Whether all the output that the input has so far came out.
    pub(in crate::protocol) is_drained: bool,
}

impl Inflation {
    /// For a connection at its start.
    pub(in crate::protocol) fn new(agreed: Agreed) -> Self {
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
    pub(in crate::protocol) fn step(
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
    pub(in crate::protocol) fn finish(
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
            SPARE.set(Some(inflater));
        }
    }

    /// Gives everything back.
    pub(in crate::protocol) fn release(&mut self, account: &mut Account) {
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
            let spare = SPARE.take();
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
