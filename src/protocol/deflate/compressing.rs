//! The server's messages: in as they are, and compressed payload out in steps.

use super::scratch::{START, with_scratch};
use crate::protocol::account::{Account, Exhausted};
use crate::protocol::extensions::Agreed;
use crate::protocol::partial::Partial;
use std::cell::RefCell;
use std::fmt;
use zlib_rs::{Deflate, DeflateFlush};

/// What a compressor allocates beside four times its window (zlib-rs 0.6.8, counted).
pub(super) const COMPRESSOR: usize = 248_960 + size_of::<Deflate>();
/// What is left off at the end of each message: the rest of an empty stored block (RFC 7692 section 7.2.1).
pub(super) const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// An empty message (section 7.2.3.6).
const EMPTY: [u8; 1] = [0];
/// What a byte to compress costs, in bytes of the budget.
const COMPRESSED: usize = 4;

thread_local! {
    /// What a thread keeps for its connections.
    static SPARE: RefCell<Option<(Style, Box<Deflate>)>> = const { RefCell::new(None) };
}

/// Gives what this thread has kept back to the allocator.
pub(super) fn forget() {
    SPARE.take();
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
    pub(in crate::protocol) fn release(&mut self, account: &mut Account) {
        if let Some(compressor) = self.compressor.take() {
            account.release(self.charge());
            SPARE.set(Some((self.style, compressor)));
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
        let spare = SPARE.take();
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
