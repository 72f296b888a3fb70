//! Compression of messages (RFC 7692 section 7.2) without I/O: compressed payload in, as it comes, and the message out
//! in steps; and the other way round.
//!
//! `zlib-rs` does the work. What it keeps for a stream is large (47 KiB to inflate, whatever the window; 251 to 380 KB
//! to compress), so a connection holds as little of it as it can:
//!
//! - Inflaters belong to the thread. A connection has one from the first byte of a message to its last, and between two
//!   messages only the window: the last bytes that it received, at most `client_max_window_bits` of them. To give it to
//!   an inflater costs less than 10 % of inflating 1 KiB. It also settles what a final block does under context
//!   takeover: the stream ends, its window does not.
//! - With `server_no_context_takeover` compressors belong to the thread, too. Without it each connection keeps its own
//!   from the first compressed message on, since filling one again would cost more than compressing.
//!
//! All of it is charged to the connection's account, and work is paid for from a budget, so that the caller may go on
//! with something else and come back.

pub mod compressing;
pub mod inflating;
pub mod scratch;

/// Gives what this thread has kept back to the allocator.
pub(crate) fn forget_spare() {
    inflating::forget();
    compressing::forget();
    scratch::forget();
}

#[cfg(test)]
mod tests;
