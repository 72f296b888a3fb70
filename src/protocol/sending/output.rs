//! Output that must be kept: chunks in the order of their sending.

use super::effects::Effects;
use super::few::Few;
use crate::protocol::account::Account;
use crate::protocol::broadcast::SharedFrame;
use crate::protocol::partial::Chunk;
use std::io::IoSlice;
use std::mem;
use std::sync::Arc;

/// What a chunk costs beside its bytes: its place in the queue and the allocator's.
const OVERHEAD: usize = 64;
/// Short pieces are joined up to this length.
const JOINED: usize = 16 << 10;
/// Pieces that are sent with one call.
pub const MAX_SLICES: usize = 16;

/// A piece of output.
#[derive(Debug)]
enum Piece {
    Own(Chunk),
    /// A frame that others send as well; what is sent of it lies before `start`.
    Shared {
        frame: Arc<SharedFrame>,
        start: usize,
        ticket: usize,
    },
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(chunk) => chunk.bytes(),
            Self::Shared { frame, start, .. } => &frame.frame()[*start..],
        }
    }

    fn advance(&mut self, len: usize) {
        match self {
            Self::Own(chunk) => chunk.advance(len),
            Self::Shared { start, .. } => *start += len,
        }
    }

    const fn ticket(&mut self) -> &mut usize {
        match self {
            Self::Own(chunk) => &mut chunk.ticket,
            Self::Shared { ticket, .. } => ticket,
        }
    }

    fn free(self, account: &mut Account) {
        match self {
            Self::Own(chunk) => chunk.free(account),
            Self::Shared { .. } => account.release(OVERHEAD),
        }
    }
}

#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says something of its own; no state is made of them"
)]
pub(super) struct Output {
    chunks: Few<Piece>,
    /// What is left of the response at their front, which is no part of the conversation.
    response: u32,
    /// The stream may hold something of the response.
    pub(super) is_opening: bool,
    /// The stream has taken what it has not sent yet.
    is_unflushed: bool,
    /// The stream takes no more for now.
    pub(super) is_blocked: bool,
    /// Something was kept beyond the memory limit.
    is_over: bool,
    /// The tickets of what is not flushed.
    unflushed: usize,
}

impl Output {
    /// Begins with the response that ends the handshake.
    pub(super) fn begin(response: Vec<u8>, account: &mut Account) -> Self {
        let mut output = Self {
            response: u32::try_from(response.len()).unwrap_or(u32::MAX),
            is_opening: true,
            ..Self::default()
        };
        output.keep(response, account);
        output
    }

    /// Whether everything is sent.
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty() && !self.is_unflushed
    }

    /// What is left of the response, if something is.
    pub(super) fn response(&self) -> Option<&[u8]> {
        let bytes = self.chunks.iter().next()?.bytes();
        let len = bytes.len().min(self.response as usize);
        (len > 0).then(|| &bytes[..len])
    }

    pub(super) fn has_chunks(&self) -> bool {
        !self.chunks.is_empty()
    }

    pub(super) const fn is_unflushed(&self) -> bool {
        self.is_unflushed
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.bytes().len()).sum()
    }

    /// Appends a chunk that is charged already.
    pub(super) fn push(&mut self, chunk: Chunk) {
        self.chunks.push_back(Piece::Own(chunk));
    }

    pub(super) fn extend(&mut self, chunks: Vec<Chunk>) {
        for chunk in chunks {
            self.push(chunk);
        }
    }

    /// Appends bytes and charges them, beyond the memory limit if it has to be: it may all be sent at once.
    pub(super) fn keep(&mut self, bytes: Vec<u8>, account: &mut Account) {
        let charged = bytes.capacity() + OVERHEAD;
        self.chunks
            .push_back(Piece::Own(Chunk::new(bytes, charged)));
        self.is_over |= !account.charge_anyway(charged);
    }

    /// Appends a few bytes: to what was appended last, if that is short, too.
    pub(super) fn append(&mut self, bytes: &[u8], account: &mut Account) {
        if let Some(Piece::Own(last)) = self.chunks.back_mut()
            && last.takes(bytes.len(), JOINED)
        {
            let pieces = std::iter::once(bytes);
            self.is_over |= !last.append(&[], bytes.len(), pieces, account);
        } else {
            self.keep(bytes.to_vec(), account);
        }
    }

    /// Appends a frame that others have as well, and is charged for all of them.
    pub(super) fn share(&mut self, frame: Arc<SharedFrame>, account: &mut Account) {
        self.chunks.push_back(Piece::Shared {
            frame,
            start: 0,
            ticket: 0,
        });
        self.is_over |= !account.charge_anyway(OVERHEAD);
    }

    /// Something was charged beyond the memory limit.
    pub(super) fn note_over(&mut self) {
        self.is_over = true;
    }

    /// Whether something was, and there is no more room yet.
    pub(super) fn take_over(&mut self, account: &Account) -> bool {
        mem::take(&mut self.is_over) && account.is_over()
    }

    /// The chunk that was appended last has this ticket.
    pub(super) fn set_last_ticket(&mut self, ticket: usize) {
        if let Some(chunk) = self.chunks.back_mut() {
            *chunk.ticket() += ticket;
        }
    }

    /// Something with this ticket is done when all that is kept now is sent.
    pub(super) fn add_ticket(&mut self, ticket: usize, effects: &mut Effects) {
        match self.chunks.back_mut() {
            Some(chunk) => *chunk.ticket() += ticket,
            None if self.is_unflushed => self.unflushed += ticket,
            None => effects.released += ticket,
        }
    }

    /// What is kept, if it is one piece, of which something is left.
    #[inline]
    pub(super) fn only(&self) -> Option<&[u8]> {
        let Few::One(piece) = &self.chunks else {
            return None;
        };
        Some(piece.bytes()).filter(|bytes| !bytes.is_empty())
    }

    /// What is to be sent next, `tail` behind what is kept; returns the number of pieces.
    #[inline]
    pub(super) fn transmit<'a>(
        &'a self,
        tail: &'a [u8],
        slices: &mut [IoSlice<'a>; MAX_SLICES],
    ) -> usize {
        let pieces = self.chunks.iter().map(Piece::bytes).chain([tail]);
        let mut count = 0;
        for (slice, piece) in slices
            .iter_mut()
            .zip(pieces.filter(|piece| !piece.is_empty()))
        {
            *slice = IoSlice::new(piece);
            count += 1;
        }
        count
    }

    /// The stream has taken `len` bytes of it.
    #[inline]
    pub(super) fn sent(
        &mut self,
        len: usize,
        tail: &mut &[u8],
        account: &mut Account,
        effects: &mut Effects,
    ) {
        self.is_unflushed = true;
        effects.bytes_sent += len as u64;
        let beyond = if self.chunks.is_empty() {
            len
        } else {
            self.advance(len, account, effects)
        };
        *tail = &tail[beyond..];
    }

    /// Forgets `len` bytes and returns how many of them lie beyond the chunks. Not inlined: mostly there is no chunk, and
    /// what is sent lies where it was read.
    #[inline(never)]
    fn advance(&mut self, mut len: usize, account: &mut Account, effects: &mut Effects) -> usize {
        let response = self.response.min(u32::try_from(len).unwrap_or(u32::MAX));
        self.response -= response;
        effects.bytes_sent -= u64::from(response);
        while let Some(chunk) = self.chunks.front_mut() {
            let whole = chunk.bytes().len();
            if len < whole {
                chunk.advance(len);
                return 0;
            }
            len -= whole;
            if let Some(mut chunk) = self.chunks.pop_front() {
                self.unflushed += *chunk.ticket();
                chunk.free(account);
            }
        }
        len
    }

    /// The stream has sent what it had taken.
    pub(super) fn flushed(&mut self, effects: &mut Effects) {
        self.is_unflushed = false;
        // What is left has to wait all the same.
        self.is_over &= !self.chunks.is_empty();
        effects.released += mem::take(&mut self.unflushed);
    }

    /// Nothing of it will be sent any more.
    pub(super) fn release(&mut self, account: &mut Account, effects: &mut Effects) {
        effects.released += mem::take(&mut self.unflushed);
        while let Some(mut chunk) = self.chunks.pop_front() {
            effects.released += *chunk.ticket();
            chunk.free(account);
        }
        self.is_unflushed = false;
    }
}
