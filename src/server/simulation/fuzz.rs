//! What the fuzzer plays with: scripts in bytes, against a worker without sockets.
//!
//! A finding is a panic, a loop within one poll (the fuzzer's time limit), a task that wakes itself although nothing has
//! happened, a charge that is not given back, a message that is lost or comes twice, and a close without its frame.

mod answers;
mod connection;
mod hearing;
mod proxied;
mod reading;
mod tls;

#[cfg(fuzzing)]
pub use self::connection::connection;
#[cfg(fuzzing)]
pub use self::proxied::proxied;
#[cfg(fuzzing)]
pub use self::tls::tls;

/// Steps of one script, so that its time is bounded.
const MAX_STEPS: usize = 400;

/// Bytes that say what happens next.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn size(&mut self) -> usize {
        self.byte().unwrap_or_default().into()
    }

    /// As many bytes as the next one says, or as there are.
    fn bytes(&mut self) -> &'a [u8] {
        let len = self.size().min(self.0.len());
        let (bytes, rest) = self.0.split_at(len);
        self.0 = rest;
        bytes
    }
}
