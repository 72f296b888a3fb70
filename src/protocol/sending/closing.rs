//! How far the closing handshake is, and how the connection ended (RFC 6455 section 7).

use super::doorkeeper::Cut;
use crate::protocol::close;
use crate::protocol::frame::{Opcode, server_frame};

/// Close code and reason, as they are told afterwards.
pub type Ended = (u16, String);

/// An end without a close frame.
const ABNORMAL: Ended = (close::ABNORMAL, String::new());

/// Until our close frame is out, the conversation is open: what is sent goes before it.
#[derive(Debug, Default)]
pub(super) enum Closing {
    #[default]
    Open,
    /// Nothing more is read. Our close frame goes out after the answers that are outstanding.
    Due(Box<Due>),
    /// The client's close frame has come, and a doorkeeper wants that it is not answered.
    Unanswered(Box<Due>),
    /// Our close frame goes out after what waits at the door, and nothing else before it.
    Last(Box<Due>),
    /// Our close frame is out, the client's is awaited.
    Sent(Box<Ended>),
    /// Our close frame is out, and nothing is awaited.
    Done(Box<Ended>),
    /// A doorkeeper wants the stream cut, as soon as everything is sent.
    Cut(Cut),
    /// Our half of the stream has ended without a close frame, and nothing that comes matters but the client's end.
    Halved,
}

/// Why there is a close frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// We close the connection: the client has to answer.
    Ours,
    /// We fail it: nothing of the client matters any more.
    Failure,
    /// It answers a close frame of the client's.
    Theirs,
}

/// A close frame that waits for answers.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) frame: Vec<u8>,
    pub(super) ended: Ended,
    pub(super) cause: Cause,
}

impl Due {
    /// One for `code` and `reason`.
    pub(super) fn new(code: u16, reason: &str, cause: Cause) -> Self {
        Self {
            frame: server_frame(Opcode::Close, &close::payload(code, reason)),
            ended: (code, reason.to_owned()),
            cause,
        }
    }

    /// The answer to a close frame of the client's, whose payload was found to be good.
    pub(super) fn answer(payload: &[u8]) -> Self {
        // An error is not possible.
        let said = close::parse(payload).ok().flatten();
        let (code, reason) = said.unwrap_or((close::NO_STATUS, ""));
        let frame = match said {
            Some(_) => server_frame(Opcode::Close, payload),
            None => server_frame(Opcode::Close, &close::payload(close::NORMAL, "")),
        };
        Self {
            frame,
            ended: (code, reason.to_owned()),
            cause: Cause::Theirs,
        }
    }
}

impl Closing {
    /// Whether something may still be sent.
    #[inline]
    pub(super) const fn may_send(&self) -> bool {
        matches!(self, Self::Open | Self::Due(_) | Self::Unanswered(_))
    }

    /// Whether what the client sends still matters.
    #[inline]
    pub(super) const fn may_read(&self) -> bool {
        matches!(self, Self::Open | Self::Sent(_))
    }

    /// Close code and reason; 1006 if there was no close frame. One that was due and did not get out was none, but the
    /// client's own was, whether it was answered or not (RFC 6455 section 7.1.5).
    pub(super) fn ended(self) -> Ended {
        match self {
            Self::Due(due) | Self::Unanswered(due) | Self::Last(due)
                if due.cause == Cause::Theirs =>
            {
                due.ended
            }
            Self::Open
            | Self::Due(_)
            | Self::Unanswered(_)
            | Self::Last(_)
            | Self::Cut(_)
            | Self::Halved => ABNORMAL,
            Self::Sent(ended) | Self::Done(ended) => *ended,
        }
    }
}
