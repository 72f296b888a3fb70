//! What one read brought, and what goes out for it where it lies.

use super::frame::{self, Opcode};
use std::ops::Range;

/// What one read brought: `bytes[read..]` is yet to be looked at, `bytes[..write]` was put to use as output. Nobody writes
/// before `write`, which never passes `read`.
#[derive(Debug)]
pub struct Window<'a> {
    /// The read buffer, up to what came.
    pub bytes: &'a mut [u8],
    /// What was consumed.
    pub read: usize,
    /// Where the output ends.
    pub write: usize,
    /// Where it begins.
    base: usize,
}

impl<'a> Window<'a> {
    /// A window that nothing was consumed of.
    pub const fn new(bytes: &'a mut [u8]) -> Self {
        Self {
            bytes,
            read: 0,
            write: 0,
            base: 0,
        }
    }

    /// The output in it, which goes out behind everything that is kept.
    #[must_use]
    pub fn tail(&self) -> &[u8] {
        &self.bytes[self.base..self.write]
    }

    /// Whether there is any.
    #[must_use]
    pub const fn has_tail(&self) -> bool {
        self.base < self.write
    }

    /// Takes the output out of it, so that something else can go before what follows.
    #[must_use]
    pub fn take_tail(&mut self) -> Option<Vec<u8>> {
        let tail = self.has_tail().then(|| self.tail().to_vec());
        self.base = self.write;
        tail
    }

    /// The bytes from `start` to `end` are the output from now on. There was none.
    pub fn begin_tail(&mut self, start: usize, end: usize) {
        debug_assert!(!self.has_tail(), "output is overwritten");
        (self.base, self.write) = (start, end);
    }

    /// Appends a frame of `parts` and then the `payload` that lies in the window, if there is room for it before that.
    #[must_use]
    pub fn join<'p>(
        &mut self,
        opcode: Opcode,
        parts: impl Iterator<Item = &'p [u8]> + Clone,
        payload: Range<usize>,
    ) -> bool {
        let before: usize = parts.clone().map(<[u8]>::len).sum();
        let len = before + payload.len();
        let mut end = self.write + frame::server_header_len(len);
        if end + before > payload.start {
            return false;
        }
        frame::write_server_header(&mut self.bytes[self.write..], true, opcode, len);
        for part in parts {
            self.bytes[end..end + part.len()].copy_from_slice(part);
            end += part.len();
        }
        self.write = end + payload.len();
        self.bytes.copy_within(payload, end);
        true
    }

    /// Appends a frame, if there is room for it before what is yet to be read.
    #[must_use]
    pub fn put(&mut self, opcode: Opcode, payload: &[u8]) -> bool {
        let start = self.write + frame::server_header_len(payload.len());
        let end = start + payload.len();
        let fits = end <= self.read;
        if fits {
            let header = &mut self.bytes[self.write..];
            frame::write_server_header(header, true, opcode, payload.len());
            self.bytes[start..end].copy_from_slice(payload);
            self.write = end;
        }
        fits
    }
}
