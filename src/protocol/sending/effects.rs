//! What a sender does beside sending.

use crate::protocol::tally::Tally;
use std::time::Duration;

/// What others have to know of what was done.
#[derive(Debug, Default)]
pub struct Effects {
    /// Messages that were sent or are on their way.
    pub sent: Tally,
    /// Bytes that were sent, without the response before them.
    pub bytes_sent: u64,
    /// 1 if the connection is failed for what the client has done.
    pub violations: u64,
    /// The sum of the tickets of what is sent or given up, in the order in which it was given.
    pub released: usize,
    /// A ping was answered after this time.
    pub rtt: Option<Duration>,
    /// Our close frame is on its way: nothing can be sent any more.
    pub is_closing: bool,
}

impl Effects {
    /// Whether there is nothing to know.
    #[must_use]
    #[inline]
    pub const fn is_empty(&self) -> bool {
        // By name, so that nothing is forgotten.
        let Self {
            sent,
            bytes_sent,
            violations,
            released,
            rtt,
            is_closing,
        } = self;
        sent.messages() | *bytes_sent | *violations == 0
            && *released == 0
            && rtt.is_none()
            && !*is_closing
    }
}
