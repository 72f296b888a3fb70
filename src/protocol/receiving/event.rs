//! What a receiver finds.

use crate::protocol::frame::MAX_CONTROL;
use crate::protocol::message::Kind;
use crate::protocol::partial::Partial;
use std::ops::Range;

/// A control frame's payload.
#[derive(Debug, Clone, Copy)]
pub struct Control {
    bytes: [u8; MAX_CONTROL],
    len: u8,
}

impl Control {
    /// `begun`, and `piece` behind it: 125 bytes together at most.
    pub(super) fn new(begun: &[u8], piece: &[u8]) -> Self {
        let mut bytes = [0; MAX_CONTROL];
        let len = begun.len() + piece.len();
        bytes[..begun.len()].copy_from_slice(begun);
        bytes[begun.len()..len].copy_from_slice(piece);
        Self {
            bytes,
            len: u8::try_from(len).unwrap_or(u8::MAX),
        }
    }

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
