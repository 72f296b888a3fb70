//! What a sender does beside sending.

use std::time::Duration;

/// What others have to know of what was done.
#[derive(Debug, Default)]
pub struct Effects {
    /// Messages that were sent or are on their way.
    pub messages_sent: u64,
    /// Bytes that were sent, without the response before them.
    pub bytes_sent: u64,
    /// Whether the client has done what it may not.
    pub violations: u64,
    /// The sum of the tickets of what is sent or given up.
    pub released: usize,
    /// A ping was answered after this time.
    pub rtt: Option<Duration>,
    /// Our close frame is on its way: nothing can be sent any more.
    pub is_closing: bool,
}
