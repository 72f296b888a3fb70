//! The times that all senders of a server keep to.

use std::time::Duration;

/// A timeout, and what it is called where it is set.
#[derive(Debug, Clone, Copy)]
pub struct Timeout {
    /// Goes into the reason of a close.
    pub name: &'static str,
    /// How long.
    pub value: Duration,
}

/// What all senders of a server have in common.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// After this time without a sign of life a client is told 1001; `None`: never.
    pub idle_timeout: Option<Timeout>,
    /// Between two keepalive pings; `None`: none are sent.
    pub ping_interval: Option<Duration>,
    /// After this time without a pong, and without another sign of life, a client is told 1011.
    pub ping_timeout: Timeout,
    /// For the closing handshake.
    pub close_timeout: Duration,
}
