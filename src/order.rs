//! What a client's connection can be asked to do by other threads.

use crate::protocol::message::Kind;

/// What a connection is asked to do by another thread.
#[derive(Debug)]
pub enum Order {
    /// The client was announced: deliver its messages.
    Admit,
    /// The answers to the client's oldest unanswered messages, in order.
    Replies(Replies),
    /// Send a message now, between two others.
    Send(Kind, Vec<u8>),
    /// Send a ping.
    Ping(Vec<u8>),
    /// Close with this code and reason.
    Close(u16, String),
    /// Drop the connection without a word.
    Abort,
}

/// Answers as frames: the `i`-th is `wire[ends[i - 1]..ends[i]]`, empty for none.
#[derive(Debug, Default)]
pub struct Replies {
    /// Whole frames. Where compression was agreed they are compressed, unless they have the mark of the batch's
    /// (`frame::AS_IT_IS`).
    pub wire: Vec<u8>,
    /// Where each answer ends.
    pub ends: Vec<usize>,
    /// Payload bytes of the messages that are answered.
    pub answered: usize,
}
