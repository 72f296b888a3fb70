//! Who decides what becomes of what goes out, where somebody wants a connection to do what it should not. Here is only
//! the question; which answers there are is no matter of the protocol.

use crate::protocol::message::Kind;
use crate::protocol::partial::Chunk;
use std::fmt::Debug;

/// Decides about what passes the door: each thing once, in the order in which it goes out.
pub trait Doorkeeper: Debug {
    /// A message is about to go out; it is not compressed yet.
    fn message(&self, passing: &mut Passing<'_>);

    /// A frame with a payload of `len` bytes is about to go out, compressed or not: the most that one frame has of them.
    fn fragment(&self, len: usize) -> usize;

    /// A frame, or a fragment of it, is about to go out: what happens instead.
    fn frame(&self) -> Option<Cut>;
}

/// A message that is about to go out, and what becomes of it.
#[derive(Debug)]
pub struct Passing<'a> {
    kind: Kind,
    payload: &'a [Chunk],
    /// Goes out before it, as it is.
    pub before: Vec<u8>,
    /// Goes out instead of it.
    pub instead: Option<(Kind, Vec<u8>)>,
    /// How often it goes out.
    pub times: usize,
    /// Our close frame goes out instead, with this code and reason, and nothing after it.
    pub close: Option<(u16, String)>,
}

impl<'a> Passing<'a> {
    /// A message that goes out as it is, once.
    pub(crate) const fn new(kind: Kind, payload: &'a [Chunk]) -> Self {
        Self {
            kind,
            payload,
            before: Vec::new(),
            instead: None,
            times: 1,
            close: None,
        }
    }

    /// The type of what goes out.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.instead.as_ref().map_or(self.kind, |(kind, _)| *kind)
    }

    /// The payload of what goes out.
    #[must_use]
    pub fn payload(&self) -> Vec<u8> {
        match &self.instead {
            Some((_, payload)) => payload.clone(),
            None => self
                .payload
                .iter()
                .flat_map(Chunk::bytes)
                .copied()
                .collect(),
        }
    }
}

/// An end without a close frame, after everything that is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// TCP is reset.
    Reset,
    /// Our half of TCP ends; what comes is read until the client's ends, too.
    HalfClose,
}
