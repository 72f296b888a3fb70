//! Counters. Each worker has its own and is the only one to write them, so counting contends with nobody; whoever
//! wants to know adds them up.

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

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// One worker's counters, on cache lines of their own.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub(super) struct Counters { $(pub(super) $name: Counter,)* }

        /// What a server has done so far.
        #[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
            /// Bytes charged to `memory_limit` at the moment.
            pub memory_used: u64,
        }

        impl Stats {
            pub(super) fn add(&mut self, counters: &Counters) {
                $(self.$name += counters.$name.get();)*
            }

            /// Names and values, in the order of declaration.
            #[must_use]
            pub fn fields(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)* ("memory_used", self.memory_used)]
            }
        }
    };
}

counters! {
    /// TCP connections that were accepted.
    connections_accepted,
    /// Failed attempts to accept one, such as for want of descriptors.
    accept_errors,
    /// Requests that were refused: answered with something other than 101, and not counted as `http_requests`.
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
    /// Messages sent.
    messages_sent,
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
