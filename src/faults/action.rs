//! What a fault does, and what gives it the opportunity.

use super::shape::Shape;
use super::values::Values;
use crate::admission::Decision;
use crate::protocol::sending::{Cut, Passing};

/// What a fault does.
#[derive(Debug, Clone, Copy)]
pub enum Action {
    /// To a message that is about to go out. Each is an opportunity, also one that stays as it is. Whether it goes out, and
    /// another instead, is no matter of its payload: it is tried on one, to see what is left for other faults (`plan.rs`).
    Message(fn(&Values, &mut Passing<'_>)),
    /// Instead of a message that is about to go out: our close frame with this code and reason.
    Close(fn(&Values) -> (u16, String)),
    /// To a message's frame that is about to go out: the most bytes of payload that one frame has.
    Fragment(fn(&Values) -> usize),
    /// Instead of a frame that is about to go out: the stream ends so.
    Cut(Cut),
    /// To the bytes that move one way: when they arrive, and in which pieces. Which way is a parameter; without it, each.
    Bytes(fn(&Values, &mut Shape)),
    /// To the bytes that move one way: they arrive as others. They come in their order, but in any pieces and some again, so
    /// all that it goes by is how many have come before them since it was set, without those that `after` lets pass.
    Change(fn(&Values, u64, &mut [u8])),
    /// It lasts.
    State(State),
    /// To an upgrade request, which gets that answer.
    Answer(fn(&Values) -> Decision),
}

/// What a connection is like while a fault lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Pings of the client's are not answered.
    NoPong,
    /// Nor is its close frame.
    NoCloseReply,
    /// Nothing is read or written.
    Frozen,
}

/// What gives a fault the opportunity to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opportunity {
    /// A message that is about to go out.
    Message,
    /// A frame of a message that is about to go out.
    Frame,
    /// Bytes that move.
    Bytes,
    /// None: it lasts.
    State,
    /// A good upgrade request.
    Request,
}

/// What tells a fault when to act, at whatever opportunity.
pub(super) const SELECTORS: [&str; 6] =
    ["path", "client", "after", "every", "probability", "times"];

impl Action {
    /// What gives it the opportunity.
    #[must_use]
    pub const fn opportunity(&self) -> Opportunity {
        match self {
            Self::Message(_) | Self::Close(_) => Opportunity::Message,
            Self::Fragment(_) | Self::Cut(_) => Opportunity::Frame,
            Self::Bytes(_) | Self::Change(_) => Opportunity::Bytes,
            Self::State(_) => Opportunity::State,
            Self::Answer(_) => Opportunity::Request,
        }
    }

    /// What an upgrade request gets.
    #[must_use]
    pub fn answer(&self, values: &Values) -> Option<Decision> {
        match self {
            Self::Answer(made) => Some(values.answer().cloned().unwrap_or_else(|| made(values))),
            _ => None,
        }
    }

    /// Whether it ends the connection, so that a time that is given for it is an opportunity in itself.
    #[must_use]
    pub const fn is_end(&self) -> bool {
        matches!(self, Self::Close(_) | Self::Cut(_))
    }
}

impl Opportunity {
    /// As documents call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Message => "message out",
            Self::Frame => "frame out",
            Self::Bytes => "bytes",
            Self::State => "state",
            Self::Request => "request",
        }
    }

    /// The selectors that there are for it.
    pub fn selectors(self) -> impl Iterator<Item = &'static str> {
        SELECTORS
            .into_iter()
            .filter(move |name| self.objection(name, false).is_none())
    }

    /// Why it can't have the selector of that name; `is_time`: which was given as a time.
    pub(super) fn objection(self, selector: &str, is_time: bool) -> Option<&'static str> {
        match (self, selector) {
            (Self::Request, "client") => Some("it acts on requests, which are of no client yet"),
            (Self::Request, "after") if is_time => {
                Some("it acts on requests, before there is a 101: it takes a number of them")
            }
            (_, "path" | "client") => None,
            (Self::State, _) => {
                Some("it lasts as long as it is set, and takes path and client only")
            }
            (Self::Bytes, "every" | "times") => Some(
                "it acts on bytes, which nobody counts: it takes path, client, after and probability",
            ),
            _ => None,
        }
    }
}
