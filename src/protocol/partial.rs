//! Bytes that a connection must keep: the received parts of a message, and output that the socket did not take.
//!
//! Kept in chunks, so that growing copies nothing. Each chunk is charged to the connection's [`Account`] when it is
//! allocated; a partial message never holds more than twice what was received of it.

use super::frame::{self, MAX_SERVER_HEADER, Opcode};
use crate::protocol::account::{Account, Exhausted};

/// The smallest allocation for a partial message.
const MIN_CHUNK: usize = 512;
/// So much more is allocated at once if it is the rest: what came first had a header, so half of a message is a little
/// less than the other half, and a read for these few bytes would be one read too many.
const SLACK: usize = 64;

/// One allocation; what was consumed of it stays before `start`.
#[derive(Debug)]
pub struct Chunk {
    bytes: Vec<u8>,
    start: usize,
    charged: usize,
    /// What whoever sent it is told when it is sent.
    pub(crate) ticket: usize,
}

impl Chunk {
    /// A chunk for `bytes`, of which `charged` are charged already.
    pub(crate) const fn new(bytes: Vec<u8>, charged: usize) -> Self {
        Self {
            bytes,
            start: 0,
            charged,
            ticket: 0,
        }
    }

    /// Appends a header and `len` bytes in pieces: `false` if that passes the memory limit.
    pub(crate) fn append<'a>(
        &mut self,
        header: &[u8],
        len: usize,
        pieces: impl Iterator<Item = &'a [u8]>,
        account: &mut Account,
    ) -> bool {
        let before = self.bytes.capacity();
        self.bytes.reserve(header.len() + len);
        let grown = self.bytes.capacity() - before;
        self.charged += grown;
        self.bytes.extend_from_slice(header);
        for piece in pieces {
            self.bytes.extend_from_slice(piece);
        }
        grown == 0 || account.charge_anyway(grown)
    }

    /// The same bytes once more, charged; and whether that fits into the memory limit.
    pub(crate) fn copy(&self, account: &mut Account) -> (Self, bool) {
        let bytes = self.bytes().to_vec();
        let charged = bytes.capacity();
        let fits = account.charge_anyway(charged);
        (Self::new(bytes, charged), fits)
    }

    /// Whether `len` bytes more would leave it at most `most` long, and whoever has sent it wants no word.
    pub(crate) const fn takes(&self, len: usize, most: usize) -> bool {
        self.bytes.len() + len <= most && self.ticket == 0
    }

    /// What is left of it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Forgets the first `len` bytes.
    pub(crate) fn advance(&mut self, len: usize) {
        self.start += len;
        debug_assert!(self.start <= self.bytes.len(), "advanced beyond the end");
    }

    /// Sets bits of the first byte, which is a frame's.
    pub(crate) fn set_bits(&mut self, bits: u8) {
        if let Some(first) = self.bytes.get_mut(self.start) {
            *first |= bits;
        }
    }

    /// Gives it back to `account`.
    pub fn free(self, account: &mut Account) {
        account.free(self.bytes, self.charged);
    }

    fn room(&self) -> usize {
        self.charged - self.bytes.len()
    }
}

/// The parts of a message received so far. The first chunk leaves room for a server's header before the payload, so
/// that the message can be sent as it lies.
#[derive(Debug, Default)]
pub struct Partial {
    chunks: Vec<Chunk>,
    len: usize,
}

impl Partial {
    /// Nothing received, nothing allocated.
    pub const NEW: Self = Self {
        chunks: Vec::new(),
        len: 0,
    };

    /// Payload bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no payload.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends `bytes`. At most `expected` bytes, these included, are known to come.
    ///
    /// # Errors
    /// [`Exhausted`] if the account does not take the next step.
    pub fn push(
        &mut self,
        mut bytes: &[u8],
        expected: usize,
        account: &mut Account,
    ) -> Result<(), Exhausted> {
        let mut expected = expected;
        while !bytes.is_empty() {
            if self.room() == 0 {
                self.grow(bytes.len(), expected, account)?;
            }
            let take = self.room().min(bytes.len());
            if let Some(chunk) = self.chunks.last_mut() {
                chunk.bytes.extend_from_slice(&bytes[..take]);
            }
            self.len += take;
            // A limit that was lowered meanwhile may expect less than is here.
            expected = expected.saturating_sub(take);
            bytes = &bytes[take..];
        }
        Ok(())
    }

    /// Appends the payload that lies in `buffer` from `from` on: if it is the first, with room for a header before it.
    ///
    /// # Errors
    /// [`Exhausted`] if the account does not take the buffer.
    pub fn adopt(
        &mut self,
        buffer: Vec<u8>,
        from: usize,
        account: &mut Account,
    ) -> Result<(), Exhausted> {
        debug_assert!(
            !self.is_empty() || from >= MAX_SERVER_HEADER,
            "a message begins with room for a header"
        );
        let charged = buffer.capacity();
        account.charge(charged)?;
        self.len += buffer.len() - from;
        self.chunks.push(Chunk {
            bytes: buffer,
            start: from,
            charged,
            ticket: 0,
        });
        Ok(())
    }

    /// A buffer to read up to the returned number of payload bytes into; [`Self::filled`] tells what came.
    ///
    /// # Errors
    /// [`Exhausted`] if the account does not take the next step.
    pub fn spare(
        &mut self,
        expected: usize,
        account: &mut Account,
    ) -> Result<(&mut Vec<u8>, usize), Exhausted> {
        if self.room() == 0 {
            self.grow(0, expected, account)?;
        }
        let room = self.room().min(expected);
        let last = self.chunks.len() - 1;
        Ok((&mut self.chunks[last].bytes, room))
    }

    /// The last `len` bytes, which were read into [`Self::spare`].
    pub fn filled(&mut self, len: usize) -> &mut [u8] {
        self.len += len;
        match self.chunks.last_mut() {
            Some(chunk) => {
                let end = chunk.bytes.len();
                &mut chunk.bytes[end - len..]
            }
            None => &mut [],
        }
    }

    /// The payload as pieces.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> + Clone {
        self.chunks.iter().map(Chunk::bytes)
    }

    /// The payload without its first `skipped` bytes, as pieces.
    pub(super) fn last(&self, mut skipped: usize) -> impl Iterator<Item = &[u8]> {
        self.pieces().map(move |piece| {
            let rest = &piece[skipped.min(piece.len())..];
            skipped -= piece.len() - rest.len();
            rest
        })
    }

    /// The message as one frame of `total` payload bytes, of which these are the first; the caller sends the rest.
    #[must_use]
    pub fn into_frame(mut self, opcode: Opcode, total: usize) -> Vec<Chunk> {
        if let Some(first) = self.chunks.first_mut() {
            let mut header = [0; MAX_SERVER_HEADER];
            let len = frame::write_server_header(&mut header, true, opcode, total);
            first.start -= len;
            let start = first.start;
            first.bytes[start..start + len].copy_from_slice(&header[..len]);
        }
        self.chunks
    }

    /// The payload alone.
    #[must_use]
    pub(crate) fn into_chunks(self) -> Vec<Chunk> {
        self.chunks
    }

    /// Gives everything back to `account`.
    pub fn release(self, account: &mut Account) {
        for chunk in self.chunks {
            chunk.free(account);
        }
    }

    fn room(&self) -> usize {
        self.chunks.last().map_or(0, Chunk::room)
    }

    /// Bytes for which [`Self::spare`] would give room, of `expected`.
    #[must_use]
    pub fn next_room(&self, expected: usize) -> usize {
        match self.room() {
            0 => self.step(0, expected),
            room => room.min(expected),
        }
    }

    /// How much a further chunk takes.
    fn step(&self, here: usize, expected: usize) -> usize {
        let doubled = (self.len + 2 * here).max(MIN_CHUNK);
        if expected <= doubled + SLACK {
            expected.max(here)
        } else {
            doubled
        }
    }

    /// A further chunk: for the `here` bytes that are here, and beyond these at most as much again as was received.
    fn grow(
        &mut self,
        here: usize,
        expected: usize,
        account: &mut Account,
    ) -> Result<(), Exhausted> {
        let step = self.step(here, expected);
        let start = if self.chunks.is_empty() {
            MAX_SERVER_HEADER
        } else {
            0
        };
        let mut bytes = account.allocate(start + step)?;
        let charged = bytes.capacity();
        bytes.resize(start, 0);
        self.chunks.push(Chunk {
            bytes,
            start,
            charged,
            ticket: 0,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::account::Memory;
    use crate::protocol::limit::Limit;

    #[test]
    fn what_is_pushed_comes_out_behind_a_header() {
        let memory = Memory::new(Limit::new(&"memory_limit", 1 << 20));
        let mut account = Account::new(memory.clone());
        let mut partial = Partial::default();
        let payload: Vec<u8> = (0..70_000u32).map(|i| i.to_le_bytes()[0]).collect();
        for piece in payload.chunks(999) {
            partial.push(piece, usize::MAX, &mut account).unwrap();
            assert!(memory.used() <= 2 * partial.len() + MIN_CHUNK + MAX_SERVER_HEADER);
        }
        assert_eq!(partial.len(), payload.len());
        let chunks = partial.into_frame(Opcode::Binary, payload.len());
        let wire: Vec<u8> = chunks
            .iter()
            .flat_map(|chunk| chunk.bytes().to_vec())
            .collect();
        assert_eq!(wire, frame::server_frame(Opcode::Binary, &payload));
        drop(account);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn what_is_here_is_taken_though_less_is_expected() {
        let memory = Memory::new(Limit::new(&"memory_limit", 1 << 20));
        let mut account = Account::new(memory.clone());
        let mut partial = Partial::default();
        for expected in [10, 0] {
            partial.push(&[1; 5000], expected, &mut account).unwrap();
        }
        assert_eq!(partial.len(), 10_000);
        partial.release(&mut account);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn nothing_is_allocated_beyond_what_is_expected() {
        let memory = Memory::new(Limit::new(&"memory_limit", 1 << 20));
        let mut account = Account::new(memory.clone());
        let mut partial = Partial::default();
        partial.push(b"abc", 5, &mut account).unwrap();
        assert_eq!(memory.used(), MAX_SERVER_HEADER + 5);
        let (buffer, room) = partial.spare(2, &mut account).unwrap();
        assert_eq!(room, 2);
        buffer.extend_from_slice(b"de");
        partial.filled(2).make_ascii_uppercase();
        assert_eq!(partial.pieces().collect::<Vec<_>>().concat(), b"abcDE");
        partial.release(&mut account);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn a_step_that_does_not_fit_is_refused() {
        let mut account = Account::new(Memory::new(Limit::new(&"memory_limit", 1100)));
        let mut partial = Partial::default();
        assert_eq!(partial.push(&[1; 500], 10_000, &mut account), Ok(()));
        assert_eq!(partial.push(&[1; 600], 9_500, &mut account), Err(Exhausted));
    }
}
