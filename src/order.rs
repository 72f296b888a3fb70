//! What a client's connection can be asked to do by other threads.

use crate::error::Error;
use crate::protocol::broadcast::SharedFrame;
use crate::protocol::close;
use crate::protocol::limit::Limit;
use crate::protocol::message::Kind;
use crate::queue::Room;
use smallvec::SmallVec;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::mpsc::Sender;

/// What a connection is asked to do by another thread.
#[derive(Debug)]
pub enum Order {
    /// The client was announced: deliver its messages.
    Admit,
    /// The answers to the client's oldest unanswered messages, in order.
    Replies(Replies),
    /// Among the answers before it are messages of the application's: their room in the send queue is given back when these
    /// are on the wire.
    Sent(Room),
    /// Send a message now, between two others.
    Send(Message),
    /// Send a message that other clients get as well.
    Share(Share),
    /// Send a ping.
    Ping(Ping),
    /// Send bytes as they are, between two frames.
    Raw(Raw),
    /// Read no more until [`Order::Resume`], or until the connection is to close.
    Pause,
    /// Read again.
    Resume,
    /// No message, and no frame, is to be longer from now on.
    Limits(Limits),
    /// Close with this code and reason.
    Close(Close),
    /// Drop the connection without a word. What was ordered before goes as far as the network takes it at once.
    Abort,
    /// The same with a reset of TCP, whatever is on its way.
    Reset,
    /// Other faults are set. Whoever waits for that waits until this is dropped.
    Faults(Option<Sender<Infallible>>),
    /// Drop this when all that was ordered before is done, and can be seen.
    Tell(Sender<Infallible>),
}

/// A message of the application's. [`Client::message`](crate::client::Client::message) makes it.
#[derive(Debug)]
pub struct Message {
    pub(crate) kind: Kind,
    pub(crate) payload: Vec<u8>,
    pub(crate) room: Room,
}

/// A message that many clients get. [`Client::share`](crate::client::Client::share) makes it.
#[derive(Debug)]
pub struct Share {
    pub(crate) frame: Arc<SharedFrame>,
    pub(crate) room: Room,
}

/// Bytes of the application's, whatever they are. [`Client::raw`](crate::client::Client::raw) makes it.
#[derive(Debug)]
pub struct Raw {
    pub(crate) bytes: Vec<u8>,
    pub(crate) room: Room,
}

/// A ping of the application's. [`Client::ping`](crate::client::Client::ping) makes it.
#[derive(Debug)]
pub struct Ping {
    pub(crate) payload: Vec<u8>,
    pub(crate) room: Room,
}

/// What a client may send at most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Of a message.
    pub message: Limit,
    /// Of the payload of each of its frames.
    pub frame: Limit,
}

/// Bytes that are copied only if they have to be.
pub trait Payload: AsRef<[u8]> + Into<Vec<u8>> {}
impl<T: AsRef<[u8]> + Into<Vec<u8>>> Payload for T {}

/// Why [`Client::send`](crate::client::Client::send) did not send.
#[derive(Debug, PartialEq, Eq)]
pub enum SendError {
    /// The close frame was sent or the connection has ended.
    Closed,
    /// That many bytes wait already.
    Full(usize),
    /// A ping with that many bytes of payload; it has at most 125 (RFC 6455 section 5.5).
    PingTooLong(usize),
}

/// What a close frame says.
///
/// ```
/// use echoserver::order::Close;
///
/// assert_eq!(Close::new(4000, "enough").map(|close| close.code()).ok(), Some(4000));
/// let error = Close::new(1005, "").unwrap_err().to_string();
/// assert!(error.starts_with("code=1005: may not be sent"), "{error}");
/// ```
#[derive(Debug)]
pub struct Close {
    code: u16,
    reason: String,
}

/// Why a close code may not be sent.
pub const NOT_SENDABLE: &str =
    "may not be sent; 1000 to 1003, 1007 to 1014 and 3000 to 4999 may (RFC 6455 section 7.4)";

impl Close {
    /// A code that may be sent, and a reason that has room in the frame.
    ///
    /// # Errors
    /// [`Error::Invalid`] says which of them it is not.
    pub fn new(code: i64, reason: &str) -> Result<Self, Error> {
        let invalid = |option, value, reason| Error::Invalid {
            option,
            value,
            reason,
        };
        let code = u16::try_from(code)
            .ok()
            .filter(|code| close::is_valid(*code))
            .ok_or_else(|| invalid("code", code.to_string(), NOT_SENDABLE))?;
        if reason.len() > close::MAX_REASON {
            let value = format!("{} bytes in UTF-8", reason.len());
            let reason = "a close frame has room for 123 (RFC 6455 section 5.5)";
            return Err(invalid("reason", value, reason));
        }
        let reason = reason.to_owned();
        Ok(Self { code, reason })
    }

    /// The code.
    #[must_use]
    pub const fn code(&self) -> u16 {
        self.code
    }

    /// The reason, at most 123 bytes.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// Answers as frames: the `i`-th is `wire[ends[i - 1]..ends[i]]`, empty for none.
#[derive(Debug, Default)]
pub struct Replies {
    /// Whole frames. Where compression was agreed they are compressed, unless they have the mark of the batch's
    /// (`frame::AS_IT_IS`).
    pub wire: Vec<u8>,
    /// Where each answer ends.
    pub ends: SmallVec<[usize; 1]>,
    /// Payload bytes of the messages that are answered.
    pub answered: usize,
    /// Whether more may be ready in a moment, for which [`Handler::on_look`](crate::handler::Handler::on_look) is asked.
    pub are_followed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_be_sent_is_not_made() {
        for code in [
            -1,
            0,
            999,
            1004,
            1005,
            1006,
            1015,
            2999,
            5000,
            65_536 + 1000,
        ] {
            let error = Close::new(code, "").unwrap_err().to_string();
            let expected = format!("code={code}: may not be sent");
            assert!(error.starts_with(&expected), "{error}");
        }
        let error = Close::new(1000, &"é".repeat(62)).unwrap_err().to_string();
        let expected = "reason=124 bytes in UTF-8: a close frame has room for 123";
        assert!(error.starts_with(expected), "{error}");
        assert_eq!(close::MAX_REASON, 123);
        let close = Close::new(4999, &"x".repeat(123)).unwrap();
        assert_eq!((close.code(), close.reason().len()), (4999, 123));
    }
}
