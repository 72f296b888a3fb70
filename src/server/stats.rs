//! Counters. Each worker has its own and is the only one to write them, so counting contends with nobody; whoever
//! wants to know adds them up.

use super::label::{Code, Refused};
use crate::protocol::tally::{Amount, Tally};
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that one thread writes and any may read.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub(super) fn add(&self, amount: u64) {
        // One writer: a plain load and store, no locked instruction.
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add(amount),
            Ordering::Relaxed,
        );
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The largest of what one thread has noted and any may read.
#[derive(Debug, Default)]
pub(super) struct Highest(AtomicU64);

impl Highest {
    pub(super) fn note(&self, value: u64) {
        self.0.fetch_max(value, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// One worker's counters, on cache lines of their own.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub(super) struct Counters {
            $(pub(super) $name: Counter,)*
            /// Of the `handshakes_refused`, for which reason.
            pub(super) refused: [Counter; Refused::ALL.len()],
            /// Of the `clients_closed`, with which code.
            pub(super) closed: [Counter; Code::COUNT],
            /// Bytes that have waited for one client, of those who are gone.
            pub(super) queue_high: Highest,
        }

        /// What a server has done so far.
        #[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
            /// Messages sent, of both kinds.
            pub messages_sent: u64,
            /// Bytes charged to `memory_limit` at the moment.
            pub memory_used: u64,
        }

        impl Stats {
            pub(super) fn add(&mut self, counters: &Counters) {
                $(self.$name += counters.$name.get();)*
                self.messages_sent = self.text_messages_sent + self.binary_messages_sent;
            }

            /// Names and values, in the order of declaration.
            #[must_use]
            pub fn fields(&self) -> Vec<(&'static str, u64)> {
                vec![
                    $((stringify!($name), self.$name),)*
                    ("messages_sent", self.messages_sent),
                    ("memory_used", self.memory_used),
                ]
            }
        }
    };
}

counters! {
    /// TCP connections that were accepted.
    connections_accepted,
    /// Failed attempts to accept one, such as for want of descriptors.
    accept_errors,
    /// Requests that were refused: answered with something other than 101, and not counted as `http_requests`. Also
    /// connections of balancers without a good PROXY header, which get no answer.
    handshakes_refused,
    /// Ordinary HTTP requests, which asked for no WebSocket: GET and HEAD.
    http_requests,
    /// Connections whose TLS failed, at the handshake or later.
    tls_failures,
    /// Clients: upgrades that were answered with 101.
    clients_opened,
    /// Clients that are gone.
    clients_closed,
    /// Text messages received.
    text_messages_received,
    /// Binary messages received.
    binary_messages_received,
    /// Text messages sent.
    text_messages_sent,
    /// Binary messages sent.
    binary_messages_sent,
    /// Bytes of the text messages received, inflated and without frame headers.
    text_bytes_received,
    /// The same of binary messages.
    binary_bytes_received,
    /// Bytes of the text messages sent, before they were compressed and framed.
    text_bytes_sent,
    /// The same of binary messages.
    binary_bytes_sent,
    /// Bytes received after the upgrade, with frame headers.
    bytes_received,
    /// Bytes sent after the upgrade, with frame headers.
    bytes_sent,
    /// Pings received; each was answered with a pong.
    pings_received,
    /// Pongs received.
    pongs_received,
    /// Connections failed for what the client sent: 1002, 1007, 1009 or 1013.
    violations,
}

impl Counters {
    /// Messages were received.
    #[inline]
    pub(super) fn received(&self, Tally { text, binary }: Tally) {
        count(
            &self.text_messages_received,
            &self.text_bytes_received,
            text,
        );
        count(
            &self.binary_messages_received,
            &self.binary_bytes_received,
            binary,
        );
    }

    /// Messages were sent, or are on their way.
    #[inline]
    pub(super) fn sent(&self, Tally { text, binary }: Tally) {
        count(&self.text_messages_sent, &self.text_bytes_sent, text);
        count(&self.binary_messages_sent, &self.binary_bytes_sent, binary);
    }
}

/// Counts messages of one kind; mostly all are of the other.
#[inline]
fn count(messages: &Counter, bytes: &Counter, amount: Amount) {
    if amount.messages > 0 {
        messages.add(amount.messages);
        bytes.add(amount.bytes);
    }
}
